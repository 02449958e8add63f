//! A plain file: what `--secrets` names, or one that only its owner may read.

use crate::{Secrets, Surroundings, text};
use base::Result;
use serde::Deserialize;
use std::path::PathBuf;

/// A plain JSON or YAML file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// Where it is, relative to the fleet directory.
    pub file: PathBuf,
    /// The name that its values go below.
    pub at: Option<String>,
}

impl File {
    pub(super) fn read(&self, name: &str, surroundings: &Surroundings) -> Result<Secrets> {
        let bytes = surroundings.read(&self.file)?;
        Ok(Secrets::new(name, text::parse(&self.file.display().to_string(), &bytes)?))
    }
}
