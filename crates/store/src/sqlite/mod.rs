//! The contract over one SQLite file.
//!
//! One thread writes ([`writer`]), two read ([`reader`]), one moves the log into the file ([`checkpoint`]). What is
//! committed becomes visible in one order: fsync, history, answers.

mod apply;
mod backup;
mod checkpoint;
mod fault;
mod incarnation;
mod reader;
mod schema;
mod trim;
mod writer;

#[cfg(test)]
mod tests;

pub use backup::{Manifest, manifest_path, restore, verify};

use crate::{
    BoxFuture, Commit, CommitError, Entry, HistoryLimits, Page, RecordQuery, Store, StoredRecord, TrimRule,
    Watch, history::History,
};
use base::{Error, Result, Revision};
use std::{
    fs::{File, OpenOptions, TryLockError},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

/// How a store is opened.
#[derive(Clone, Debug)]
pub struct Options {
    /// What watches may continue from.
    pub history: HistoryLimits,
    /// Reading threads.
    pub readers: usize,
    /// The most bytes the file may grow to; a commit beyond it is refused as if the disk were full.
    pub max_bytes: Option<u64>,
}

impl Default for Options {
    fn default() -> Self {
        Options { history: HistoryLimits::default(), readers: 2, max_bytes: None }
    }
}

/// A store in a SQLite file. Dropping it finishes the commits that wait, closes the file and frees its lock.
pub struct SqliteStore {
    path: PathBuf,
    history: Arc<History>,
    // In the order in which they end.
    readers: reader::Readers,
    writer: writer::Writer,
    _checkpointer: checkpoint::Checkpointer,
    _lock: File,
}

impl SqliteStore {
    /// Opens the store at `path`, or makes it there; migrates an older one after a backup of it.
    ///
    /// [`base::Code::Conflict`] when another process has it open, or the file is newer than this program.
    pub async fn open(path: impl Into<PathBuf>, options: Options) -> Result<Self> {
        let path = path.into();
        rt::task::blocking(move || Self::open_blocking(path, &options, schema::MIGRATIONS)).await?
    }

    fn open_blocking(path: PathBuf, options: &Options, migrations: &[&str]) -> Result<Self> {
        if let Some(directory) = path.parent().filter(|d| !d.as_os_str().is_empty()) {
            rt::files::private_dir(directory)?;
        }
        let lock = lock(&path)?;
        create_private(&path)?;
        let mut db = schema::connect(&path)?;
        let fresh = schema::version(&db, &path)? == 0;
        schema::migrate(&mut db, &path, migrations)?;
        incarnation::settle(&db, &path, fresh)?;
        let failed =
            |e: rusqlite::Error| fault::explain(format_args!("open the store {}", path.display()), &e);
        limit(&db, options.max_bytes).map_err(failed)?;
        let (checkpointer, wal) = checkpoint::Checkpointer::start(schema::connect_reader(&path)?)?;
        wal.attach(&mut db).map_err(failed)?;
        let state = schema::state(&db).map_err(failed)?;
        let history = History::new(options.history, state.revision);
        let readers = reader::Readers::start(&path, options.readers)?;
        let writer = writer::Writer::start(db, state, history.clone(), wal)?;
        Ok(SqliteStore { path, history, readers, writer, _checkpointer: checkpointer, _lock: lock })
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// The file is ours alone to read; SQLite gives its log the same mode.
fn create_private(path: &Path) -> Result<()> {
    let made = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path);
    made.map(drop).map_err(|e| Error::io(format_args!("open the store {}", path.display()), &e))
}

fn limit(db: &rusqlite::Connection, max_bytes: Option<u64>) -> rusqlite::Result<()> {
    let Some(bytes) = max_bytes else { return Ok(()) };
    let page: i64 = db.pragma_query_value(None, "page_size", |row| row.get(0))?;
    let pages = i64::try_from(bytes).unwrap_or(i64::MAX) / page;
    db.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(()))
}

/// One process has a store open at a time. The lock ends with the process.
fn lock(path: &Path) -> Result<File> {
    let name = beside(path, ".lock");
    let failed = |e: std::io::Error| Error::io(format_args!("lock the store {}", path.display()), &e);
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&name)
        .map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            Err(Error::conflict(format!("another process has the store {} open", path.display()))
                .hint("stop that process, or choose another --data-dir"))
        }
        Err(TryLockError::Error(e)) => Err(failed(e)),
    }
}

/// A path with something added to its last part.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

impl Store for SqliteStore {
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Entry>>> {
        let key = key.to_owned();
        Box::pin(async move {
            let entry = self.readers.read("read from the store", move |db| reader::get(db, &key)).await?;
            if let Some(entry) = &entry {
                self.history.reached(entry.modified).await?;
            }
            Ok(entry)
        })
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Page>> {
        let (prefix, after) = (prefix.to_owned(), after.map(str::to_owned));
        Box::pin(async move {
            let work = move |db: &mut _| reader::list(db, &prefix, after.as_deref(), limit);
            let page = self.readers.read("list from the store", work).await?;
            // SQLite shows a commit an instant before the history does. Without this a watch from this very page
            // could ask for what is not there yet.
            self.history.reached(page.revision).await?;
            Ok(page)
        })
    }

    fn commit(&self, commit: Commit) -> BoxFuture<'_, Result<Revision, CommitError>> {
        Box::pin(self.writer.commit(commit))
    }

    fn watch<'a>(&'a self, prefix: &'a str, from: Revision) -> BoxFuture<'a, Result<Watch>> {
        Box::pin(async move { self.history.watch(prefix, from) })
    }

    fn revision(&self) -> Revision {
        self.history.revision()
    }

    fn records<'a>(&'a self, query: &'a RecordQuery) -> BoxFuture<'a, Result<Vec<StoredRecord>>> {
        let query = query.clone();
        Box::pin(async move {
            let found = self
                .readers
                .read("read records from the store", move |db| reader::records(db, &query))
                .await?;
            if let Some(newest) = found.iter().map(|r| r.revision).max() {
                self.history.reached(newest).await?;
            }
            Ok(found)
        })
    }

    fn record_by_key<'a>(
        &'a self,
        kind: &'a str,
        key: &'a str,
    ) -> BoxFuture<'a, Result<Option<StoredRecord>>> {
        let (kind, key) = (kind.to_owned(), key.to_owned());
        Box::pin(async move {
            let work = move |db: &mut _| reader::record_by_key(db, &kind, &key);
            let found = self.readers.read("read a record from the store", work).await?;
            if let Some(record) = &found {
                self.history.reached(record.revision).await?;
            }
            Ok(found)
        })
    }

    fn trim<'a>(&'a self, rules: &'a [TrimRule]) -> BoxFuture<'a, Result<Vec<u64>>> {
        Box::pin(async move {
            let mut counts = Vec::with_capacity(rules.len());
            for rule in rules {
                counts.push(self.trim_one(rule.clone()).await?);
            }
            Ok(counts)
        })
    }

    fn backup<'a>(&'a self, path: &'a Path) -> BoxFuture<'a, Result<()>> {
        let (source, target) = (self.path.clone(), path.to_owned());
        Box::pin(async move { rt::task::blocking(move || backup::backup(&source, &target)).await?.map(drop) })
    }

    fn health(&self) -> Result<()> {
        self.writer.health()
    }
}

impl SqliteStore {
    async fn trim_one(&self, rule: TrimRule) -> Result<u64> {
        let mut total = 0;
        let work = move |db: &mut _| trim::portions(db, &rule);
        for portion in self.readers.read("choose the records to trim", work).await? {
            loop {
                let count = self.writer.trim(portion.clone()).await?;
                total += count;
                if count < trim::PORTION {
                    break;
                }
            }
        }
        Ok(total)
    }
}

impl Drop for SqliteStore {
    fn drop(&mut self) {
        self.history.close();
    }
}
