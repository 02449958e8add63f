//! Failed commands and their exit codes: one table for all of them.

use base::{Code, Error};

/// The result of a command: its exit code, or why it failed.
pub type Result<T = u8, E = Failure> = std::result::Result<T, E>;

/// All is well.
pub const OK: u8 = 0;
/// Changes are pending (with `--exit-code`).
pub const CHANGES: u8 = 3;
/// Some of several failed.
pub const SOME_FAILED: u8 = 8;
/// The user interrupted us.
pub const INTERRUPTED: u8 = 130;
/// `vm exec` and `vm ssh`: a failure of our own, as ssh says it.
pub const OURS: u8 = 255;

/// A failed command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What went wrong, and which request it was.
    pub error: Box<client::Error>,
    /// An exit code other than that of the error's code.
    pub exit: Option<u8>,
    /// Nothing more is to be said: every part has been reported already.
    pub silent: bool,
}

impl Failure {
    /// The process's exit code.
    pub fn exit_code(&self) -> u8 {
        self.exit.unwrap_or_else(|| self.error.code().exit_code())
    }

    /// The same failure with another exit code.
    #[must_use]
    pub fn with_exit(mut self, exit: u8) -> Self {
        self.exit = Some(exit);
        self
    }

    /// A wrong use of the command line.
    pub fn usage(flag: &str, message: impl Into<String>) -> Self {
        Error::invalid(flag, message).into()
    }

    /// Its code.
    pub fn code(&self) -> Code {
        self.error.code()
    }
}

impl From<client::Error> for Failure {
    fn from(error: client::Error) -> Self {
        Failure { error: Box::new(error), exit: None, silent: false }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        client::Error::from(error).into()
    }
}

/// The outcome of the same thing done to several objects, each failure of which was reported already: the only one's own
/// code, 1 where all failed, 8 where some did.
pub fn of_several(total: usize, failures: Vec<Failure>) -> Result {
    let failed = failures.len();
    let Some(first) = failures.into_iter().next() else { return Ok(OK) };
    let exit = match (failed, total) {
        (_, 1) => first.exit_code(),
        (f, t) if f == t => 1,
        _ => SOME_FAILED,
    };
    Err(Failure { silent: true, ..first.with_exit(exit) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_of_several_is_eight() {
        let f = || Failure::from(Error::not_found("no VM web"));
        assert_eq!(of_several(3, vec![]), Ok(OK));
        assert_eq!(of_several(3, vec![f()]).unwrap_err().exit_code(), SOME_FAILED);
        assert_eq!(of_several(2, vec![f(), f()]).unwrap_err().exit_code(), 1);
        assert_eq!(of_several(1, vec![f()]).unwrap_err().exit_code(), 5);
    }
}
