//! Where one controller has its sandboxes.

use crate::{Limits, Sandbox, groups};
use base::{Error, Result};
use sha2::{Digest, Sha256};
use std::{
    fs,
    os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};
use tokio::sync::OnceCell;

/// Where the sandboxes of all controllers of this host have their directories: their users must be able to go there.
const BASE: &str = "/var/tmp/hostler-sandboxes";
/// The file of a sandbox's directory that names its control group.
pub(crate) const RECORD: &str = "groups";

/// The place of one controller's sandboxes. Dropping it removes it.
#[derive(Debug)]
pub struct Place {
    dir: PathBuf,
    state: PathBuf,
    /// A copy of this program that a sandbox's user can reach.
    program: OnceCell<PathBuf>,
    next: AtomicU32,
}

impl Place {
    /// The place of the controller with this state directory.
    pub fn of(state: &Path) -> Self {
        let name = hex::encode(&Sha256::digest(state.as_os_str().as_encoded_bytes())[..8]);
        // Several controllers may share a host: each begins somewhere else.
        let first = u32::from_le_bytes(rt::ids::random_bytes());
        Place {
            dir: Path::new(BASE).join(name),
            state: state.to_owned(),
            program: OnceCell::new(),
            next: AtomicU32::new(first),
        }
    }

    /// Ends what an earlier process has left, and removes it: the processes of its operations, their control groups and
    /// files. Blocks meanwhile.
    ///
    /// # Errors
    /// Where something of it stays.
    pub fn clear(&self) -> Result<()> {
        remove_left(&self.dir)
    }

    /// A sandbox of this name, which no other one has, with this program in it.
    ///
    /// # Errors
    /// Where this host does not let us make it: see [`Sandbox::available`].
    pub async fn sandbox(&self, name: &str, program: &Path, limits: Limits) -> Result<Sandbox> {
        let program = self.program.get_or_try_init(|| self.copy(program)).await?;
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        Sandbox::create(&self.dir, name, number, program, &self.state, limits)
    }

    async fn copy(&self, original: &Path) -> Result<PathBuf> {
        let (dir, original) = (self.dir.clone(), original.to_owned());
        let copied = rt::task::blocking(move || {
            open_dir(Path::new(BASE))?;
            remove_left(&dir)?;
            open_dir(&dir)?;
            let copy = dir.join("program");
            fs::copy(&original, &copy)
                .and_then(|_| fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)))
                .map_err(|e| Error::io(format_args!("copy {}", original.display()), &e))?;
            Ok(copy)
        });
        copied.await?
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Err(e) = self.clear() {
            tracing::warn!(error = %e, "what operations left could not be removed");
        }
    }
}

/// Makes a directory that everybody may go through and only we write in.
///
/// # Errors
/// [`base::Code::Conflict`] where somebody else has made it.
pub(crate) fn open_dir(path: &Path) -> Result<()> {
    let doing = |e: std::io::Error| Error::io(format_args!("make the directory {}", path.display()), &e);
    match fs::DirBuilder::new().mode(0o711).create(path) {
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
        made => made.map_err(doing)?,
    }
    let there = fs::symlink_metadata(path).map_err(doing)?;
    if !there.is_dir() || there.uid() != rustix::process::geteuid().as_raw() {
        return Err(Error::conflict(format!("{} belongs to somebody else", path.display()))
            .hint("remove it, then try again"));
    }
    fs::set_permissions(path, fs::Permissions::from_mode(0o711)).map_err(doing)
}

/// Ends the sandboxes in a directory, and removes it.
fn remove_left(dir: &Path) -> Result<()> {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if let Ok(record) = fs::read_to_string(entry.path().join(RECORD)) {
            groups::end_recorded(&record)?;
        }
    }
    match fs::remove_dir_all(dir) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::io(format_args!("remove {}", dir.display()), &e))
        }
        _ => Ok(()),
    }
}
