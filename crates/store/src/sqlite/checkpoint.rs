//! Moving the write-ahead log into the file. A thread of its own does it while commits go on; only when it falls far
//! behind the writer helps, because a log can start over only in a moment without new commits.

use base::{Error, Result};
use rusqlite::Connection;
use std::{
    sync::{
        Arc,
        atomic::{
            AtomicBool, AtomicI32,
            Ordering::{Relaxed, SeqCst},
        },
        mpsc,
    },
    time::Duration,
};

/// Pages (4 KiB) in the log from which on it is moved.
const SOON: i32 = 1_000;
/// Pages from which on the writer itself moves them.
const LATE: i32 = 16_000;
/// Without commits for this long, the log is emptied.
const IDLE: Duration = Duration::from_secs(5);

/// What the writer tells about the log.
#[derive(Clone)]
pub struct Wal {
    shared: Arc<Shared>,
    wake: mpsc::SyncSender<()>,
}

#[derive(Default)]
struct Shared {
    /// Pages in the log after the last commit.
    pages: AtomicI32,
    /// Whether there were commits since the log was last empty.
    dirty: AtomicBool,
    /// Whether the thread should end.
    closing: AtomicBool,
}

impl Wal {
    /// Listens to the writer's connection.
    pub fn attach(&self, db: &mut Connection) -> rusqlite::Result<()> {
        let wal = self.clone();
        db.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, pages| {
            let before = wal.shared.pages.swap(pages, Relaxed);
            let first = !wal.shared.dirty.swap(true, Relaxed);
            if first || before / SOON != pages / SOON {
                let _ = wal.wake.try_send(()); // full: it is awake already
            }
            Ok(())
        }))
    }

    /// Called by the writer between its transactions.
    pub fn relieve(&self, db: &Connection) {
        if self.shared.pages.load(Relaxed) >= LATE {
            checkpoint(db, "PASSIVE");
        }
    }
}

/// The thread. Dropping it ends it.
pub struct Checkpointer {
    wal: Wal,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Checkpointer {
    /// Starts the thread on a connection of its own.
    pub fn start(db: Connection) -> Result<(Self, Wal)> {
        let (wake, woken) = mpsc::sync_channel(1);
        let shared = Arc::new(Shared::default());
        let seen = shared.clone();
        let thread = rt::task::thread("store-checkpoint", move || run(&db, &seen, &woken))
            .map_err(|e| Error::io("start the store's checkpoints", &e))?;
        let wal = Wal { shared, wake };
        Ok((Checkpointer { wal: wal.clone(), thread: Some(thread) }, wal))
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        self.wal.shared.closing.store(true, SeqCst);
        let _ = self.wal.wake.try_send(());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn run(db: &Connection, shared: &Shared, woken: &mpsc::Receiver<()>) {
    let mut last = 0;
    loop {
        let dirty = shared.dirty.load(Relaxed);
        let wake = if dirty { woken.recv_timeout(IDLE) } else { woken.recv().map_err(Into::into) };
        if shared.closing.load(SeqCst) {
            return;
        }
        let pages = shared.pages.load(Relaxed);
        match wake {
            Err(mpsc::RecvTimeoutError::Disconnected) => return,
            Ok(()) if pages >= SOON => checkpoint(db, "PASSIVE"),
            Err(mpsc::RecvTimeoutError::Timeout) if pages == last => {
                shared.dirty.store(false, Relaxed);
                checkpoint(db, "TRUNCATE");
            }
            _ => {}
        }
        last = pages;
    }
}

/// A checkpoint that fails (a full disk, a long reader) loses nothing: the log keeps what it has, and the next one
/// goes on.
fn checkpoint(db: &Connection, mode: &str) {
    if let Err(error) = db.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |_| Ok(())) {
        tracing::warn!(%error, "a checkpoint of the store failed; the next one goes on");
    }
}
