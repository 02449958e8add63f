//! What lies in a sandbox where the controller's state directory would be: files of the same names with nothing in them.
//! Whoever opens one is looking for what is not his, and the overseer hears of it.

use base::{Error, Result};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher, event::AccessKind};
use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
};

/// Makes the files of a decoy in `dir`: a file for each file of `original`, a directory for each directory.
pub fn make(original: &Path, dir: &Path) -> Result<()> {
    let doing = |e| Error::io(format_args!("make a decoy of {}", original.display()), &e);
    fs::create_dir_all(dir).map_err(doing)?;
    for entry in fs::read_dir(original).map_err(doing)? {
        let entry = entry.map_err(doing)?;
        let there = dir.join(entry.file_name());
        if entry.file_type().map_err(doing)?.is_dir() {
            fs::create_dir_all(there).map_err(doing)?;
        } else {
            fs::write(there, []).map_err(doing)?;
        }
    }
    Ok(())
}

/// A watch over a decoy. Dropping it ends it.
pub struct Watched {
    _watcher: RecommendedWatcher,
}

impl std::fmt::Debug for Watched {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Watched({:?})", RecommendedWatcher::kind())
    }
}

/// Calls `opened` with the name of each file of a decoy that somebody opens, once a file, from a thread of its own.
pub fn watch(dir: &Path, opened: impl Fn(PathBuf) + Send + 'static) -> Result<Watched> {
    let wrong = |e| Error::internal(format!("cannot watch {}", dir.display())).because(e);
    let mut known = HashSet::new();
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
        let Ok(Event { kind: EventKind::Access(AccessKind::Open(_)), paths, .. }) = event else { return };
        paths.into_iter().filter(|p| p.is_file() && known.insert(p.clone())).for_each(&opened);
    })
    .map_err(wrong)?;
    watcher.watch(dir, RecursiveMode::Recursive).map_err(wrong)?;
    Ok(Watched { _watcher: watcher })
}
