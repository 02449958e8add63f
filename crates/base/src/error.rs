//! The one diagnostic type. The CLI renders it, the API returns it as problem+json (RFC 9457).

use serde::{Deserialize, Serialize};
use std::fmt;

/// The result of everything that can fail with a [`struct@Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of failure it was. Decides the HTTP status and the exit code, nothing else does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// The request is malformed or a field has a value it cannot have.
    Invalid,
    /// No credentials, or credentials nobody knows.
    Unauthenticated,
    /// Known, but not allowed to do this.
    Forbidden,
    /// There is no such thing, or the caller may not know that there is.
    NotFound,
    /// The path exists, the method does not.
    MethodNotAllowed,
    /// It exists already, or the state of the object does not allow this now.
    Conflict,
    /// The object has moved since the caller read it (`If-Match`, `Idempotency-Key` with another body).
    PreconditionFailed,
    /// The revision asked for is no longer kept: list again.
    Gone,
    /// Larger than a limit.
    TooLarge,
    /// The media type of the body is not one we read.
    UnsupportedMedia,
    /// It did not finish in time.
    Timeout,
    /// A quota, a rate or a disk is exhausted.
    Exhausted,
    /// The part that could answer cannot be reached now. Retry later.
    Unavailable,
    /// A bug or a broken machine.
    Internal,
}

impl Code {
    /// Every code, in the order of their declaration.
    pub const ALL: [Code; 14] = [
        Code::Invalid,
        Code::Unauthenticated,
        Code::Forbidden,
        Code::NotFound,
        Code::MethodNotAllowed,
        Code::Conflict,
        Code::PreconditionFailed,
        Code::Gone,
        Code::TooLarge,
        Code::UnsupportedMedia,
        Code::Timeout,
        Code::Exhausted,
        Code::Unavailable,
        Code::Internal,
    ];

    /// The HTTP status (RFC 9110) that carries this code.
    pub fn http_status(self) -> u16 {
        match self {
            Code::Invalid => 400,
            Code::Unauthenticated => 401,
            Code::Forbidden => 403,
            Code::NotFound => 404,
            Code::MethodNotAllowed => 405,
            Code::Timeout => 408,
            Code::Conflict => 409,
            Code::Gone => 410,
            Code::PreconditionFailed => 412,
            Code::TooLarge => 413,
            Code::UnsupportedMedia => 415,
            Code::Internal => 500,
            Code::Unavailable => 503,
            Code::Exhausted => 507,
        }
    }

    /// The process exit code of a CLI command that ends with this code: one table for all commands.
    pub fn exit_code(self) -> u8 {
        match self {
            Code::Invalid | Code::MethodNotAllowed | Code::TooLarge | Code::UnsupportedMedia => 2,
            Code::Unauthenticated | Code::Forbidden => 4,
            Code::NotFound => 5,
            Code::Conflict | Code::PreconditionFailed | Code::Gone => 6,
            Code::Timeout => 7,
            Code::Unavailable => 9,
            Code::Exhausted | Code::Internal => 1,
        }
    }

    /// The stable spelling used in JSON and in messages, e.g. `not_found`.
    pub fn as_str(self) -> &'static str {
        match self {
            Code::Invalid => "invalid",
            Code::Unauthenticated => "unauthenticated",
            Code::Forbidden => "forbidden",
            Code::NotFound => "not_found",
            Code::MethodNotAllowed => "method_not_allowed",
            Code::Conflict => "conflict",
            Code::PreconditionFailed => "precondition_failed",
            Code::Gone => "gone",
            Code::TooLarge => "too_large",
            Code::UnsupportedMedia => "unsupported_media",
            Code::Timeout => "timeout",
            Code::Exhausted => "exhausted",
            Code::Unavailable => "unavailable",
            Code::Internal => "internal",
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A failure a person can act on: what happened, why, where, and what to do next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Error {
    /// What kind of failure.
    pub code: Code,
    /// What happened, in one sentence without a full stop.
    pub message: String,
    /// The place: a JSON pointer (RFC 6901) such as `/spec/cpus`, a flag, or `file:line:column`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// Why, where the message alone does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// The next step, as a command or an instruction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Error {
    /// A failure of this kind with this message.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Error { code, message: message.into(), field: None, cause: None, hint: None }
    }

    /// Adds the place that is at fault.
    #[must_use]
    pub fn at(mut self, field: impl Into<String>) -> Self {
        self.field = Some(field.into());
        self
    }

    /// Adds the reason underneath.
    #[must_use]
    pub fn because(mut self, cause: impl fmt::Display) -> Self {
        self.cause = Some(cause.to_string());
        self
    }

    /// Adds the next step.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// [`Code::Invalid`] at a field.
    pub fn invalid(field: impl Into<String>, message: impl Into<String>) -> Self {
        Error::new(Code::Invalid, message).at(field)
    }

    /// [`Code::NotFound`].
    pub fn not_found(message: impl Into<String>) -> Self {
        Error::new(Code::NotFound, message)
    }

    /// [`Code::Conflict`].
    pub fn conflict(message: impl Into<String>) -> Self {
        Error::new(Code::Conflict, message)
    }

    /// [`Code::Unavailable`].
    pub fn unavailable(message: impl Into<String>) -> Self {
        Error::new(Code::Unavailable, message)
    }

    /// [`Code::Internal`], for what should not happen.
    pub fn internal(message: impl Into<String>) -> Self {
        Error::new(Code::Internal, message)
    }

    /// An I/O failure while `doing` something ("open the store at /x"). A full disk is [`Code::Exhausted`],
    /// a missing file [`Code::NotFound`], all else [`Code::Internal`].
    pub fn io(doing: impl fmt::Display, error: &std::io::Error) -> Self {
        use std::io::ErrorKind as K;
        let (code, hint) = match error.kind() {
            K::StorageFull | K::QuotaExceeded => {
                (Code::Exhausted, Some("free space on that file system, then try again"))
            }
            K::NotFound => (Code::NotFound, None),
            K::PermissionDenied => (Code::Internal, Some("check the owner and the mode of that path")),
            K::AddrInUse => (Code::Conflict, Some("another process listens there: choose another address")),
            K::TimedOut => (Code::Timeout, None),
            K::ConnectionRefused | K::ConnectionReset | K::BrokenPipe | K::NotConnected => {
                (Code::Unavailable, None)
            }
            _ => (Code::Internal, None),
        };
        let e = Error::new(code, format!("cannot {doing}")).because(error);
        match hint {
            Some(h) => e.hint(h),
            None => e,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(field) = &self.field {
            write!(f, "{field}: ")?;
        }
        f.write_str(&self.message)?;
        if let Some(cause) = &self.cause {
            write!(f, ": {cause}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spelling_is_the_serialised_one() {
        for code in Code::ALL {
            assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
        }
    }

    #[test]
    fn a_full_disk_says_what_to_do() {
        let e = Error::io("write x", &std::io::Error::from(std::io::ErrorKind::StorageFull));
        assert_eq!(e.code, Code::Exhausted);
        assert!(e.hint.is_some());
    }
}
