//! The changes of a prefix, in order and complete.

use crate::{BoxFuture, Entry};
use base::{Result, Revision};
use std::fmt;

/// One key changed in one commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The commit.
    pub revision: Revision,
    /// The key.
    pub key: String,
    /// What is there now; `None` after a deletion.
    pub entry: Option<Entry>,
}

/// The next changes of a watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// In the order of their revisions; never a part of a commit. Empty when only other keys changed.
    pub changes: Vec<Change>,
    /// The watcher is current up to here: a watch from this revision continues without a gap.
    pub revision: Revision,
}

/// What a provider does for a watch.
pub trait Watcher: Send {
    /// See [`Watch::next`].
    fn next(&mut self) -> BoxFuture<'_, Result<Batch>>;
}

/// A running watch. Dropping it ends it.
pub struct Watch(Box<dyn Watcher>);

impl Watch {
    /// A watch over what a provider gives.
    pub fn new(watcher: impl Watcher + 'static) -> Self {
        Watch(Box::new(watcher))
    }

    /// Waits for the store to move, and returns what it brought. Dropping the future loses nothing.
    ///
    /// [`base::Code::Gone`] when this reader was so slow that the history was trimmed beyond it: list again.
    /// [`base::Code::Unavailable`] when the store closes.
    pub async fn next(&mut self) -> Result<Batch> {
        self.0.next().await
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watch")
    }
}
