//! How far a run is.

use crate::engine::{Event, Observer};
use futures::future::{BoxFuture, FutureExt, ready};
use inventory::Node;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Counts nodes, and calls back whenever a number changes.
pub struct Tally<F> {
    total: usize,
    started: AtomicUsize,
    /// Of those that were started.
    finished: AtomicUsize,
    /// Those that are never started.
    left_out: AtomicUsize,
    changed: F,
}

/// Numbers of nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Those that wait.
    pub queue: usize,
    /// Those that run.
    pub processing: usize,
    /// Those that have ended, or will not start.
    pub done: usize,
    /// All.
    pub total: usize,
}

impl<F: Fn(Counts) + Sync> Tally<F> {
    /// For so many nodes.
    pub fn new(total: usize, changed: F) -> Self {
        let zero = AtomicUsize::default;
        Tally { total, started: zero(), finished: zero(), left_out: zero(), changed }
    }

    /// How far it is.
    pub fn counts(&self) -> Counts {
        let (finished, left_out) = (self.finished.load(Relaxed), self.left_out.load(Relaxed));
        let processing = self.started.load(Relaxed).saturating_sub(finished);
        let done = finished + left_out;
        Counts { queue: self.total.saturating_sub(processing + done), processing, done, total: self.total }
    }
}

impl<F: Fn(Counts) + Sync> Observer for Tally<F> {
    fn event<'a>(&'a self, _: usize, _: &'a Node, event: Event<'a>) -> BoxFuture<'a, ()> {
        let counter = match event {
            Event::Started => Some(&self.started),
            Event::Finished(outcome) if outcome.attempts == 0 => Some(&self.left_out),
            Event::Finished(_) => Some(&self.finished),
            _ => None,
        };
        if let Some(counter) = counter {
            counter.fetch_add(1, Relaxed);
            (self.changed)(self.counts());
        }
        ready(()).boxed()
    }
}
