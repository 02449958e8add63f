//! Files that were read, and are read again only when they changed.

use super::{File, KnownHosts};
use base::Result;
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
};

/// What tells one content of a file from another: inode, length, and the time of its last change.
type Stamp = Option<(u64, u64, i64, i64)>;

/// Files by their paths.
#[derive(Debug, Default)]
pub(crate) struct Books(Mutex<HashMap<PathBuf, (Stamp, Arc<File>)>>);

impl Books {
    /// What these files say now; those that do not exist say nothing.
    pub(crate) fn read<'a>(&self, paths: impl Iterator<Item = &'a PathBuf>) -> Result<KnownHosts> {
        let files = paths.map(|path| self.file(path)).collect::<Result<_>>()?;
        Ok(KnownHosts { files })
    }

    fn file(&self, path: &Path) -> Result<Arc<File>> {
        let stamp = stamp(path);
        let mut files = self.0.lock();
        if let Some((known, file)) = files.get(path)
            && *known == stamp
        {
            return Ok(Arc::clone(file));
        }
        let bytes = rt::files::read_optional(path)?.unwrap_or_default();
        let file = Arc::new(File::parse(path, &String::from_utf8_lossy(&bytes)));
        files.insert(path.to_owned(), (stamp, Arc::clone(&file)));
        Ok(file)
    }
}

fn stamp(path: &Path) -> Stamp {
    let found = fs::metadata(path).ok()?;
    Some((found.ino(), found.len(), found.mtime(), found.mtime_nsec()))
}
