//! What a failure of SQLite means for the caller.

use base::{Code, Error};
use rusqlite::{ErrorCode, ffi};
use std::fmt;

/// The error for a person.
pub fn explain(doing: impl fmt::Display, error: &rusqlite::Error) -> Error {
    let (code, hint) = match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => (
            Code::Exhausted,
            "free space on the file system of the store, then try again; nothing was written",
        ),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            (Code::Unavailable, "another program holds the store's file: end it, then try again")
        }
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            (Code::Internal, "the file is damaged: restore a backup with 'hostler controller backup restore'")
        }
        Some(ErrorCode::SystemIoFailure | ErrorCode::CannotOpen | ErrorCode::ReadOnly) => {
            (Code::Internal, "check the disk, and the owner and mode of the store's directory")
        }
        _ => (Code::Internal, "this is a bug: report it with the log of the controller"),
    };
    Error::new(code, format!("cannot {doing}")).because(error).hint(hint)
}

/// Whether a failed COMMIT certainly left nothing behind. A failed write did: the frame that makes a transaction
/// valid comes last. After a failed fsync nobody knows what is on the disk, and asking again may wrongly succeed.
pub fn left_nothing(error: &rusqlite::Error) -> bool {
    let rusqlite::Error::SqliteFailure(e, _) = error else { return false };
    let known = matches!(e.code, ErrorCode::DiskFull | ErrorCode::DatabaseBusy | ErrorCode::OutOfMemory);
    known || e.extended_code == ffi::SQLITE_IOERR_WRITE
}

/// The answer for commits whose outcome is unknown, and the reason to refuse all later ones.
pub fn poisoned(error: &rusqlite::Error) -> Error {
    Error::unavailable("the store stopped: the disk did not confirm a commit, whose outcome is unknown")
        .because(error)
        .hint("check the disk, then restart the controller: it finds out what was written")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(extended: i32) -> rusqlite::Error {
        rusqlite::Error::SqliteFailure(ffi::Error::new(extended), None)
    }

    #[test]
    fn only_a_failed_write_is_certain() {
        assert!(left_nothing(&failure(ffi::SQLITE_FULL)));
        assert!(left_nothing(&failure(ffi::SQLITE_IOERR_WRITE)));
        assert!(!left_nothing(&failure(ffi::SQLITE_IOERR_FSYNC)));
        assert!(!left_nothing(&failure(ffi::SQLITE_CORRUPT)));
    }

    #[test]
    fn a_full_disk_is_exhausted() {
        assert_eq!(explain("commit", &failure(ffi::SQLITE_FULL)).code, Code::Exhausted);
    }
}
