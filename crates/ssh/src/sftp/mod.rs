//! Files of a server over SFTP version 3 (draft-ietf-secsh-filexfer-02), over any byte stream.
//!
//! Copies have the meaning of plain `scp`: a target that is a directory gets the source inside; files there of the same
//! name are replaced; permission bits are kept (without set-user-id, set-group-id and sticky), owners and times are not.
//! The source may be a link and is then followed; links below it are copied as links. Devices, sockets and pipes are
//! skipped, and [`Copied::skipped`] names them.
//!
//! **Failure.** A copy that fails stops where it is. What was copied before stays. A file on its way *to* the server is
//! left incomplete under its name, as `scp` leaves it. A file on its way *from* the server is written under another name
//! and renamed at its end, so that an incomplete one never shows.

mod download;
mod error;
mod path;
mod pipeline;
mod progress;
mod remote;
mod upload;

use base::Result;
use error::failed;
use russh_sftp::{
    client::{Config, RawSftpSession, rawsession::Limits},
    extensions,
};
use std::{fmt, path::Path};
use tokio::io::{AsyncRead, AsyncWrite};

/// What every server takes in one request (draft section 3).
const SMALL: u64 = 32 << 10;
/// The most we ask for at once; OpenSSH's own limit, which leaves room for a header in 256 KiB.
const LARGE: u64 = 255 << 10;
/// Bytes of one file that may be on their way. With [`FILES_AT_ONCE`] this bounds the memory of a copy.
const UNDER_WAY: u64 = 4 << 20;
/// Files of a tree that are copied at the same time: a small file costs four round trips, and most time is spent waiting.
const FILES_AT_ONCE: usize = 8;
/// A request waits behind all bytes under way, which a slow line may take long to carry. Dead lines are noticed by those
/// who own the stream.
const PATIENCE_SECONDS: u64 = 120;

/// A session with the `sftp` subsystem of a server. It ends when it is dropped.
pub struct SftpClient {
    raw: RawSftpSession,
    /// Bytes per read and write request.
    read_size: u32,
    write_size: usize,
}

/// What a copy did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    /// Regular files.
    pub files: u64,
    /// Directories, those that existed included.
    pub directories: u64,
    /// Symbolic links.
    pub links: u64,
    /// Bytes of the files.
    pub bytes: u64,
    /// What was left out, and why: devices, sockets, pipes, names that are not UTF-8.
    pub skipped: Vec<String>,
}

impl fmt::Debug for SftpClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SftpClient").field("read_size", &self.read_size).finish_non_exhaustive()
    }
}

impl SftpClient {
    /// Greets the server at the other end of `stream`.
    pub async fn new<S>(stream: S) -> Result<Self>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let config = Config { request_timeout_secs: PATIENCE_SECONDS, ..Config::default() };
        let mut raw = RawSftpSession::new_with_config(stream, config);
        let greeting = raw.init().await.map_err(|e| failed("greet the SFTP server", e))?;
        let mut limits = Limits::default();
        if greeting.extensions.get(extensions::LIMITS).is_some_and(|v| v == "1") {
            limits = raw.limits().await.map_err(|e| failed("read the limits of the SFTP server", e))?.into();
            raw.set_limits(limits);
        }
        let size = |limit: Option<u64>| limit.unwrap_or(SMALL).clamp(1, LARGE);
        Ok(SftpClient {
            read_size: u32::try_from(size(limits.read_len)).unwrap_or(1),
            write_size: usize::try_from(size(limits.write_len)).unwrap_or(1),
            raw,
        })
    }

    /// Copies a local file, or with `recursive` a directory, to the server. `remote` may start with `~/`; nothing or `~`
    /// is the home directory. `progress` gets the bytes done and the bytes in all, often.
    ///
    /// # Errors
    /// [`base::Code::NotFound`] for a missing source or target directory, [`base::Code::Forbidden`] where the server does
    /// not allow it, [`base::Code::Invalid`] for a directory without `recursive`.
    pub async fn upload(
        &self,
        local: &Path,
        remote: &str,
        recursive: bool,
        progress: impl FnMut(u64, u64) + Send,
    ) -> Result<Copied> {
        upload::run(self, local, remote, recursive, progress).await
    }

    /// Copies a file, or with `recursive` a directory, from the server. The server is not trusted: names that lead out of
    /// the target are refused, and links it made are never followed.
    ///
    /// # Errors
    /// As [`Self::upload`]; [`base::Code::Forbidden`] also for such names.
    pub async fn download(
        &self,
        remote: &str,
        local: &Path,
        recursive: bool,
        progress: impl FnMut(u64, u64) + Send,
    ) -> Result<Copied> {
        download::run(self, remote, local, recursive, progress).await
    }
}
