//! Where people look.

use crate::session::Chunk;
use futures::future::BoxFuture;

/// Where people look: data goes to its standard output, all else to its standard error.
pub trait Screen: Send + Sync {
    /// Shows bytes of one of the outputs, in the order of the calls, and never those of two calls mixed. A slow one holds
    /// the caller back.
    fn show(&self, chunk: Chunk) -> BoxFuture<'_, ()>;
}
