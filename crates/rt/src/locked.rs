//! A file that several processes change in turn, such as one of the user's.

use base::{Error, Result};
use rustix::fs::FlockOperation;
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

/// A file that no other process of ours changes as long as this lives. Waiting for it blocks the thread.
#[derive(Debug)]
pub struct LockedFile {
    file: File,
    /// Where it really is, so that a link to it stays one.
    path: PathBuf,
}

impl LockedFile {
    /// Opens and locks it. A missing one is made with mode 0600, in a directory that only its owner enters.
    pub fn open(path: &Path) -> Result<Self> {
        if let Some(dir) = path.parent().filter(|dir| !dir.exists()) {
            crate::files::private_dir(dir)?;
        }
        Self::locked(path).map_err(|e| Error::io(format_args!("lock {}", path.display()), &e))
    }

    fn locked(path: &Path) -> io::Result<Self> {
        loop {
            let file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?;
            let path = path.canonicalize()?;
            rustix::fs::flock(&file, FlockOperation::LockExclusive)?;
            // Whoever had the lock before may have put a new file there.
            let ours = file.metadata()?;
            if fs::metadata(&path).is_ok_and(|now| (now.dev(), now.ino()) == (ours.dev(), ours.ino())) {
                return Ok(LockedFile { file, path });
            }
        }
    }

    /// Its content, as text.
    ///
    /// # Errors
    /// [`base::Code::Invalid`] for bytes that are no text: whoever changes a part must not harm the rest.
    pub fn read(&self) -> Result<String> {
        let bytes = fs::read(&self.path).map_err(|e| self.failed("read", &e))?;
        String::from_utf8(bytes).map_err(|e| {
            Error::new(base::Code::Invalid, format!("{} is not a text file", self.path.display())).because(e)
        })
    }

    /// Adds to its end, and returns when that is on the disk.
    pub fn append(&self, bytes: &[u8]) -> Result<()> {
        let append = || {
            (&self.file).write_all(bytes)?;
            // A device, such as /dev/null, cannot be synced and need not be.
            if self.file.metadata()?.is_file() { self.file.sync_all() } else { Ok(()) }
        };
        append().map_err(|e| self.failed("write", &e))
    }

    /// Replaces its content as [`crate::files::write_atomic`] does, and keeps its mode. Nothing happens to a device.
    pub fn replace(self, bytes: &[u8]) -> Result<()> {
        let before = self.file.metadata().map_err(|e| self.failed("write", &e))?;
        if !before.is_file() {
            return Ok(());
        }
        crate::files::write_atomic(&self.path, bytes)?;
        let mode = fs::Permissions::from_mode(before.mode() & 0o777);
        fs::set_permissions(&self.path, mode).map_err(|e| self.failed("write", &e))
    }

    fn failed(&self, doing: &str, e: &io::Error) -> Error {
        Error::io(format_args!("{doing} {}", self.path.display()), e)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn many_replace_and_append_in_turn() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("new/file");
        let counted = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for n in 0..16 {
                let (path, counted) = (&path, &counted);
                scope.spawn(move || {
                    let file = LockedFile::open(path).unwrap();
                    assert_eq!(counted.fetch_add(1, Ordering::SeqCst), 0, "two had the lock");
                    let text = file.read().unwrap();
                    counted.fetch_sub(1, Ordering::SeqCst);
                    if n % 2 == 0 {
                        file.append(b"line\n").unwrap();
                    } else {
                        file.replace(format!("{text}line\n").as_bytes()).unwrap();
                    }
                });
            }
        });
        assert_eq!(fs::read_to_string(&path).unwrap(), "line\n".repeat(16));
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    }

    #[test]
    fn links_modes_and_devices_stay_what_they_are() {
        let dir = tempfile::tempdir().unwrap();
        let (real, link) = (dir.path().join("real"), dir.path().join("link"));
        fs::write(&real, "a").unwrap();
        fs::set_permissions(&real, fs::Permissions::from_mode(0o644)).unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        LockedFile::open(&link).unwrap().replace(b"b").unwrap();
        assert!(link.is_symlink());
        assert_eq!(fs::read_to_string(&real).unwrap(), "b");
        assert_eq!(fs::metadata(&real).unwrap().mode() & 0o777, 0o644);
        let null = LockedFile::open(Path::new("/dev/null")).unwrap();
        null.append(b"x").unwrap();
        null.replace(b"x").unwrap();
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
    }

    #[test]
    fn what_is_no_text_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, [0xff, 0xfe]).unwrap();
        assert_eq!(LockedFile::open(&path).unwrap().read().unwrap_err().code, base::Code::Invalid);
    }
}
