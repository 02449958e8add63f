//! Reading, on threads of its own, each with its own connection. Never waits for the writer.

use super::{apply::revision, fault::explain, schema};
use crate::{Entry, Order, Page, RecordQuery, Scope, StoredRecord, history::closed};
use base::{Error, Result};
use parking_lot::Mutex;
use rusqlite::{Connection, OptionalExtension, Row, ToSql};
use std::{
    path::Path,
    sync::{Arc, mpsc},
};
use tokio::sync::oneshot;

type Job = Box<dyn FnOnce(&mut Connection) + Send>;

/// The reading threads. Dropping it ends them.
pub struct Readers {
    jobs: Option<mpsc::Sender<Job>>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

impl Readers {
    /// Starts `count` threads.
    pub fn start(path: &Path, count: usize) -> Result<Self> {
        let (sender, receiver) = mpsc::channel::<Job>();
        let receiver = Arc::new(Mutex::new(receiver));
        let mut threads = Vec::new();
        for number in 0..count.max(1) {
            let (mut db, receiver) = (schema::connect_reader(path)?, receiver.clone());
            let work = move || {
                while let Some(job) = next(&receiver) {
                    job(&mut db);
                }
            };
            let thread = rt::task::thread(&format!("store-read-{number}"), work)
                .map_err(|e| Error::io("start the store's readers", &e))?;
            threads.push(thread);
        }
        Ok(Readers { jobs: Some(sender), threads })
    }

    /// Runs `work` on one of the connections.
    pub async fn read<T: Send + 'static>(
        &self,
        doing: &'static str,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T> {
        let (reply, answer) = oneshot::channel();
        let job: Job = Box::new(move |db| drop(reply.send(work(db))));
        let sent = self.jobs.as_ref().is_some_and(|jobs| jobs.send(job).is_ok());
        if !sent {
            return Err(closed());
        }
        answer.await.map_err(|_| closed())?.map_err(|e| explain(doing, &e))
    }
}

/// Waits for work; the lock is free again before the work starts.
fn next(receiver: &Mutex<mpsc::Receiver<Job>>) -> Option<Job> {
    receiver.lock().recv().ok()
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.jobs = None;
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

const ENTRY: &str =
    "SELECT key, created_incarnation, created_seq, modified_incarnation, modified_seq, value FROM entries";

fn entry(row: &Row<'_>) -> rusqlite::Result<Entry> {
    Ok(Entry {
        key: row.get(0)?,
        created: revision(row, 1)?,
        modified: revision(row, 3)?,
        value: row.get::<_, Vec<u8>>(5)?.into(),
    })
}

/// See [`crate::Store::get`].
pub fn get(db: &Connection, key: &str) -> rusqlite::Result<Option<Entry>> {
    db.prepare_cached(&format!("{ENTRY} WHERE key = ?1"))?.query_row([key], entry).optional()
}

/// See [`crate::Store::list`]. One transaction, so that the page and its revision belong together.
pub fn list(db: &mut Connection, prefix: &str, after: Option<&str>, limit: usize) -> rusqlite::Result<Page> {
    // Keys are printable ASCII (0x21 to 0x7e): a space sorts before and 0x7f after everything that may follow.
    let low = after.map(|a| format!("{a} ")).filter(|a| a.as_str() > prefix).unwrap_or(prefix.to_owned());
    let high = format!("{prefix}\x7f");
    let tx = db.transaction()?;
    let revision = schema::state(&tx)?.revision;
    let mut entries = tx
        .prepare_cached(&format!("{ENTRY} WHERE key >= ?1 AND key < ?2 ORDER BY key LIMIT ?3"))?
        .query_map((low, high, count(limit.saturating_add(1))), entry)?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    let more = entries.len() > limit;
    entries.truncate(limit);
    Ok(Page { entries, revision, more })
}

fn count(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

const RECORD: &str = "SELECT id, incarnation, seq, kind, scope, key, at_ms, value FROM records";

fn record(row: &Row<'_>) -> rusqlite::Result<StoredRecord> {
    Ok(StoredRecord {
        id: row.get::<_, i64>(0)?.cast_unsigned(),
        revision: revision(row, 1)?,
        kind: row.get(3)?,
        scope: row.get(4)?,
        key: row.get(5)?,
        at_ms: row.get(6)?,
        value: row.get::<_, Vec<u8>>(7)?.into(),
    })
}

/// See [`crate::Store::record_by_key`].
pub fn record_by_key(db: &Connection, kind: &str, key: &str) -> rusqlite::Result<Option<StoredRecord>> {
    db.prepare_cached(&format!("{RECORD} WHERE kind = ?1 AND key = ?2"))?
        .query_row((kind, key), record)
        .optional()
}

/// See [`crate::Store::records`].
pub fn records(db: &Connection, query: &RecordQuery) -> rusqlite::Result<Vec<StoredRecord>> {
    let (compare, direction, from) = match query.order {
        Order::Newest => ("<", "DESC", query.after.unwrap_or(i64::MAX.cast_unsigned())),
        Order::Oldest => (">", "ASC", query.after.unwrap_or(0)),
    };
    let (from, limit) = (i64::try_from(from).unwrap_or(i64::MAX), count(query.limit));
    let scope = match &query.scope {
        Scope::Any => String::new(),
        Scope::Is(scope) | Scope::StartsWith(scope) => scope.clone(),
    };
    let mut values: Vec<&dyn ToSql> = vec![&query.kind, &from, &limit];
    // A plus keeps the planner on the index in the order of ids: it then stops at the limit and sorts nothing.
    let filter = match query.scope {
        Scope::Any => "",
        Scope::Is(_) => "AND scope = ?4",
        Scope::StartsWith(_) => "AND substr(+scope, 1, length(?4)) = ?4",
    };
    if !filter.is_empty() {
        values.push(&scope);
    }
    let sql =
        format!("{RECORD} WHERE kind = ?1 AND id {compare} ?2 {filter} ORDER BY id {direction} LIMIT ?3");
    db.prepare_cached(&sql)?.query_map(values.as_slice(), record)?.collect()
}
