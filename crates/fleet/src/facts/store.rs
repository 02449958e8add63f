//! Facts that were gathered before, in a file of this machine.

use base::{Error, Result};
use inventory::Metadata;
use jiff::Timestamp;
use rt::locked::LockedFile;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// The version of the file. One of another version is gathered anew.
const VERSION: u32 = 1;

/// What is known of a node, and since when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    /// When it was gathered.
    pub gathered: Timestamp,
    /// The facts.
    pub facts: Metadata,
}

/// The file of one fleet directory.
#[derive(Clone, Debug)]
pub struct Store(PathBuf);

#[derive(Serialize, Deserialize)]
struct Content {
    version: u32,
    nodes: BTreeMap<String, Known>,
}

impl Store {
    /// At this path. Nothing is read yet.
    pub fn new(path: PathBuf) -> Self {
        Store(path)
    }

    /// What is known, by node.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn read(&self) -> Result<BTreeMap<String, Known>> {
        Ok(rt::files::read_optional(&self.0)?.map(|bytes| content(&bytes)).unwrap_or_default())
    }

    /// Keeps what was gathered, and forgets nodes that are not known any more.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn keep(&self, new: BTreeMap<String, Known>, is_known: impl Fn(&str) -> bool) -> Result<()> {
        if let Some(dir) = self.0.parent().and_then(Path::parent) {
            rt::files::private_dir(dir)?;
        }
        let file = LockedFile::open(&self.0)?;
        let mut nodes = content(file.read()?.as_bytes());
        nodes.extend(new);
        nodes.retain(|name, _| is_known(name));
        let bytes = serde_json::to_vec(&Content { version: VERSION, nodes });
        file.replace(&bytes.map_err(|e| Error::internal("cannot write facts").because(e))?)
    }
}

/// The nodes of a file; none where it is not one that is understood: it holds nothing that cannot be found again.
fn content(bytes: &[u8]) -> BTreeMap<String, Known> {
    let content: Option<Content> = serde_json::from_slice(bytes).ok();
    content.filter(|content| content.version == VERSION).map(|content| content.nodes).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn known(os: &str) -> Known {
        let facts = [("os".to_owned(), json!(os))].into();
        Known { gathered: Timestamp::UNIX_EPOCH, facts }
    }

    #[test]
    fn facts_are_kept_with_those_of_others_and_the_rest_is_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::new(dir.path().join("facts/lab.json"));
        assert!(store.read().unwrap().is_empty());
        let of = |name: &str, os: &str| [(name.to_owned(), known(os))].into();
        store.keep(of("web1", "debian"), |_| true).unwrap();
        store.keep(of("web2", "alpine"), |_| true).unwrap();
        store.keep(of("web2", "fedora"), |_| true).unwrap();
        let both = [("web1".to_owned(), known("debian")), ("web2".to_owned(), known("fedora"))];
        assert_eq!(store.read().unwrap(), both.into());
        store.keep(of("web3", "arch"), |name| name != "web1").unwrap();
        assert_eq!(store.read().unwrap().into_keys().collect::<Vec<_>>(), ["web2", "web3"]);
        std::fs::write(dir.path().join("facts/lab.json"), "{\"version\":9}").unwrap();
        assert!(store.read().unwrap().is_empty());
    }
}
