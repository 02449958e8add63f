//! What is kept beside the keys: events, audit, results of idempotent requests. Written in the commit that causes
//! them, never changed, read by page, trimmed by age and number, and not part of any watch.

use crate::MAX_KEY_BYTES;
use base::{Code, Error, Result, Revision};
use bytes::Bytes;

/// A record to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// `event`, `audit`, `idempotency`, ...
    pub kind: String,
    /// What it is about, e.g. `default/` and a uid: lists choose by it, and trimming counts by it.
    pub scope: String,
    /// Unique within the kind, for records that are looked up.
    pub key: Option<String>,
    /// Wall time in milliseconds since 1970.
    pub at_ms: i64,
    /// The content. The store never looks inside.
    pub value: Bytes,
}

impl Record {
    pub(crate) fn bytes(&self) -> usize {
        self.kind.len() + self.scope.len() + self.key.as_ref().map_or(0, String::len) + self.value.len()
    }

    pub(crate) fn check(&self) -> Result<()> {
        for (what, text) in
            [("kind", Some(&self.kind)), ("scope", Some(&self.scope)), ("key", self.key.as_ref())]
        {
            if text.is_some_and(|t| t.len() > MAX_KEY_BYTES) {
                return Err(Error::new(
                    Code::TooLarge,
                    format!("the {what} of a record is longer than {MAX_KEY_BYTES} bytes"),
                ));
            }
            if text.is_some_and(|t| t.contains('\0')) {
                return Err(Error::new(Code::Invalid, format!("the {what} of a record contains a NUL")));
            }
        }
        Ok(())
    }
}

/// A record as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRecord {
    /// Its place among all records: later ones have higher ids, those of a later incarnation higher ones still. Ids are
    /// never used again. Serves as cursor. Below 2^53, so that JSON carries it.
    pub id: u64,
    /// The commit it came with.
    pub revision: Revision,
    /// See [`Record::kind`].
    pub kind: String,
    /// See [`Record::scope`].
    pub scope: String,
    /// See [`Record::key`].
    pub key: Option<String>,
    /// See [`Record::at_ms`].
    pub at_ms: i64,
    /// See [`Record::value`].
    pub value: Bytes,
}

/// Which scopes a query takes.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Scope {
    /// Every scope.
    #[default]
    Any,
    /// This very scope.
    Is(String),
    /// Scopes that start so, e.g. with `default/`.
    StartsWith(String),
}

impl Scope {
    /// Whether a scope is one of these.
    pub fn takes(&self, scope: &str) -> bool {
        match self {
            Scope::Any => true,
            Scope::Is(one) => one == scope,
            Scope::StartsWith(start) => scope.starts_with(start.as_str()),
        }
    }
}

/// In which direction a query walks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Order {
    /// From the newest record back.
    #[default]
    Newest,
    /// From the oldest record on.
    Oldest,
}

/// Which records, and how many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordQuery {
    /// The kind.
    pub kind: String,
    /// The scopes.
    pub scope: Scope,
    /// Continues after the record with this id, in the direction of `order`.
    pub after: Option<u64>,
    /// The most records to return.
    pub limit: usize,
    /// The direction.
    pub order: Order,
}

/// What is kept of one kind; what is beyond any of the three goes, oldest first.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct TrimRule {
    /// The kind.
    pub kind: String,
    /// Keeps records with [`Record::at_ms`] at or after this.
    pub since_ms: Option<i64>,
    /// Keeps this many per scope.
    pub per_scope: Option<u64>,
    /// Keeps this many in all.
    pub total: Option<u64>,
}
