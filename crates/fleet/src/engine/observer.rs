//! Who watches a run.

use super::Outcome;
use crate::session::{Chunk, Sink};
use base::Error;
use futures::future::{BoxFuture, FutureExt, ready};
use inventory::Node;
use std::time::Duration;

/// What happens on a node. Each node is queued, started, and finished once, in this order, with its output in between;
/// one that is never begun is queued and finished.
#[derive(Clone, Debug)]
pub enum Event<'a> {
    /// It waits for its turn.
    Queued,
    /// It has begun.
    Started,
    /// It could not be reached, and is tried again after this time.
    Again(&'a Error, Duration),
    /// Output of a command.
    Output(Chunk),
    /// It has ended.
    Finished(&'a Outcome),
}

/// Watches a run. The events of one node come one after the other, those of several nodes at the same time.
pub trait Observer: Sync {
    /// Takes an event of the node with this number. The node is held back until it has, and no other node is.
    fn event<'a>(&'a self, index: usize, node: &'a Node, event: Event<'a>) -> BoxFuture<'a, ()>;
}

/// Watches nothing.
#[derive(Clone, Copy, Debug)]
pub struct Blind;

impl Observer for Blind {
    fn event<'a>(&'a self, _: usize, _: &'a Node, _: Event<'a>) -> BoxFuture<'a, ()> {
        ready(()).boxed()
    }
}

/// Where a job's output goes: to the observer. Cheap to clone, one for each command.
#[derive(Clone)]
pub struct Out<'a> {
    pub(super) observer: &'a dyn Observer,
    pub(super) index: usize,
    pub(super) node: &'a Node,
}

impl Out<'_> {
    /// Tells the observer.
    pub async fn output(&self, chunk: Chunk) {
        self.observer.event(self.index, self.node, Event::Output(chunk)).await;
    }
}

impl Sink for Out<'_> {
    fn take(&mut self, chunk: Chunk) -> BoxFuture<'_, ()> {
        self.output(chunk).boxed()
    }
}
