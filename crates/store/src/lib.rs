//! The revisioned key-value store: its contract, its SQLite provider, its conformance suite.
//!
//! The contract ([`Store`]) is what etcd can promise too, so that a second provider is a provider and not a rewrite:
//! small commits with preconditions, lists by prefix, and a watch that continues from a revision for as long as the
//! bounded history reaches. Nothing is visible, to readers or watchers, before it is durable.
//!
//! How a reader follows a prefix: [`Store::list`] page by page, then [`Store::watch`] from the revision of the *first*
//! page. A change that a later page had shown already comes again; comparing `modified` makes that harmless. When the
//! watch ends with [`base::Code::Gone`], list again.

mod commit;
pub mod conformance;
mod history;
pub mod memory;
mod record;
pub mod sqlite;
mod watch;

pub use commit::{Commit, CommitError, MAX_COMMIT_BYTES, MAX_KEY_BYTES, MAX_OPS, Precondition, Write};
pub use history::HistoryLimits;
pub use record::{Order, Record, RecordQuery, Scope, StoredRecord, TrimRule};
pub use watch::{Batch, Change, Watch, Watcher};

use base::{Result, Revision};
use bytes::Bytes;
use std::{path::Path, pin::Pin};

/// A future of an object-safe trait.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// One key and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The key, e.g. `/vms/default/web`.
    pub key: String,
    /// The value. The store never looks inside.
    pub value: Bytes,
    /// The commit that made the key (again, when it was deleted in between).
    pub created: Revision,
    /// The commit that wrote the value: the `ETag` of the entry.
    pub modified: Revision,
}

/// A part of a list, read at one revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// In the order of their keys.
    pub entries: Vec<Entry>,
    /// The revision that this page shows.
    pub revision: Revision,
    /// Whether keys follow: list again `after` the last one of this page.
    pub more: bool,
}

/// A revisioned key-value store with records beside it. Every method may be called at the same time from anywhere.
///
/// Errors that every method may give: [`base::Code::Internal`] (the file is damaged or the disk fails) and
/// [`base::Code::Unavailable`] (the store is closing).
pub trait Store: Send + Sync + 'static {
    /// The entry of a key.
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Entry>>>;

    /// At most `limit` entries whose key starts with `prefix` and sorts after `after`, in the order of their keys.
    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Page>>;

    /// Checks the preconditions, then writes everything or nothing. The answer comes once it is durable. Dropping
    /// the future does not take the commit back.
    fn commit(&self, commit: Commit) -> BoxFuture<'_, Result<Revision, CommitError>>;

    /// All changes after `from` of keys that start with `prefix`.
    /// [`base::Code::Gone`] when the history no longer reaches back to `from`, or `from` is of another incarnation.
    fn watch<'a>(&'a self, prefix: &'a str, from: Revision) -> BoxFuture<'a, Result<Watch>>;

    /// The newest revision that is durable and visible. Never behind anything a read or a watch has shown.
    fn revision(&self) -> Revision;

    /// Records of one kind, a page at a time.
    fn records<'a>(&'a self, query: &'a RecordQuery) -> BoxFuture<'a, Result<Vec<StoredRecord>>>;

    /// The record with this key, which is unique within its kind.
    fn record_by_key<'a>(
        &'a self,
        kind: &'a str,
        key: &'a str,
    ) -> BoxFuture<'a, Result<Option<StoredRecord>>>;

    /// Deletes the records that the rules no longer keep; says how many for each rule. Works in small portions, so
    /// that commits go on meanwhile.
    fn trim<'a>(&'a self, rules: &'a [TrimRule]) -> BoxFuture<'a, Result<Vec<u64>>>;

    /// Writes a consistent copy to `path`, with its manifest beside it, while commits go on.
    /// [`base::Code::Conflict`] where `path` exists.
    fn backup<'a>(&'a self, path: &'a Path) -> BoxFuture<'a, Result<()>>;

    /// An error with the reason when the store accepts no more commits until it is opened again.
    fn health(&self) -> Result<()>;
}
