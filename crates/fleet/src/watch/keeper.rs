//! The beginnings of the outputs, for reports.

use crate::{
    engine::{Event, Observer},
    session::Chunk,
};
use futures::future::{BoxFuture, FutureExt, ready};
use inventory::Node;
use parking_lot::Mutex;
use serde::Serialize;

/// Keeps the first bytes of each output of each node.
#[derive(Debug)]
pub struct Keeper {
    most: usize,
    kept: Vec<Mutex<Raw>>,
}

#[derive(Debug, Default)]
struct Raw {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    truncated: bool,
}

/// What a node said.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Kept {
    /// The beginning of its standard output; what is no UTF-8 is replaced.
    pub stdout: String,
    /// The same of its standard error.
    pub stderr: String,
    /// Whether there was more.
    pub truncated: bool,
}

impl Keeper {
    /// For so many nodes, at most so many bytes of each output.
    pub fn new(total: usize, most: usize) -> Self {
        Keeper { most, kept: (0..total).map(|_| Mutex::default()).collect() }
    }

    /// What was kept, in the order of the nodes.
    pub fn into_kept(self) -> Vec<Kept> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let kept = self.kept.into_iter().map(Mutex::into_inner);
        kept.map(|raw| Kept {
            stdout: text(&raw.stdout),
            stderr: text(&raw.stderr),
            truncated: raw.truncated,
        })
        .collect()
    }

    fn keep(&self, index: usize, chunk: &Chunk) {
        let raw = &mut *self.kept[index].lock();
        let (kept, bytes) = match chunk {
            Chunk::Stdout(bytes) => (&mut raw.stdout, bytes),
            Chunk::Stderr(bytes) => (&mut raw.stderr, bytes),
        };
        let room = self.most.saturating_sub(kept.len()).min(bytes.len());
        kept.extend_from_slice(&bytes[..room]);
        raw.truncated |= room < bytes.len();
    }
}

impl Observer for Keeper {
    fn event<'a>(&'a self, index: usize, _: &'a Node, event: Event<'a>) -> BoxFuture<'a, ()> {
        if let Event::Output(chunk) = event {
            self.keep(index, &chunk);
        }
        ready(()).boxed()
    }
}
