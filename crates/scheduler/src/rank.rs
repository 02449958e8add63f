//! The order of the queue.

use crate::Request;
use base::Uid;
use std::cmp::Reverse;

/// Priority, then age, then uid. Lower goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rank {
    priority: Reverse<i32>,
    created_ms: u64,
    /// The VM.
    pub vm: Uid,
}

impl Rank {
    /// The place of a request in the queue.
    pub(crate) fn of(request: &Request) -> Self {
        Rank { priority: Reverse(request.priority), created_ms: request.created_ms, vm: request.vm }
    }
}
