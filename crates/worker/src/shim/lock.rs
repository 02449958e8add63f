//! The lock of a machine's directory.

use base::{Error, Result};
use rustix::{fs::FlockOperation, io::Errno};
use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::Path,
    process::Stdio,
};

/// The lock of a machine's directory. The agent takes it and hands it to the shim, which hands it to the hypervisor,
/// each time as standard input: so it is free only when all three have let go of it, and there is no moment in between.
/// That makes it the one sure answer to "does anything still run here", whatever happened to process ids and records,
/// and what keeps a second hypervisor away.
#[derive(Debug)]
pub struct DirInUse(File);

impl DirInUse {
    /// Hands the lock to a child process.
    pub fn into_stdin(self) -> Stdio {
        self.0.into()
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

/// Checks that standard input is the lock at this path, as it is when the agent starts us.
pub(super) fn inherited(path: &Path) -> Result<()> {
    let ours = || -> io::Result<bool> {
        let (lock, stdin) = (std::fs::metadata(path)?, rustix::fs::fstat(io::stdin())?);
        let same = (lock.dev(), lock.ino()) == (device(stdin.st_dev), stdin.st_ino);
        Ok(same && rustix::fs::flock(io::stdin(), FlockOperation::NonBlockingLockExclusive).is_ok())
    };
    if ours().unwrap_or(false) {
        return Ok(());
    }
    Err(Error::conflict("a shim is started by the worker, with the lock of its machine as standard input")
        .hint("use: hostler vm start"))
}

/// The type of a device number differs between systems.
#[allow(clippy::cast_sign_loss, clippy::unnecessary_cast, clippy::cast_lossless)]
fn device(number: rustix::fs::Dev) -> u64 {
    number as u64
}
