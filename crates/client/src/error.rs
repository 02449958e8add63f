//! A failed request.

use base::Code;
use std::fmt;

/// The result of a request.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, and which request it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// What went wrong.
    pub error: base::Error,
    /// The server's id of the request, as in its audit records; empty where it did not answer.
    pub request_id: Box<str>,
}

impl Error {
    /// The kind of failure.
    pub fn code(&self) -> Code {
        self.error.code
    }
}

impl From<base::Error> for Error {
    fn from(error: base::Error) -> Self {
        Error { error, request_id: Box::default() }
    }
}

impl From<api::Problem> for Error {
    fn from(problem: api::Problem) -> Self {
        Error { request_id: problem.request_id.as_str().into(), error: problem.into() }
    }
}

impl From<Error> for base::Error {
    fn from(error: Error) -> Self {
        error.error
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)?;
        if !self.request_id.is_empty() {
            write!(f, " (request {})", self.request_id)?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}
