//! The agent's small files. Without a directory (synthetic workers) nothing is kept over a restart.

use base::{Error, Result};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio::sync::Mutex;

/// Writes of different files that may run at the same time, at most.
const LANES: usize = 32;

/// Where small JSON files are kept, whole and synced, for the owner's eyes only.
///
/// A write that nobody waits for any more still comes to its end on its thread, so writes of one file queue up in a lane:
/// the last one asked for is the last one written.
#[derive(Clone, Debug)]
pub struct Keeper {
    dir: Option<PathBuf>,
    lanes: Arc<[Arc<Mutex<()>>; LANES]>,
}

/// What all files have.
#[derive(Deserialize)]
struct Versioned {
    #[serde(default)]
    version: u32,
}

impl Keeper {
    /// Keeps files in `dir`, or nowhere.
    pub fn new(dir: Option<PathBuf>) -> Result<Self> {
        if let Some(dir) = &dir {
            rt::files::private_dir(&dir.join("records"))?;
        }
        Ok(Keeper { dir, lanes: Arc::default() })
    }

    /// The directory.
    pub fn dir(&self) -> Option<&Path> {
        self.dir.as_deref()
    }

    /// Writes a file. It is on the disk when this returns.
    pub async fn save(&self, name: &str, value: &impl Serialize) -> Result<()> {
        let Some(dir) = &self.dir else { return Ok(()) };
        let path = dir.join(name);
        let bytes = serde_json::to_vec(value)
            .map_err(|e| Error::internal(format!("cannot write {name}")).because(e))?;
        self.in_lane(name, move || rt::files::write_atomic(&path, &bytes)).await?
    }

    /// Works on a file after all that was asked for before.
    async fn in_lane<T: Send + 'static>(
        &self,
        name: &str,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T> {
        let lane = name.bytes().fold(0, |sum: usize, b| sum.wrapping_mul(31).wrapping_add(b.into())) % LANES;
        let turn = self.lanes[lane].clone().lock_owned().await;
        rt::task::blocking(move || {
            let _turn = turn; // until the work is done, whoever still waits for it
            work()
        })
        .await
    }

    /// Waits until all that was asked for is written.
    pub async fn settled(&self) {
        for lane in &*self.lanes {
            drop(lane.lock().await);
        }
    }

    /// Reads a file whose version is at most `newest`; `None` where there is none.
    ///
    /// # Errors
    /// A file that is not understood is an error: acting without it could harm VMs.
    pub fn load<T: DeserializeOwned>(&self, name: &str, newest: u32) -> Result<Option<T>> {
        let Some(dir) = &self.dir else { return Ok(None) };
        let path = dir.join(name);
        let Some(bytes) = rt::files::read_optional(&path)? else { return Ok(None) };
        let strange = |e: serde_json::Error| {
            Error::internal(format!("{} is not understood", path.display()))
                .because(e)
                .hint("restore it from a backup of that directory")
        };
        let Versioned { version } = serde_json::from_slice(&bytes).map_err(strange)?;
        if version > newest {
            return Err(Error::conflict(format!("{} was written by a newer release", path.display()))
                .because(format!("it has version {version}; this release knows {newest}"))
                .hint("run that release, or a newer one"));
        }
        serde_json::from_slice(&bytes).map(Some).map_err(strange)
    }

    /// Reads all files of a directory below.
    pub fn load_all<T: DeserializeOwned>(&self, below: &str, newest: u32) -> Result<Vec<T>> {
        let Some(dir) = &self.dir else { return Ok(Vec::new()) };
        let list = dir.join(below);
        let entries = std::fs::read_dir(&list)
            .and_then(Iterator::collect::<io::Result<Vec<_>>>)
            .map_err(|e| Error::io(format_args!("list {}", list.display()), &e))?;
        let names = entries.iter().filter_map(|e| e.file_name().into_string().ok());
        // Names that begin with a dot are writes that a crash cut short.
        names
            .filter(|n| n.strip_suffix(".json").is_some_and(|n| !n.starts_with('.')))
            .filter_map(|n| self.load(&format!("{below}/{n}"), newest).transpose())
            .collect()
    }

    /// Removes a file. One that is not there is not an error.
    pub async fn forget(&self, name: &str) -> Result<()> {
        let Some(dir) = &self.dir else { return Ok(()) };
        let path = dir.join(name);
        let removed = self.in_lane(name, move || std::fs::remove_file(path)).await?;
        match removed {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                Err(Error::io(format_args!("remove {name}"), &e))
            }
            _ => Ok(()),
        }
    }
}
