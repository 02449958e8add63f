//! The bounded memory of the last changes, from which watches read. A watch keeps a place in it and no queue: a slow
//! reader costs nothing, and one that is too slow is told to list again.

use crate::{Batch, BoxFuture, Change, Watch, Watcher};
use base::{Code, Error, Result, Revision};
use parking_lot::Mutex;
use std::{collections::VecDeque, sync::Arc, time::Duration};
use tokio::sync::watch;

/// The most changes a batch is filled up to; a single commit may exceed it.
const BATCH: usize = 1_000;

/// How much is kept for watches that continue. What is beyond any limit goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistoryLimits {
    /// The age of the oldest change, on the monotonic clock.
    pub age: Duration,
    /// The number of changes.
    pub changes: usize,
    /// The bytes of their keys and values.
    pub bytes: usize,
}

impl Default for HistoryLimits {
    fn default() -> Self {
        HistoryLimits { age: Duration::from_mins(10), changes: 100_000, bytes: 64 * 1024 * 1024 }
    }
}

/// The changes of one commit; none for a commit that only has records.
#[derive(Debug)]
struct Step {
    revision: Revision,
    at: rt::clock::Instant,
    changes: Vec<Change>,
}

impl Step {
    fn bytes(&self) -> usize {
        let value = |c: &Change| c.entry.as_ref().map_or(0, |e| e.value.len());
        self.changes.iter().map(|c| 2 * c.key.len() + value(c)).sum()
    }
}

#[derive(Debug)]
struct Steps {
    /// The revision before the oldest step kept.
    start: Revision,
    kept: VecDeque<Step>,
    changes: usize,
    bytes: usize,
}

/// The history of one open store.
#[derive(Debug)]
pub(crate) struct History {
    limits: HistoryLimits,
    steps: Mutex<Steps>,
    revision: watch::Sender<Revision>,
    /// Closed together with the store, so that nobody waits for ever.
    open: watch::Sender<bool>,
}

impl History {
    /// A history that starts now.
    pub fn new(limits: HistoryLimits, revision: Revision) -> Arc<Self> {
        Arc::new(History {
            limits,
            steps: Mutex::new(Steps { start: revision, kept: VecDeque::new(), changes: 0, bytes: 0 }),
            revision: watch::Sender::new(revision),
            open: watch::Sender::new(true),
        })
    }

    /// The newest revision shown.
    pub fn revision(&self) -> Revision {
        *self.revision.borrow()
    }

    /// Shows commits that are durable now, in their order, and wakes the watches once.
    pub fn publish(&self, commits: Vec<(Revision, Vec<Change>)>) {
        let Some(newest) = commits.last().map(|c| c.0) else { return };
        let at = rt::clock::now();
        let mut steps = self.steps.lock();
        for (revision, changes) in commits {
            let step = Step { revision, at, changes };
            steps.changes += step.changes.len();
            steps.bytes += step.bytes();
            steps.kept.push_back(step);
        }
        self.trim(&mut steps, at);
        drop(steps);
        self.revision.send_replace(newest);
    }

    fn trim(&self, steps: &mut Steps, now: rt::clock::Instant) {
        while let Some(oldest) = steps.kept.front() {
            let limits = &self.limits;
            let full = steps.changes > limits.changes || steps.bytes > limits.bytes;
            // Commits without changes take room as well.
            let long = steps.kept.len() > limits.changes;
            if !full && !long && now.duration_since(oldest.at) <= limits.age {
                break;
            }
            steps.start = oldest.revision;
            steps.changes -= oldest.changes.len();
            steps.bytes -= oldest.bytes();
            steps.kept.pop_front();
        }
    }

    /// Ends all watches and waits.
    pub fn close(&self) {
        self.open.send_replace(false);
    }

    /// Waits until `revision` is shown.
    pub async fn reached(&self, revision: Revision) -> Result<()> {
        if self.revision() >= revision {
            return Ok(());
        }
        let mut shown = self.revision.subscribe();
        let mut open = self.open.subscribe();
        tokio::select! {
            _ = shown.wait_for(|r| *r >= revision) => Ok(()),
            _ = open.wait_for(|open| !open) => Err(closed()),
        }
    }

    /// A watch that continues after `from`.
    pub fn watch(self: &Arc<Self>, prefix: &str, from: Revision) -> Result<Watch> {
        let start = self.steps.lock().start;
        if from < start || from > self.revision() {
            return Err(gone(from));
        }
        let (revision, open) = (self.revision.subscribe(), self.open.subscribe());
        let history = self.clone();
        Ok(Watch::new(Follower { history, prefix: prefix.to_owned(), at: from, revision, open }))
    }

    /// What follows `at`, up to about [`BATCH`] changes.
    fn after(&self, at: Revision, prefix: &str) -> Result<Batch> {
        let steps = self.steps.lock();
        if at < steps.start {
            return Err(gone(at));
        }
        let first = steps.kept.partition_point(|s| s.revision <= at);
        let mut batch = Batch { changes: Vec::new(), revision: at };
        for step in steps.kept.range(first..) {
            batch.changes.extend(step.changes.iter().filter(|c| c.key.starts_with(prefix)).cloned());
            batch.revision = step.revision;
            if batch.changes.len() >= BATCH {
                break;
            }
        }
        Ok(batch)
    }
}

/// A place in a history.
struct Follower {
    history: Arc<History>,
    prefix: String,
    at: Revision,
    revision: watch::Receiver<Revision>,
    open: watch::Receiver<bool>,
}

impl Watcher for Follower {
    fn next(&mut self) -> BoxFuture<'_, Result<Batch>> {
        Box::pin(async move {
            let at = self.at;
            tokio::select! {
                biased;
                _ = self.open.wait_for(|open| !open) => return Err(closed()),
                _ = self.revision.wait_for(|r| *r > at) => {}
            }
            let batch = self.history.after(at, &self.prefix)?;
            self.at = batch.revision;
            Ok(batch)
        })
    }
}

fn gone(revision: Revision) -> Error {
    Error::new(Code::Gone, format!("the history does not continue from revision {revision}"))
        .hint("list again, and watch from the revision of that list")
}

/// The error of a store that is closing.
pub(crate) fn closed() -> Error {
    Error::unavailable("the store is closing").hint("try again when the controller is back")
}
