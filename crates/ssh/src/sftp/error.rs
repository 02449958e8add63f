//! From the SFTP library's errors to ours.

use base::{Code, Error};
use russh_sftp::{client::error::Error as Sftp, protocol::StatusCode};

/// The error for something the server did not do. (`draft-ietf-secsh-filexfer-02` section 7: version 3 has few codes, and
/// "failure" stands for all others.)
pub(super) fn failed(doing: impl std::fmt::Display, error: Sftp) -> Error {
    let new = |code| Error::new(code, format!("cannot {doing}"));
    match error {
        Sftp::Status(status) => match status.status_code {
            StatusCode::NoSuchFile => new(Code::NotFound).because("there is no such file or directory"),
            StatusCode::PermissionDenied => new(Code::Forbidden)
                .because("permission denied")
                .hint("log in as a user who may, or choose another path"),
            StatusCode::OpUnsupported => new(Code::Unavailable).because("the server does not support it"),
            StatusCode::NoConnection | StatusCode::ConnectionLost => {
                new(Code::Unavailable).because("the connection was lost").hint("try again")
            }
            _ => new(Code::Conflict)
                .because(format!("the server says: {}", status.error_message))
                .hint("check that its disk is not full and that the path is not of another kind"),
        },
        Sftp::Timeout => new(Code::Timeout).because("the server no longer answers"),
        Sftp::IO(why) | Sftp::Limited(why) => new(Code::Unavailable).because(why),
        Sftp::UnexpectedPacket => new(Code::Unavailable).because("the server broke the protocol"),
        Sftp::UnexpectedBehavior(why) => new(Code::Unavailable).because(why).hint("try again"),
    }
}

/// Whether this says that there is no such file.
pub(super) fn is_missing(error: &Sftp) -> bool {
    matches!(error, Sftp::Status(s) if s.status_code == StatusCode::NoSuchFile)
}

/// Whether this is the end of a file or of a listing.
pub(super) fn is_end(error: &Sftp) -> bool {
    matches!(error, Sftp::Status(s) if s.status_code == StatusCode::Eof)
}
