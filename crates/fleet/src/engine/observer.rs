//! Who watches a run.

use super::Outcome;
use crate::session::{Chunk, Sink};
use base::Error;
use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt, ready};
use inventory::Node;
use parking_lot::Mutex;
use secrets::{Redacted, Redactor};
use std::{borrow::Cow, time::Duration};

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
    /// A step has begun or ended.
    Step(Progress<'a>),
    /// It has ended.
    Finished(&'a Outcome),
}

/// How far a step is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress<'a> {
    /// Its service; commands of a run have none.
    pub service: Option<&'a str>,
    /// What it is called.
    pub step: Cow<'a, str>,
    /// How far.
    pub state: StepState,
}

/// Where a step stands. One that is tried again is started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepState {
    /// It runs.
    Started,
    /// It ended well.
    Done,
    /// It did not.
    Failed,
}

impl<'a> Progress<'a> {
    /// Of a step that runs.
    pub fn started(service: Option<&'a str>, step: &'a str) -> Self {
        Progress { service, step: step.into(), state: StepState::Started }
    }

    /// Of one that has ended.
    pub fn ended(service: Option<&'a str>, step: &'a str, well: bool) -> Self {
        let state = if well { StepState::Done } else { StepState::Failed };
        Progress { service, step: step.into(), state }
    }
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

/// Where a job's output goes: to the observer, without secrets. Cheap to clone, one for each command.
#[derive(Clone)]
pub struct Out<'a> {
    pub(super) observer: &'a dyn Observer,
    pub(super) index: usize,
    pub(super) node: &'a Node,
    pub(super) streams: &'a Streams,
    pub(super) redactor: &'a Redactor,
}

impl Out<'_> {
    /// Tells the observer.
    pub async fn output(&self, chunk: Chunk) {
        if let Some(chunk) = self.streams.shown(chunk) {
            self.observer.event(self.index, self.node, Event::Output(chunk)).await;
        }
    }

    /// Tells how far a step is.
    pub async fn step(&self, progress: Progress<'_>) {
        let step = Cow::Owned(self.redactor.text(&progress.step).into_owned());
        self.observer.event(self.index, self.node, Event::Step(Progress { step, ..progress })).await;
    }
}

impl Sink for Out<'_> {
    fn take(&mut self, chunk: Chunk) -> BoxFuture<'_, ()> {
        self.output(chunk).boxed()
    }
}

/// The outputs of one node on their way to the observer.
pub struct Streams(Mutex<[Redacted; 2]>);

impl Streams {
    pub(super) fn new(redactor: &Redactor) -> Self {
        Streams(Mutex::new([redactor.stream(), redactor.stream()]))
    }

    /// What may be shown now.
    fn shown(&self, chunk: Chunk) -> Option<Chunk> {
        let [out, err] = &mut *self.0.lock();
        let shown = match chunk {
            Chunk::Stdout(bytes) => Chunk::Stdout(push(out, &bytes)),
            Chunk::Stderr(bytes) => Chunk::Stderr(push(err, &bytes)),
        };
        Some(shown).filter(|chunk| !chunk.bytes().is_empty())
    }

    /// The rest, once nothing more comes.
    pub(super) fn rest(&self) -> impl Iterator<Item = Chunk> {
        let [out, err] = &mut *self.0.lock();
        let rest = [Chunk::Stdout(out.finish().into()), Chunk::Stderr(err.finish().into())];
        rest.into_iter().filter(|chunk| !chunk.bytes().is_empty())
    }
}

fn push(stream: &mut Redacted, bytes: &Bytes) -> Bytes {
    match stream.push(bytes) {
        Cow::Borrowed(shown) => bytes.slice_ref(shown),
        Cow::Owned(shown) => shown.into(),
    }
}
