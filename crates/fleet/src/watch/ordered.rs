//! Output node after node, in the order of the nodes, though they run at the same time.

use super::Screen;
use crate::{
    engine::{Event, Observer, Outcome, Status},
    session::Chunk,
};
use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt};
use inventory::Node;
use std::sync::Arc;
use tokio::sync::{Mutex, watch};

/// What is kept of a node whose turn has not come. One that says more waits for its turn.
const MOST: usize = 64 << 10;
/// What it costs to keep a piece, whatever its size.
const PIECE: usize = 64;

/// Shows the first node that has not ended as it speaks, and keeps a little of those after it.
pub struct Ordered {
    screen: Arc<dyn Screen>,
    /// Whether each node has a line above it.
    headers: bool,
    places: Vec<Mutex<Place>>,
    /// The number of the node that is shown.
    turn: watch::Sender<usize>,
}

#[derive(Default)]
struct Place {
    shown: bool,
    ended: bool,
    /// Whether its standard output stops within a line.
    open: bool,
    /// Pieces of standard output (`true`) and standard error, in turn.
    kept: Vec<(bool, Vec<u8>)>,
    size: usize,
}

impl Place {
    /// Keeps a chunk, where there is room.
    fn keep(&mut self, chunk: &Chunk) -> bool {
        let (out, bytes) = (matches!(chunk, Chunk::Stdout(_)), chunk.bytes());
        let goes_on = self.kept.last().is_some_and(|(last, _)| *last == out);
        let size = self.size + bytes.len() + if goes_on { 0 } else { PIECE };
        if size > MOST {
            return false;
        }
        self.size = size;
        match self.kept.last_mut() {
            Some((_, piece)) if goes_on => piece.extend_from_slice(bytes),
            _ => self.kept.push((out, bytes.to_vec())),
        }
        true
    }

    fn take(&mut self) -> impl Iterator<Item = Chunk> + use<> {
        let pieces = std::mem::take(&mut self.kept).into_iter();
        pieces.map(|(out, bytes)| if out { Chunk::Stdout(bytes.into()) } else { Chunk::Stderr(bytes.into()) })
    }
}

impl Ordered {
    /// For so many nodes. With headers, a line with the name stands above the output of a node, and one that says what
    /// failed below it.
    pub fn new(total: usize, screen: Arc<dyn Screen>, headers: bool) -> Self {
        let places = (0..total).map(|i| Mutex::new(Place { shown: i == 0, ..Place::default() })).collect();
        Ordered { screen, headers, places, turn: watch::Sender::new(0) }
    }

    async fn output(&self, index: usize, chunk: Chunk) {
        let mut turns = self.turn.subscribe();
        loop {
            let mut place = self.places[index].lock().await;
            if let Chunk::Stdout(bytes) = &chunk {
                place.open = bytes.last().is_some_and(|last| *last != b'\n');
            }
            if place.shown {
                return self.screen.show(chunk).await;
            }
            if place.keep(&chunk) {
                return;
            }
            drop(place);
            let _ = turns.wait_for(|turn| *turn >= index).await;
        }
    }

    /// Gives the turn to the next node that has not ended.
    async fn end(&self, index: usize) {
        let mut place = self.places[index].lock().await;
        place.ended = true;
        if !place.shown {
            return;
        }
        drop(place);
        for (next, place) in self.places.iter().enumerate().skip(index + 1) {
            let mut place = place.lock().await;
            for chunk in place.take() {
                self.screen.show(chunk).await;
            }
            place.shown = true;
            self.turn.send_replace(next);
            if !place.ended {
                return;
            }
        }
    }

    async fn line(&self, index: usize, text: String) {
        self.output(index, Chunk::Stdout(Bytes::from(text))).await;
    }
}

impl Observer for Ordered {
    fn event<'a>(&'a self, index: usize, node: &'a Node, event: Event<'a>) -> BoxFuture<'a, ()> {
        async move {
            match event {
                Event::Output(chunk) => self.output(index, chunk).await,
                Event::Started if self.headers => self.line(index, format!("== {}\n", node.name)).await,
                Event::Finished(outcome) => {
                    if self.headers && self.places[index].lock().await.open {
                        self.line(index, "\n".into()).await;
                    }
                    if let Some(text) = footer(outcome).filter(|_| self.headers) {
                        self.line(index, text).await;
                    }
                    self.end(index).await;
                }
                _ => {}
            }
        }
        .boxed()
    }
}

/// What failed, under a header.
fn footer(outcome: &Outcome) -> Option<String> {
    let status = outcome.status.as_str();
    match outcome.status {
        Status::Ok | Status::Skipped => None,
        // It has no header where it was not begun.
        Status::Cancelled if outcome.attempts == 0 => None,
        _ => Some(format!("== {}: {status}\n", outcome.node)),
    }
}
