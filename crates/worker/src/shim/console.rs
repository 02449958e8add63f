//! The serial console: into the log, to everyone who is attached, and their input to the guest.

use super::{BoundedLog, Dir};
use std::{io, path::Path, sync::Arc};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::UnixStream,
    sync::{broadcast, mpsc},
};

/// One part of the log; two are kept.
const LOG_PART: u64 = 2 << 20;
/// Reads that a slow client may be behind before it misses some. It never slows the guest.
const BEHIND: usize = 64;

/// The shared console.
#[derive(Debug)]
pub(super) struct Console {
    output: broadcast::Sender<Arc<[u8]>>,
    input: mpsc::Sender<Vec<u8>>,
}

impl Console {
    /// A console, and what its pump needs.
    pub(super) fn new() -> (Self, mpsc::Receiver<Vec<u8>>) {
        let (input, typed) = mpsc::channel(16);
        (Console { output: broadcast::Sender::new(BEHIND), input }, typed)
    }

    /// Moves bytes between the guest and the others until the guest's side closes.
    pub(super) async fn pump(&self, serial: UnixStream, mut typed: mpsc::Receiver<Vec<u8>>) {
        let (mut from, mut to) = serial.into_split();
        let mut log = BoundedLog::open(Path::new("."), Dir::CONSOLE_LOG, LOG_PART)
            .inspect_err(|e| tracing::warn!("no serial log: {e}"))
            .ok();
        let write = async {
            while let Some(bytes) = typed.recv().await {
                if to.write_all(&bytes).await.is_err() {
                    break;
                }
            }
            std::future::pending::<()>().await; // reading alone says when it is over
        };
        let read = async {
            let mut buffer = vec![0; 8 << 10];
            while let Ok(n @ 1..) = from.read(&mut buffer).await {
                // A full disk costs the log, not the guest.
                if let Some(log) = &mut log {
                    let _ = log.append(&buffer[..n]);
                }
                let _ = self.output.send(buffer[..n].into());
            }
        };
        tokio::select! {
            () = read => {}
            () = write => {}
        }
    }

    /// Serves one client until it leaves.
    pub(super) async fn attach(
        &self,
        mut from: impl AsyncRead + Unpin,
        mut to: impl AsyncWrite + Unpin,
    ) -> io::Result<()> {
        let mut output = self.output.subscribe();
        let show = async {
            loop {
                match output.recv().await {
                    Ok(bytes) => to.write_all(&bytes).await?,
                    Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(broadcast::error::RecvError::Closed) => return Ok(()),
                }
            }
        };
        let typing = async {
            let mut buffer = vec![0; 1 << 10];
            loop {
                let n = from.read(&mut buffer).await?;
                if n == 0 || self.input.send(buffer[..n].to_vec()).await.is_err() {
                    return Ok(());
                }
            }
        };
        tokio::select! {
            r = show => r,
            r = typing => r,
        }
    }
}
