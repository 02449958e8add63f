//! Output as it comes, each line with the name of its node before it.

use super::Screen;
use crate::{
    engine::{Event, Observer},
    session::Chunk,
};
use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt};
use inventory::Node;
use std::sync::Arc;
use tokio::sync::Mutex;

/// A longer line is shown in pieces.
const LONGEST: usize = 8 << 10;

/// Shows whole lines.
pub struct Prefixed {
    screen: Arc<dyn Screen>,
    width: usize,
    /// The beginnings of lines of each node, of its two outputs.
    begun: Vec<Mutex<[Vec<u8>; 2]>>,
}

impl Prefixed {
    /// For these nodes.
    pub fn new(nodes: &[Node], screen: Arc<dyn Screen>) -> Self {
        let width = nodes.iter().map(|node| node.name.chars().count()).max().unwrap_or(0);
        Prefixed { screen, width, begun: nodes.iter().map(|_| Mutex::default()).collect() }
    }

    async fn output(&self, index: usize, node: &Node, chunk: Chunk) {
        let mut begun = self.begun[index].lock().await;
        let prefix = format!("{:width$} | ", node.name, width = self.width);
        let shown = match &chunk {
            Chunk::Stdout(bytes) => Chunk::Stdout(lines(&prefix, &mut begun[0], bytes)),
            Chunk::Stderr(bytes) => Chunk::Stderr(lines(&prefix, &mut begun[1], bytes)),
        };
        if !shown.bytes().is_empty() {
            self.screen.show(shown).await;
        }
    }

    /// The last lines, where no line feed ended them.
    async fn end(&self, index: usize, node: &Node) {
        let [out, err] = self.begun[index].lock().await.each_ref().map(|line| !line.is_empty());
        let feed = || Bytes::from_static(b"\n");
        let ends = [out.then(|| Chunk::Stdout(feed())), err.then(|| Chunk::Stderr(feed()))];
        for end in ends.into_iter().flatten() {
            self.output(index, node, end).await;
        }
    }
}

/// The lines that are whole now; the rest stays in `begun`.
fn lines(prefix: &str, begun: &mut Vec<u8>, bytes: &[u8]) -> Bytes {
    let mut shown = Vec::new();
    for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
        begun.extend_from_slice(piece);
        let whole = piece.ends_with(b"\n");
        if whole || begun.len() >= LONGEST {
            shown.extend_from_slice(prefix.as_bytes());
            shown.append(begun);
            if !whole {
                shown.push(b'\n');
            }
        }
    }
    shown.into()
}

impl Observer for Prefixed {
    fn event<'a>(&'a self, index: usize, node: &'a Node, event: Event<'a>) -> BoxFuture<'a, ()> {
        async move {
            match event {
                Event::Output(chunk) => self.output(index, node, chunk).await,
                Event::Finished(_) => self.end(index, node).await,
                _ => {}
            }
        }
        .boxed()
    }
}
