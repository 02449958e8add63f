//! The agent's small files. Without a directory (synthetic workers) nothing is kept over a restart.

use base::{Error, Result};
use serde::{Serialize, de::DeserializeOwned};
use std::{
    io,
    path::{Path, PathBuf},
};

/// Where small JSON files are kept, whole and synced, for the owner's eyes only.
#[derive(Clone, Debug)]
pub struct Keeper(Option<PathBuf>);

impl Keeper {
    /// Keeps files in `dir`, or nowhere.
    pub fn new(dir: Option<PathBuf>) -> Result<Self> {
        if let Some(dir) = &dir {
            rt::files::private_dir(&dir.join("records"))?;
        }
        Ok(Keeper(dir))
    }

    /// The directory.
    pub fn dir(&self) -> Option<&Path> {
        self.0.as_deref()
    }

    /// Writes a file. It is on the disk when this returns.
    pub async fn save(&self, name: &str, value: &impl Serialize) -> Result<()> {
        let Some(dir) = &self.0 else { return Ok(()) };
        let path = dir.join(name);
        let bytes = serde_json::to_vec(value)
            .map_err(|e| Error::internal(format!("cannot write {name}")).because(e))?;
        rt::task::blocking(move || rt::files::write_atomic(&path, &bytes)).await?
    }

    /// Reads a file; `None` where there is none.
    ///
    /// # Errors
    /// A file that is not understood is an error: acting without it could harm VMs.
    pub fn load<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>> {
        let Some(dir) = &self.0 else { return Ok(None) };
        let path = dir.join(name);
        let Some(bytes) = rt::files::read_optional(&path)? else { return Ok(None) };
        serde_json::from_slice(&bytes).map(Some).map_err(|e| {
            Error::internal(format!("{} is not understood", path.display())).because(e).hint(
                "was it written by a newer release? Otherwise restore it from a backup of that directory",
            )
        })
    }

    /// Reads all files of a directory below.
    pub fn load_all<T: DeserializeOwned>(&self, below: &str) -> Result<Vec<T>> {
        let Some(dir) = &self.0 else { return Ok(Vec::new()) };
        let list = dir.join(below);
        let entries = std::fs::read_dir(&list)
            .and_then(Iterator::collect::<io::Result<Vec<_>>>)
            .map_err(|e| Error::io(format_args!("list {}", list.display()), &e))?;
        let names = entries.iter().filter_map(|e| e.file_name().into_string().ok());
        // Names that begin with a dot are writes that a crash cut short.
        names
            .filter(|n| n.strip_suffix(".json").is_some_and(|n| !n.starts_with('.')))
            .filter_map(|n| self.load(&format!("{below}/{n}")).transpose())
            .collect()
    }

    /// Removes a file. One that is not there is not an error.
    pub async fn forget(&self, name: &str) -> Result<()> {
        let Some(dir) = &self.0 else { return Ok(()) };
        let path = dir.join(name);
        let removed = rt::task::blocking(move || std::fs::remove_file(path)).await?;
        match removed {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                Err(Error::io(format_args!("remove {name}"), &e))
            }
            _ => Ok(()),
        }
    }
}
