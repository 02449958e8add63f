//! What differs between connectors: how a line is started on a node, and how its streams are reached.

use crate::session::{Chunk, Ended};
use base::Result;
use bytes::Bytes;
use futures::future::BoxFuture;

/// A way to start programs on one node.
pub trait Channels: Send + Sync {
    /// Starts a line in the login shell of the user.
    ///
    /// # Errors
    /// [`base::Code::Unavailable`] where the node was lost.
    fn start<'a>(&'a self, line: &'a str) -> BoxFuture<'a, Result<Started>>;
}

/// A started line. Dropping the two ends its standard input, and lets go of it.
pub struct Started {
    /// The way to it.
    pub input: Box<dyn Writer>,
    /// The way from it.
    pub output: Box<dyn Reader>,
}

/// The standard input of a started line. Dropping it ends the input.
pub trait Writer: Send {
    /// Gives it bytes, and waits until it takes them.
    ///
    /// # Errors
    /// Once it takes no more.
    fn write(&mut self, bytes: Bytes) -> BoxFuture<'_, Result<()>>;
}

/// The outputs of a started line.
pub trait Reader: Send {
    /// What comes next; nothing is asked after the end. Safe to cancel.
    ///
    /// # Errors
    /// [`base::Code::Unavailable`] where the node was lost before the end was known.
    fn next(&mut self) -> BoxFuture<'_, Result<Event>>;
}

/// What comes from a started line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Bytes.
    Chunk(Chunk),
    /// It has ended, and nothing follows. [`Ended::Timeout`] does not occur.
    Ended(Ended),
}
