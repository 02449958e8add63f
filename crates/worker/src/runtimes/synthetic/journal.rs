//! How synthetic machines outlive a killed agent: one file, to which each change adds a line.

use super::Pretended;
use crate::runtimes::{Observed, SyntheticScript};
use base::{Error, Result, Uid};
use rt::task;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// The file. Opened when first used.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    file: Mutex<Option<File>>,
}

/// One line: a machine as it is now.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Saved {
    pub(super) observed: Observed,
    pub(super) script: Arc<SyntheticScript>,
    pub(super) since_ms: u64,
    #[serde(default)]
    pub(super) removed: bool,
}

impl Saved {
    pub(super) fn of(machine: &Pretended) -> Self {
        Saved {
            observed: machine.observed.clone(),
            script: machine.script.clone(),
            since_ms: u64::try_from(machine.since.as_millis()).unwrap_or(u64::MAX),
            removed: false,
        }
    }

    pub(super) fn restore(self) -> Pretended {
        Pretended {
            observed: self.observed,
            script: self.script,
            since: Duration::from_millis(self.since_ms),
            life: None,
            over: task::CancellationToken::new(),
        }
    }
}

impl Journal {
    pub(super) fn new(dir: &Path) -> Self {
        Journal { path: dir.join("synthetic.jsonl"), file: Mutex::default() }
    }

    /// Adds a line. Not synced: it survives the death of the process, which is all that is promised here.
    pub(super) fn write(&self, saved: &Saved) {
        let written = serde_json::to_vec(saved).map_err(io::Error::from).and_then(|mut line| {
            line.push(b'\n');
            let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
            let open = match file.take() {
                Some(open) => open,
                None => OpenOptions::new().append(true).create(true).mode(0o600).open(&self.path)?,
            };
            file.insert(open).write_all(&line)
        });
        if let Err(e) = written {
            tracing::warn!("cannot write {}: {e}", self.path.display());
        }
    }

    /// The last state of each machine; the file is shortened to that.
    pub(super) fn load(&self) -> Result<Vec<Saved>> {
        let Some(bytes) = rt::files::read_optional(&self.path)? else { return Ok(Vec::new()) };
        let mut last: BTreeMap<Uid, Saved> = BTreeMap::new();
        for line in bytes.split(|b| *b == b'\n') {
            // A line that a crash cut short is the last one, and its change was never seen by anybody.
            if let Ok(saved) = serde_json::from_slice::<Saved>(line) {
                last.insert(saved.observed.uid, saved);
            }
        }
        last.retain(|_, saved| !saved.removed);
        self.shorten(last.values())?;
        Ok(last.into_values().collect())
    }

    fn shorten<'a>(&self, kept: impl Iterator<Item = &'a Saved>) -> Result<()> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        *file = None;
        let mut bytes = Vec::new();
        for saved in kept {
            serde_json::to_writer(&mut bytes, saved)
                .map_err(|e| Error::internal("cannot write the synthetic machines").because(e))?;
            bytes.push(b'\n');
        }
        if bytes.is_empty() {
            let _ = fs::remove_file(&self.path);
            return Ok(());
        }
        rt::files::write_atomic(&self.path, &bytes)
    }
}
