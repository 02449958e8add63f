//! Writing a file whose digest is computed on the way.

use crate::{
    Blob, BlobStore, Digest,
    blob::{hash_file, too_large},
    digest::Hasher,
};
use base::{ByteSize, Code, Error, Result};
use bytes::Bytes;
use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::{self, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

/// Bytes gathered before they go to the disk.
const BATCH: usize = 1 << 20;
/// Bytes written between two syncs. A short queue in the kernel keeps other files' syncs (assignments) quick.
const SYNC_EVERY: u64 = 32 << 20;

/// A file of a store that is being written. Dropped before [`BlobWriter::finish`], an upload vanishes and a download
/// stays for the next attempt.
#[derive(Debug)]
pub struct BlobWriter {
    store: BlobStore,
    path: PathBuf,
    limit: ByteSize,
    resumable: bool,
    written: u64,
    batch: Vec<Bytes>,
    batched: usize,
    /// Away while the disk works; still away later means that an attempt was abandoned.
    sink: Option<Sink>,
}

/// What the blocking thread works on.
struct Sink {
    file: File,
    hasher: Hasher,
    unsynced: u64,
}

impl std::fmt::Debug for Sink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sink").field("file", &self.file).finish_non_exhaustive()
    }
}

impl BlobWriter {
    /// A new file under a name of its own.
    pub(crate) async fn upload(store: BlobStore, limit: ByteSize) -> Result<Self> {
        let path = store.upload_path();
        Self::open(store, path, limit, false).await
    }

    /// Continues the download of `digest` where it stopped. What is there is read again, since only whole files are
    /// trusted unread.
    pub(crate) async fn download(store: BlobStore, digest: &Digest, size: ByteSize) -> Result<Self> {
        let path = store.partial_path(digest);
        Self::open(store, path, size, true).await
    }

    async fn open(store: BlobStore, path: PathBuf, limit: ByteSize, resumable: bool) -> Result<Self> {
        let file = path.clone();
        let opened = rt::task::blocking(move || open_sink(&file)).await?;
        let (sink, written) = opened.map_err(|e| Error::io(format_args!("write {}", path.display()), &e))?;
        let mut writer = BlobWriter {
            store,
            path,
            limit,
            resumable,
            written,
            batch: vec![],
            batched: 0,
            sink: Some(sink),
        };
        if written > limit.bytes() {
            writer.resumable = false; // whatever that was, it is not the beginning of this
            return Err(too_large(limit));
        }
        Ok(writer)
    }

    /// Bytes taken so far, those of earlier attempts included.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Where the unfinished file is, so that it can be inspected before it is kept; call [`BlobWriter::flush`] first.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Takes more bytes.
    ///
    /// # Errors
    /// [`Code::TooLarge`] above the limit, [`Code::Exhausted`] on a full disk.
    pub async fn write(&mut self, bytes: Bytes) -> Result<()> {
        self.written += bytes.len() as u64;
        if self.written > self.limit.bytes() {
            return Err(too_large(self.limit));
        }
        self.batched += bytes.len();
        self.batch.push(bytes);
        if self.batched >= BATCH { self.flush().await } else { Ok(()) }
    }

    /// Hands everything taken so far to the kernel.
    pub async fn flush(&mut self) -> Result<()> {
        self.batched = 0;
        let batch = std::mem::take(&mut self.batch);
        self.work(move |sink| sink.write(&batch)).await
    }

    async fn work(&mut self, job: impl FnOnce(&mut Sink) -> io::Result<()> + Send + 'static) -> Result<()> {
        let mut sink =
            self.sink.take().ok_or_else(|| Error::internal("an earlier write of this file failed"))?;
        let (sink, done) = rt::task::blocking(move || {
            let done = job(&mut sink);
            (sink, done)
        })
        .await?;
        done.map_err(|e| Error::io(format_args!("write {}", self.path.display()), &e))?;
        self.sink = Some(sink);
        Ok(())
    }

    /// Keeps the file under its digest: it is on the disk, whole, when this returns.
    ///
    /// # Errors
    /// [`Code::Invalid`] when it is not what was `expected`; it is removed then.
    pub async fn finish(mut self, expected: Option<&Digest>) -> Result<Blob> {
        self.flush().await?;
        self.work(|sink| sink.file.sync_all()).await?;
        let Some(sink) = self.sink.take() else { return Err(Error::internal("a file was finished twice")) };
        let digest = sink.hasher.finish();
        if expected.is_some_and(|e| *e != digest) {
            self.resumable = false;
            return Err(Error::new(Code::Invalid, "the content is not what its digest says")
                .because(format!("it has the digest {digest}"))
                .hint("send the file again"));
        }
        let (from, to) = (self.path.clone(), self.store.path(&digest));
        let kept = rt::task::blocking(move || keep(&from, &to)).await?;
        kept.map_err(|e| Error::io(format_args!("keep {}", self.path.display()), &e))?;
        Ok(Blob { digest, size: self.written })
    }
}

impl Drop for BlobWriter {
    fn drop(&mut self) {
        if !self.resumable {
            let _ = fs::remove_file(&self.path); // gone already where it was kept
        }
    }
}

fn open_sink(path: &Path) -> io::Result<(Sink, u64)> {
    let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
    let written = file.metadata()?.len();
    let hasher = if written == 0 { Hasher::new() } else { hash_file(path)? };
    Ok((Sink { file, hasher, unsynced: 0 }, written))
}

impl Sink {
    fn write(&mut self, batch: &[Bytes]) -> io::Result<()> {
        for bytes in batch {
            self.file.write_all(bytes)?;
            self.hasher.update(bytes);
            self.unsynced += bytes.len() as u64;
        }
        if self.unsynced >= SYNC_EVERY {
            self.file.sync_data()?;
            self.unsynced = 0;
        }
        Ok(())
    }
}

fn keep(from: &Path, to: &Path) -> io::Result<()> {
    fs::set_permissions(from, Permissions::from_mode(0o400))?;
    fs::rename(from, to)?;
    to.parent().map_or(Ok(()), rt::files::sync_dir)
}
