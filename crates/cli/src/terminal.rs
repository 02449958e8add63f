//! The terminal: its size, and raw mode while a guest has the keyboard.

use crate::app::App;
use base::{Error, Result, Secret};
use rustix::termios::{self, OptionalActions, Termios};
use std::io::{BufRead, IsTerminal, Read, stdin, stdout};

/// Lines and columns of the terminal.
pub fn size() -> Option<(u16, u16)> {
    let size = termios::tcgetwinsize(stdout()).or_else(|_| termios::tcgetwinsize(stdin())).ok()?;
    (size.ws_row > 0 && size.ws_col > 0).then_some((size.ws_row, size.ws_col))
}

/// Characters of a line of the terminal.
pub fn columns() -> Option<usize> {
    size().map(|(_, columns)| columns.into())
}

/// Whether a person is at both ends.
pub fn is_interactive() -> bool {
    stdin().is_terminal() && stdout().is_terminal()
}

/// Every key goes to the guest until this is dropped.
pub struct Raw(Termios);

impl Raw {
    /// Takes the keyboard.
    pub fn enter() -> Result<Self> {
        let doing = |e: rustix::io::Errno| Error::io("take over the terminal", &e.into());
        let before = termios::tcgetattr(stdin()).map_err(doing)?;
        let mut raw = before.clone();
        raw.make_raw();
        termios::tcsetattr(stdin(), OptionalActions::Now, &raw).map_err(doing)?;
        Ok(Raw(before))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        let _ = termios::tcsetattr(stdin(), OptionalActions::Drain, &self.0);
    }
}

/// Asks for a password, whose letters are not shown. `otherwise` is what to use where nobody can be asked.
pub fn password(app: &App, question: &str, otherwise: &str) -> crate::Result<Secret> {
    if app.global.no_input || !stdin().is_terminal() {
        return Err(Error::invalid("password", "nobody can be asked for a password")
            .hint(format!("run this on a terminal, or use {otherwise}"))
            .into());
    }
    app.printer.raw_stderr(question.as_bytes());
    let raw = Raw::enter()?;
    let typed = type_password(&mut stdin().lock());
    drop(raw);
    app.printer.raw_stderr(b"\n");
    typed.map(Secret::new).ok_or_else(|| {
        crate::Failure::from(Error::conflict("nothing was done")).with_exit(crate::failure::INTERRUPTED)
    })
}

/// What is typed until Enter. `None` where that is Ctrl-C, or the input ends.
fn type_password(input: &mut impl BufRead) -> Option<String> {
    let mut typed = Vec::new();
    for byte in input.by_ref().bytes() {
        match byte.ok()? {
            b'\r' | b'\n' => return String::from_utf8(typed).ok(),
            0x03 | 0x04 => return None,
            0x15 => typed.clear(),
            0x08 | 0x7f => while typed.pop().is_some_and(|byte| byte & 0xc0 == 0x80) {},
            byte => typed.push(byte),
        }
    }
    None
}

impl std::fmt::Debug for Raw {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Raw")
    }
}

#[cfg(test)]
mod tests {
    use super::type_password;

    #[test]
    fn keys_become_a_password() {
        let typed = |keys: &str| type_password(&mut keys.as_bytes());
        assert_eq!(typed("secret\rrest").as_deref(), Some("secret"));
        assert_eq!(typed("x\u{15}a\u{e9}\u{7f}b\u{8}c\n").as_deref(), Some("ac"));
        assert_eq!((typed("a\u{3}b\n"), typed("a")), (None, None));
    }
}
