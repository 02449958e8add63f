//! Getting the files that a host lacks: each once, however many wait for it, from where the last attempt stopped.

use crate::{BlobStore, BlobWriter, Digest};
use base::{ByteSize, Code, Error, Result};
use bytes::Bytes;
use futures::{StreamExt, future::BoxFuture, stream::BoxStream};
use parking_lot::Mutex;
use rt::{clock::Backoff, task::Task};
use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Weak},
    time::Duration,
};
use tokio::sync::{Semaphore, watch};

/// Downloads at the same time. More would share one wire, and each would end later.
const AT_ONCE: usize = 2;
/// Silence after which a connection is given up.
const STALLED: Duration = Duration::from_secs(30);

/// Where files come from.
pub trait Source: Send + Sync + 'static {
    /// The bytes of a file from `offset` to its end.
    ///
    /// # Errors
    /// [`Code::Unavailable`] and [`Code::Timeout`], here and in the stream, are tried again; all others are final.
    fn fetch(&self, digest: Digest, offset: u64) -> BoxFuture<'_, Result<BoxStream<'static, Result<Bytes>>>>;
}

/// A file to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its content.
    pub digest: Digest,
    /// Its size.
    pub size: ByteSize,
}

/// How far the files of an image have come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Bytes here.
    pub done: u64,
    /// Bytes in all.
    pub total: u64,
    /// What went wrong last and is being tried again.
    pub trouble: Option<Error>,
}

/// Downloads into a [`BlobStore`]. Cheap to clone; all clones share the downloads.
#[derive(Clone)]
pub struct Fetcher(Arc<Inner>);

struct Inner {
    store: BlobStore,
    source: Arc<dyn Source>,
    slots: Semaphore,
    running: Mutex<HashMap<Digest, Weak<Download>>>,
}

/// One download. It ends when nobody waits any more; what has arrived stays.
struct Download {
    state: watch::Receiver<State>,
    _task: Task<()>,
}

#[derive(Clone, Debug, Default)]
struct State {
    done: u64,
    trouble: Option<Error>,
    result: Option<Result<()>>,
}

impl Fetcher {
    /// Downloads from `source` into `store`.
    pub fn new(store: BlobStore, source: Arc<dyn Source>) -> Self {
        let slots = Semaphore::new(AT_ONCE);
        Fetcher(Arc::new(Inner { store, source, slots, running: Mutex::default() }))
    }

    /// The store it fills.
    pub fn store(&self) -> &BlobStore {
        &self.0.store
    }

    /// Returns when all these files are here. A cut connection is tried again for as long as the caller waits; dropping
    /// the future is the way to give up.
    ///
    /// # Errors
    /// [`Code::Invalid`] when the source twice gave something else than the digest says, [`Code::Exhausted`] on a full
    /// disk, and what the source calls final.
    pub async fn fetch(&self, parts: &[Part]) -> Result<()> {
        let downloads: Vec<_> =
            parts.iter().filter(|p| !self.has(p)).map(|part| self.download(*part)).collect();
        for download in downloads {
            let mut state = download.state.clone();
            let ended = state.wait_for(|s| s.result.is_some()).await;
            let ended = ended.map_err(|_| Error::internal("a download ended without a result"))?;
            if let Some(result) = &ended.result {
                result.clone()?;
            }
        }
        Ok(())
    }

    /// Whether all these files are here.
    pub fn has_all(&self, parts: &[Part]) -> bool {
        parts.iter().all(|p| self.has(p))
    }

    fn has(&self, part: &Part) -> bool {
        self.0.store.size(&part.digest) == Some(part.size.bytes())
    }

    /// How far these files have come.
    pub fn progress(&self, parts: &[Part]) -> Progress {
        let mut progress = Progress::default();
        for part in parts {
            progress.total += part.size.bytes();
            if self.has(part) {
                progress.done += part.size.bytes();
            } else if let Some(download) = self.0.running.lock().get(&part.digest).and_then(Weak::upgrade) {
                let state = download.state.borrow();
                progress.done += state.done;
                progress.trouble = state.trouble.clone().or(progress.trouble);
            }
        }
        progress
    }

    /// Removes what nobody needs: files, and unfinished downloads, that are neither in `keep` nor being fetched. Returns
    /// the number of bytes of whole files removed.
    pub async fn collect(&self, keep: HashSet<Digest>) -> Result<u64> {
        let this = self.clone();
        rt::task::blocking(move || {
            let running = this.0.running.lock(); // no download starts meanwhile
            let fetching = |d: &Digest| running.get(d).is_some_and(|download| download.strong_count() > 0);
            let free = |d: &Digest| !keep.contains(d) && !fetching(d);
            let mut bytes = 0;
            for blob in this.0.store.list()?.iter().filter(|b| free(&b.digest)) {
                this.0.store.delete(&blob.digest)?;
                bytes += blob.size;
            }
            for digest in this.0.store.list_partial()?.iter().filter(|d| free(d)) {
                this.0.store.delete_partial(digest)?;
            }
            Ok(bytes)
        })
        .await?
    }

    /// The download of a file that runs, or a new one.
    fn download(&self, part: Part) -> Arc<Download> {
        let mut running = self.0.running.lock();
        running.retain(|_, download| download.strong_count() > 0);
        let shared = running.get(&part.digest).and_then(Weak::upgrade);
        if let Some(download) = shared.filter(|d| !matches!(d.state.borrow().result, Some(Err(_)))) {
            return download;
        }
        let (sender, state) = watch::channel(State::default());
        let inner = self.0.clone();
        let task = rt::task::spawn("image download", async move {
            let result = inner.run(part, &sender).await;
            sender.send_modify(|s| s.result = Some(result));
        });
        let download = Arc::new(Download { state, _task: task });
        running.insert(part.digest, Arc::downgrade(&download));
        download
    }
}

impl Inner {
    /// Attempts until one succeeds or fails for good.
    async fn run(&self, part: Part, state: &watch::Sender<State>) -> Result<()> {
        let mut backoff = Backoff::new(Duration::from_millis(250), Duration::from_secs(30));
        let mut wrong_content = false;
        loop {
            let before = state.borrow().done;
            let Err(error) = self.attempt(part, state).await else { return Ok(()) };
            match error.code {
                Code::Unavailable | Code::Timeout => {}
                // Once is an accident on the way, twice is the source.
                Code::Invalid | Code::TooLarge if !wrong_content => wrong_content = true,
                _ => return Err(error),
            }
            tracing::debug!(digest = %part.digest, %error, "download interrupted");
            if state.borrow().done > before {
                backoff.reset();
            }
            state.send_modify(|s| s.trouble = Some(error));
            rt::clock::sleep(backoff.delay()).await;
        }
    }

    async fn attempt(&self, part: Part, state: &watch::Sender<State>) -> Result<()> {
        let _slot = self.slots.acquire().await.map_err(|e| Error::internal("no download slot").because(e))?;
        let mut writer = BlobWriter::download(self.store.clone(), &part.digest, part.size).await?;
        self.store.reserve(part.size.bytes() - writer.written())?;
        if writer.written() < part.size.bytes() {
            let received = self.receive(part, &mut writer, state).await;
            writer.flush().await?; // what has arrived need not come again
            received?;
        }
        writer.finish(Some(&part.digest)).await.map(|_| ())
    }

    async fn receive(&self, part: Part, writer: &mut BlobWriter, state: &watch::Sender<State>) -> Result<()> {
        let begin = self.source.fetch(part.digest, writer.written());
        let mut stream = rt::clock::timeout(STALLED, "asking for an image", begin).await??;
        loop {
            state.send_modify(|s| s.done = writer.written());
            match rt::clock::timeout(STALLED, "the next piece of an image", stream.next()).await? {
                Some(bytes) => writer.write(bytes?).await?,
                None if writer.written() == part.size.bytes() => return Ok(()),
                None => return Err(Error::unavailable("the connection ended before the image did")),
            }
            state.send_if_modified(|s| s.trouble.take().is_some());
        }
    }
}

#[cfg(test)]
mod tests;
