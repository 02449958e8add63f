//! `hostler.yaml`: where the nodes of a fleet come from, and how they are looked after.

use crate::{directory::FILE, document, words::nearest};
use base::{Error, Result};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_saphyr::Spanned;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// The sections there are. Each is read into a type of the crate that it steers, by [`FleetFile::section`].
const SECTIONS: &[&str] = &[
    "platforms",
    "assign",
    "metadata_masters",
    "ssh",
    "policies",
    "secrets",
    "schedules",
    "tests",
    "deploy",
];

/// The file, read and checked as far as the names of its sections.
#[derive(Clone, Debug)]
pub struct FleetFile {
    /// Where it is.
    pub path: PathBuf,
    text: String,
}

impl FleetFile {
    /// Reads the file of a fleet directory and refuses sections that do not exist.
    pub fn read(dir: &Path) -> Result<Self> {
        let path = dir.join(FILE);
        let text =
            fs::read_to_string(&path).map_err(|e| Error::io(format_args!("read {}", path.display()), &e))?;
        let sections: document::Entries<IgnoredAny> = document::parse(&path, &text)?;
        if let Some((name, _)) = sections.0.iter().find(|(name, _)| !SECTIONS.contains(&name.value.as_str()))
        {
            let place = document::place(&path, name.referenced);
            return Err(Error::invalid(place, format!("unknown section '{}'", name.value))
                .hint(nearest(&name.value, SECTIONS.iter().copied()).unwrap_or_default()));
        }
        Ok(FleetFile { path, text })
    }

    /// One section, or its default where it is not there. Places in errors are those in the file.
    pub fn section<T: DeserializeOwned + Default>(&self, name: &'static str) -> Result<T> {
        Ok(document::pick(&self.path, &self.text, name)?.unwrap_or_default())
    }

    /// A place in it, as errors name it.
    pub fn place<T>(&self, of: &Spanned<T>) -> String {
        document::place(&self.path, of.referenced)
    }
}
