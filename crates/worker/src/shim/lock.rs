//! The lock of a machine's directory.

use base::{Error, Result};
use rustix::{
    fs::FlockOperation,
    io::{Errno, FdFlags},
};
use std::{
    fs::{File, OpenOptions},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

/// The lock of a machine's directory, held by the shim and inherited by its hypervisor: it is free only when both are
/// gone. That makes it the one sure answer to "does anything still run here", whatever happened to process ids and
/// records, and what keeps a second hypervisor away.
#[derive(Debug)]
pub struct DirInUse(File);

impl DirInUse {
    /// Lets child processes that start from now on share the lock.
    pub fn share_with_children(&self) -> Result<()> {
        rustix::io::fcntl_setfd(&self.0, FdFlags::empty())
            .map_err(|e| Error::io("share the lock of the directory", &e.into()))
    }
}

/// Takes the lock, or `None` when somebody has it.
pub(super) fn take(path: &Path) -> Result<Option<DirInUse>> {
    let doing = |e| Error::io(format_args!("lock {}", path.display()), &e);
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(doing)?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(DirInUse(file))),
        Err(Errno::WOULDBLOCK) => Ok(None),
        Err(e) => Err(doing(e.into())),
    }
}
