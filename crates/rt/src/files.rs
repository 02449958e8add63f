//! Files that survive a crash, private directories, locks, free space.

use base::{Error, Result};
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

/// Makes a directory (and its parents) that only its owner may enter.
pub fn private_dir(path: &Path) -> Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|e| Error::io(format_args!("make the directory {}", path.display()), &e))
}

/// Replaces a file so that a crash leaves the old or the new content, never a mixture, and so that the new one is on
/// the disk when this returns. Mode 0600. A failed attempt leaves no temporary file behind.
pub fn write_atomic(path: &Path, content: &[u8]) -> Result<()> {
    let doing = |e: io::Error| Error::io(format_args!("write {}", path.display()), &e);
    let dir = path.parent().ok_or_else(|| Error::internal(format!("{} has no directory", path.display())))?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = dir.join(format!(".{name}.{}", crate::ids::uid()));
    let written = (|| {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        sync_dir(dir)
    })();
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written.map_err(doing)
}

/// Makes renames and removals in a directory durable.
pub fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Reads a whole file; `None` where there is none.
pub fn read_optional(path: &Path) -> Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Error::io(format_args!("read {}", path.display()), &e)),
    }
}

/// A directory that belongs to one process. Released by dropping it or by the death of the process.
#[derive(Debug)]
pub struct DirLock {
    _file: File,
    path: PathBuf,
}

impl DirLock {
    /// Takes the lock of `dir`, or says who is there.
    pub fn take(dir: &Path) -> Result<Self> {
        private_dir(dir)?;
        let path = dir.join("lock");
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(|e| Error::io(format_args!("open {}", path.display()), &e))?;
        if rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive).is_err() {
            let holder = fs::read_to_string(&path).unwrap_or_default();
            return Err(Error::conflict(format!("{} is used by another process", dir.display()))
                .because(format!("the lock is held by process {}", holder.trim()))
                .hint("stop that process, or give this one a directory of its own with --data-dir"));
        }
        let write = || -> io::Result<()> {
            file.set_len(0)?;
            (&file).write_all(format!("{}\n", std::process::id()).as_bytes())
        };
        write().map_err(|e| Error::io(format_args!("write {}", path.display()), &e))?;
        Ok(DirLock { _file: file, path })
    }

    /// The lock file.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Bytes an ordinary user may still write on the file system of `path`, and its whole size.
pub fn disk_space(path: &Path) -> Result<(u64, u64)> {
    let s = rustix::fs::statvfs(path)
        .map_err(|e| Error::io(format_args!("read the free space of {}", path.display()), &e.into()))?;
    Ok((s.f_bavail * s.f_frsize, s.f_blocks * s.f_frsize))
}
