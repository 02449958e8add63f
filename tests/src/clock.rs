//! The time of day as the processes of a cluster see it: it jumps when a test says so. Other clocks go on as ever.

use crate::Cli;
use std::{fs, path::PathBuf, sync::Arc};
use tempfile::TempDir;

/// A wall clock of the test's own, by Debian's `faketime`.
#[derive(Clone, Debug)]
pub struct WallClock {
    library: PathBuf,
    dir: Arc<TempDir>,
}

impl WallClock {
    /// One that shows the machine's time. `None` where faketime is not installed.
    ///
    /// # Panics
    /// Where there is no room for its file.
    pub fn new() -> Option<Self> {
        let mut below: Vec<PathBuf> = fs::read_dir("/usr/lib").ok()?.flatten().map(|e| e.path()).collect();
        below.sort_unstable();
        let library = below.into_iter().map(|d| d.join("faketime/libfaketime.so.1")).find(|l| l.exists())?;
        let dir = TempDir::with_prefix("hostler-clock-").expect("a directory");
        let clock = WallClock { library, dir: Arc::new(dir) };
        clock.jump(0);
        Some(clock)
    }

    /// Shows the machine's time and this many days from now on.
    ///
    /// # Panics
    /// Where its file cannot be written.
    pub fn jump(&self, days: i32) {
        let new = self.dir.path().join("new");
        fs::write(&new, format!("{days:+}d\n")).expect("it is written");
        fs::rename(new, self.file()).expect("it is written");
    }

    pub(crate) fn dress(&self, cli: Cli) -> Cli {
        cli.with("LD_PRELOAD", &self.library)
            .with("FAKETIME_TIMESTAMP_FILE", self.file())
            .with("FAKETIME_NO_CACHE", "1")
            .with("FAKETIME_DONT_FAKE_MONOTONIC", "1")
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("offset")
    }
}
