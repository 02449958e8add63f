//! What is remembered of a run, so that it can be done again where it failed.

use crate::engine::{Outcome, Status};
use base::{Error, Result};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// The version of the file. Files of a later one are not read.
const VERSION: u32 = 1;

/// The last run in a fleet directory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Last {
    version: u32,
    /// The nodes where it did not end well, those that were not begun among them.
    pub not_well: Vec<String>,
}

impl Last {
    /// Of a run that had these outcomes.
    pub fn of<'a>(outcomes: impl IntoIterator<Item = &'a Outcome>) -> Self {
        let bad = outcomes.into_iter().filter(|outcome| outcome.status != Status::Ok);
        Last { version: VERSION, not_well: bad.map(|outcome| outcome.node.clone()).collect() }
    }

    /// Reads what was kept; `None` where nothing was.
    ///
    /// # Errors
    /// Where the file cannot be read, or a later version of this program wrote it.
    pub fn read(path: &Path) -> Result<Option<Self>> {
        let Some(bytes) = rt::files::read_optional(path)? else { return Ok(None) };
        let unreadable = |why: String| {
            Error::conflict(format!("what the last run left at {} cannot be read", path.display()))
                .because(why)
                .hint("run without --rerun-failed once")
        };
        let last: Last = serde_json::from_slice(&bytes).map_err(|e| unreadable(e.to_string()))?;
        if last.version > VERSION {
            return Err(unreadable(format!(
                "it has version {}, and this program knows {VERSION}",
                last.version
            )));
        }
        Ok(Some(last))
    }

    /// Keeps it.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        if let Some(dir) = path.parent() {
            rt::files::private_dir(dir)?;
        }
        let text = serde_json::to_vec(self).map_err(|e| Error::internal("cannot write a file").because(e))?;
        rt::files::write_atomic(path, &text)
    }
}
