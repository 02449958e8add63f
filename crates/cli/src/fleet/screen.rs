//! Standard output and standard error, where output of nodes goes.

use crate::{Result, printer::Printer};
use base::Error;
use fleet::{session::Chunk, watch::Screen};
use futures::future::{BoxFuture, FutureExt};
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};

/// Pieces that wait for a slow terminal.
const WAITING: usize = 8;

/// Writes in a thread of its own, so that a terminal that is stopped (Ctrl-S) stops nothing but the output.
#[derive(Debug)]
pub struct Stdio {
    pieces: Mutex<Option<mpsc::Sender<Chunk>>>,
    written: Mutex<Option<oneshot::Receiver<()>>>,
}

impl Stdio {
    /// Over the printer of this process.
    pub fn start(printer: &Printer) -> Result<Self> {
        let (pieces, mut waiting) = mpsc::channel(WAITING);
        let (tell, written) = oneshot::channel();
        let printer = printer.clone();
        let write = move || {
            while let Some(piece) = waiting.blocking_recv() {
                match piece {
                    Chunk::Stdout(bytes) => printer.data(&bytes),
                    Chunk::Stderr(bytes) => printer.raw_stderr(&bytes),
                }
            }
            let _ = tell.send(());
        };
        rt::task::thread("screen", write).map_err(|e| Error::io("write to the terminal", &e))?;
        Ok(Stdio { pieces: Mutex::new(Some(pieces)), written: Mutex::new(Some(written)) })
    }

    /// Waits until all is written. Nothing is shown any more afterwards.
    pub async fn finish(&self) {
        self.pieces.lock().take();
        let written = self.written.lock().take();
        if let Some(written) = written {
            let _ = written.await;
        }
    }
}

impl Screen for Stdio {
    fn show(&self, chunk: Chunk) -> BoxFuture<'_, ()> {
        let pieces = self.pieces.lock().clone();
        async move {
            if let Some(pieces) = pieces {
                let _ = pieces.send(chunk).await;
            }
        }
        .boxed()
    }
}
