//! Single requests, with our errors.

use super::{
    SftpClient,
    error::{failed, is_end, is_missing},
};
use base::{Code, Error, Result};
use russh_sftp::protocol::{FileAttributes, OpenFlags};

/// What something is (the type bits of `st_mode`, inode(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Directory,
    Link,
    /// A device, a socket or a pipe.
    Other,
}

/// The permission bits that are kept: not those that lend somebody's rights to whoever runs the file.
pub(super) const PERMISSIONS: u32 = 0o777;

/// What a server says of a file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts {
    pub(super) kind: Kind,
    pub(super) mode: u32,
    pub(super) size: u64,
}

impl Facts {
    /// `None` where the server does not say what it is.
    pub(super) fn of(attributes: &FileAttributes) -> Option<Self> {
        let mode = attributes.permissions?;
        let kind = match mode & 0o170_000 {
            0o100_000 => Kind::File,
            0o040_000 => Kind::Directory,
            0o120_000 => Kind::Link,
            0 => return None,
            _ => Kind::Other,
        };
        Some(Facts { kind, mode: mode & PERMISSIONS, size: attributes.size.unwrap_or(0) })
    }
}

/// Attributes that say nothing but the mode.
fn mode_only(mode: u32) -> FileAttributes {
    FileAttributes { permissions: Some(mode & PERMISSIONS), ..FileAttributes::default() }
}

impl SftpClient {
    /// What is at a path, links followed; `None` where there is nothing.
    pub(super) async fn facts(&self, path: &str) -> Result<Option<Facts>> {
        match self.raw.stat(path).await {
            Ok(found) => Facts::of(&found.attrs).map(Some).ok_or_else(|| unclear(path)),
            Err(e) if is_missing(&e) => Ok(None),
            Err(e) => Err(failed(format_args!("look at {path}"), e)),
        }
    }

    /// As [`Self::facts`] of something that exists, links not followed.
    pub(super) async fn facts_of_link(&self, path: &str) -> Result<Facts> {
        let found = self.raw.lstat(path).await.map_err(|e| failed(format_args!("look at {path}"), e))?;
        Facts::of(&found.attrs).ok_or_else(|| unclear(path))
    }

    /// The names in a directory, `.` and `..` included as the server sends them.
    pub(super) async fn list(&self, path: &str) -> Result<Vec<(String, FileAttributes)>> {
        let doing = |e| failed(format_args!("list {path}"), e);
        let handle = self.raw.opendir(path).await.map_err(doing)?.handle;
        let mut names = Vec::new();
        let listed = loop {
            match self.raw.readdir(&handle).await {
                Ok(page) if page.files.is_empty() => break Ok(()),
                Ok(page) => names.extend(page.files.into_iter().map(|f| (f.filename, f.attrs))),
                Err(e) if is_end(&e) => break Ok(()),
                Err(e) => break Err(doing(e)),
            }
        };
        let _ = self.raw.close(handle).await;
        listed.map(|()| names)
    }

    /// Opens a file and returns its handle, which must be closed.
    pub(super) async fn open(&self, path: &str, flags: OpenFlags, mode: Option<u32>) -> Result<String> {
        let attributes = mode.map_or_else(FileAttributes::default, mode_only);
        let opened = self.raw.open(path, flags, attributes).await;
        Ok(opened.map_err(|e| failed(format_args!("open {path}"), e))?.handle)
    }

    pub(super) async fn close(&self, handle: String, path: &str) -> Result<()> {
        self.raw.close(handle).await.map(|_| ()).map_err(|e| failed(format_args!("close {path}"), e))
    }

    /// Sets the mode of an open file: the one given to `open` is narrowed by the server's umask.
    pub(super) async fn set_mode(&self, handle: &str, path: &str, mode: u32) -> Result<()> {
        let set = self.raw.fsetstat(handle, mode_only(mode)).await;
        set.map(|_| ()).map_err(|e| failed(format_args!("set the mode of {path}"), e))
    }

    /// Sets the mode of what is at a path.
    pub(super) async fn set_mode_at(&self, path: &str, mode: u32) -> Result<()> {
        let set = self.raw.setstat(path, mode_only(mode)).await;
        set.map(|_| ()).map_err(|e| failed(format_args!("set the mode of {path}"), e))
    }

    pub(super) async fn make_directory(&self, path: &str, mode: u32) -> Result<()> {
        let made = self.raw.mkdir(path, mode_only(mode)).await;
        made.map(|_| ()).map_err(|e| failed(format_args!("make the directory {path}"), e))
    }

    /// Makes a link, in the place of a file or link that is there.
    pub(super) async fn make_link(&self, path: &str, target: &str) -> Result<()> {
        // The target goes first: OpenSSH has the two arguments the other way round than the draft, and others follow it
        // (OpenSSH PROTOCOL, 4.1). The library puts them on the wire as we give them.
        if self.raw.symlink(target, path).await.is_ok() {
            return Ok(());
        }
        let _ = self.raw.remove(path).await;
        let made = self.raw.symlink(target, path).await;
        made.map(|_| ()).map_err(|e| failed(format_args!("make the link {path}"), e))
    }

    pub(super) async fn read_link(&self, path: &str) -> Result<String> {
        let read =
            self.raw.readlink(path).await.map_err(|e| failed(format_args!("read the link {path}"), e))?;
        read.files.into_iter().next().map(|f| f.filename).ok_or_else(|| unclear(path))
    }

    /// The absolute form of a path.
    pub(super) async fn resolve(&self, path: &str) -> Result<String> {
        let found = self.raw.realpath(path).await.map_err(|e| failed(format_args!("resolve {path}"), e))?;
        found.files.into_iter().next().map(|f| f.filename).ok_or_else(|| unclear(path))
    }
}

fn unclear(path: &str) -> Error {
    Error::new(Code::Unavailable, format!("the SFTP server does not say what {path} is"))
}
