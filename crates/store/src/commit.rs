//! What is written together, and when it is refused.

use crate::Record;
use base::{Code, Error, Result, Revision};
use bytes::Bytes;
use std::collections::HashSet;

/// The most writes and records of one commit, and the most preconditions: etcd's default (`--max-txn-ops`).
pub const MAX_OPS: usize = 128;

/// The most bytes of keys and values in one commit. etcd's default is 1.5 MiB with its own overhead in it.
pub const MAX_COMMIT_BYTES: usize = 1024 * 1024;

/// The longest key.
pub const MAX_KEY_BYTES: usize = 1024;

/// What must hold for a commit to happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Precondition {
    /// There is no such key.
    Absent(String),
    /// The key was last written by this commit: [`crate::Entry::modified`].
    AtRevision(String, Revision),
    /// There is such a key.
    Exists(String),
}

impl Precondition {
    /// The key it is about.
    pub fn key(&self) -> &str {
        match self {
            Precondition::Absent(key) | Precondition::AtRevision(key, _) | Precondition::Exists(key) => key,
        }
    }

    /// Whether it holds for a key that was last written at `current`, or is absent.
    pub fn holds(&self, current: Option<Revision>) -> bool {
        match self {
            Precondition::Absent(_) => current.is_none(),
            Precondition::AtRevision(_, revision) => current == Some(*revision),
            Precondition::Exists(_) => current.is_some(),
        }
    }
}

/// One change of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// Sets the value.
    Put {
        /// The key.
        key: String,
        /// The value.
        value: Bytes,
    },
    /// Removes the key. One that is absent already stays absent: use [`Precondition::Exists`] to find out.
    Delete {
        /// The key.
        key: String,
    },
}

impl Write {
    /// The key it changes.
    pub fn key(&self) -> &str {
        match self {
            Write::Put { key, .. } | Write::Delete { key } => key,
        }
    }
}

/// Writes and records that happen together or not at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Commit {
    /// All must hold.
    pub preconditions: Vec<Precondition>,
    /// Each key at most once.
    pub writes: Vec<Write>,
    /// What is kept beside the keys: events, audit, results of idempotent requests.
    pub records: Vec<Record>,
}

impl Commit {
    /// An empty commit, to be filled.
    pub fn new() -> Self {
        Self::default()
    }

    /// Requires that the key is absent.
    #[must_use]
    pub fn absent(mut self, key: impl Into<String>) -> Self {
        self.preconditions.push(Precondition::Absent(key.into()));
        self
    }

    /// Requires that the key was last written by this commit.
    #[must_use]
    pub fn at(mut self, key: impl Into<String>, revision: Revision) -> Self {
        self.preconditions.push(Precondition::AtRevision(key.into(), revision));
        self
    }

    /// Requires that the key is there.
    #[must_use]
    pub fn exists(mut self, key: impl Into<String>) -> Self {
        self.preconditions.push(Precondition::Exists(key.into()));
        self
    }

    /// Sets a value.
    #[must_use]
    pub fn put(mut self, key: impl Into<String>, value: impl Into<Bytes>) -> Self {
        self.writes.push(Write::Put { key: key.into(), value: value.into() });
        self
    }

    /// Removes a key.
    #[must_use]
    pub fn delete(mut self, key: impl Into<String>) -> Self {
        self.writes.push(Write::Delete { key: key.into() });
        self
    }

    /// Adds a record.
    #[must_use]
    pub fn record(mut self, record: Record) -> Self {
        self.records.push(record);
        self
    }

    /// Bytes of keys and values, as counted against [`MAX_COMMIT_BYTES`].
    pub fn bytes(&self) -> usize {
        let preconditions: usize = self.preconditions.iter().map(|p| p.key().len()).sum();
        let writes: usize = self
            .writes
            .iter()
            .map(|w| match w {
                Write::Put { key, value } => key.len() + value.len(),
                Write::Delete { key } => key.len(),
            })
            .sum();
        let records: usize = self.records.iter().map(Record::bytes).sum();
        preconditions + writes + records
    }

    /// Whether every provider can take it: not empty, within the limits, good keys, each written once.
    pub fn check(&self) -> Result<()> {
        if self.writes.is_empty() && self.records.is_empty() {
            return Err(Error::new(Code::Invalid, "a commit needs a write or a record"));
        }
        let keyed = self.records.iter().filter(|r| r.key.is_some()).count();
        within("writes and records", self.writes.len() + self.records.len(), MAX_OPS)?;
        within("preconditions", self.preconditions.len() + keyed, MAX_OPS)?;
        within("bytes", self.bytes(), MAX_COMMIT_BYTES)?;
        self.preconditions.iter().try_for_each(|p| check_key(p.key()))?;
        let mut seen = HashSet::new();
        for write in &self.writes {
            check_key(write.key())?;
            if !seen.insert(write.key()) {
                return Err(Error::new(Code::Invalid, format!("one commit writes '{}' twice", write.key())));
            }
        }
        self.records.iter().try_for_each(Record::check)?;
        let mut seen = HashSet::new();
        for (kind, key) in self.records.iter().filter_map(|r| Some((&r.kind, r.key.as_ref()?))) {
            if !seen.insert((kind, key)) {
                return Err(Error::new(Code::Invalid, format!("one commit has two {kind} records '{key}'")));
            }
        }
        Ok(())
    }
}

fn within(what: &str, count: usize, limit: usize) -> Result<()> {
    if count <= limit {
        return Ok(());
    }
    Err(Error::new(Code::TooLarge, format!("a commit of {count} {what} is over the limit of {limit}"))
        .hint("make the object smaller, or split the change"))
}

/// Keys are printable ASCII without spaces, so that every provider sorts them alike.
pub(crate) fn check_key(key: &str) -> Result<()> {
    let printable = key.bytes().all(|b| b.is_ascii_graphic());
    if printable && (1..=MAX_KEY_BYTES).contains(&key.len()) {
        return Ok(());
    }
    Err(Error::new(Code::Invalid, format!("{key:?} is not a key of the store"))
        .hint(format!("use 1 to {MAX_KEY_BYTES} printable ASCII characters without spaces")))
}

/// Why a commit did not happen.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// A precondition does not hold. The first one in order is named.
    #[error("precondition {index} on '{}' does not hold", failed.key())]
    Precondition {
        /// Its place in [`Commit::preconditions`].
        index: usize,
        /// The precondition itself.
        failed: Precondition,
        /// When the key was last written; `None` where it is absent.
        current: Option<Revision>,
    },
    /// Another commit has a record with this kind and key: see [`crate::Store::record_by_key`].
    #[error("there is a record '{key}' of kind {kind} already")]
    RecordExists {
        /// The kind of the record.
        kind: String,
        /// Its key.
        key: String,
    },
    /// All else: refused by a limit, a full disk, a failing disk, a closing store.
    #[error(transparent)]
    Failed(#[from] Error),
}

impl From<CommitError> for Error {
    fn from(error: CommitError) -> Self {
        let (code, message, hint) = match &error {
            CommitError::Failed(e) => return e.clone(),
            CommitError::RecordExists { .. } => {
                (Code::Conflict, error.to_string(), "repeat the request to get the first result")
            }
            CommitError::Precondition { failed, current, .. } => {
                let key = failed.key();
                match (failed, current) {
                    (Precondition::Absent(_), _) => {
                        (Code::Conflict, format!("'{key}' exists already"), "choose another name")
                    }
                    (_, None) => {
                        (Code::NotFound, format!("'{key}' does not exist"), "it may just have been deleted")
                    }
                    (_, Some(_)) => (
                        Code::PreconditionFailed,
                        format!("'{key}' has changed meanwhile"),
                        "read it again, then repeat the change",
                    ),
                }
            }
        };
        Error::new(code, message).hint(hint)
    }
}
