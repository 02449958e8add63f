//! The contract in memory: for fast tests, and as the second provider that keeps the conformance suite honest.

use crate::{
    BoxFuture, Change, Commit, CommitError, Entry, HistoryLimits, Order, Page, Record, RecordQuery, Store,
    StoredRecord, TrimRule, Watch, Write, history::History,
};
use base::{Code, Error, Result, Revision};
use parking_lot::Mutex;
use std::{
    collections::{BTreeMap, HashMap},
    future::ready,
    ops::Bound,
    path::Path,
    sync::Arc,
};

/// A store that is gone with its process.
pub struct MemoryStore {
    data: Mutex<Data>,
    history: Arc<History>,
}

#[derive(Default)]
struct Data {
    revision: Revision,
    entries: BTreeMap<String, Entry>,
    records: Vec<StoredRecord>,
    next_record: u64,
}

impl MemoryStore {
    /// An empty store.
    pub fn new(limits: HistoryLimits) -> Self {
        let revision = Revision::new(1, 0);
        let data = Data { revision, next_record: 1, ..Data::default() };
        MemoryStore { data: Mutex::new(data), history: History::new(limits, revision) }
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new(HistoryLimits::default())
    }
}

impl Data {
    fn refuse(&self, commit: &Commit) -> Result<(), CommitError> {
        for (index, failed) in commit.preconditions.iter().enumerate() {
            let current = self.entries.get(failed.key()).map(|e| e.modified);
            if !failed.holds(current) {
                return Err(CommitError::Precondition { index, failed: failed.clone(), current });
            }
        }
        for (kind, key) in commit.records.iter().filter_map(|r| Some((&r.kind, r.key.as_ref()?))) {
            if self.records.iter().any(|r| r.kind == *kind && r.key.as_ref() == Some(key)) {
                return Err(CommitError::RecordExists { kind: kind.clone(), key: key.clone() });
            }
        }
        Ok(())
    }

    fn write(&mut self, write: Write) -> Option<Change> {
        let revision = self.revision;
        match write {
            Write::Put { key, value } => {
                let created = self.entries.get(&key).map_or(revision, |e| e.created);
                let entry = Entry { key: key.clone(), value, created, modified: revision };
                self.entries.insert(key.clone(), entry.clone());
                Some(Change { revision, key, entry: Some(entry) })
            }
            Write::Delete { key } => self.entries.remove(&key).map(|_| Change { revision, key, entry: None }),
        }
    }

    fn record(&mut self, record: Record) {
        let Record { kind, scope, key, at_ms, value } = record;
        let (id, revision) = (self.next_record, self.revision);
        self.next_record += 1;
        self.records.push(StoredRecord { id, revision, kind, scope, key, at_ms, value });
    }

    /// Records are in the order of their ids: the newest are the last.
    fn trim(&mut self, rule: &TrimRule) -> u64 {
        let before = self.records.len();
        let (mut total, mut per_scope) = (0, HashMap::<String, u64>::new());
        let mut kept: Vec<StoredRecord> = std::mem::take(&mut self.records)
            .into_iter()
            .filter(|r| r.kind != rule.kind || rule.since_ms.is_none_or(|since| r.at_ms >= since))
            .rev()
            .filter(|r| {
                if r.kind != rule.kind {
                    return true;
                }
                let scope = per_scope.entry(r.scope.clone()).or_default();
                *scope += 1;
                if rule.per_scope.is_some_and(|most| *scope > most) {
                    return false;
                }
                total += 1;
                rule.total.is_none_or(|most| total <= most)
            })
            .collect();
        kept.reverse();
        self.records = kept;
        (before - self.records.len()) as u64
    }

    fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Page {
        let low = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        let mut found = self
            .entries
            .range::<str, _>((low, Bound::Unbounded))
            .map(|(_, entry)| entry)
            .take_while(|e| e.key.starts_with(prefix));
        let entries = found.by_ref().take(limit).cloned().collect();
        Page { entries, revision: self.revision, more: found.next().is_some() }
    }

    fn select(&self, query: &RecordQuery) -> Vec<StoredRecord> {
        let wanted = |r: &&StoredRecord| r.kind == query.kind && query.scope.takes(&r.scope);
        let all = self.records.iter().filter(wanted);
        match query.order {
            Order::Newest => all
                .rev()
                .filter(|r| query.after.is_none_or(|a| r.id < a))
                .take(query.limit)
                .cloned()
                .collect(),
            Order::Oldest => {
                all.filter(|r| query.after.is_none_or(|a| r.id > a)).take(query.limit).cloned().collect()
            }
        }
    }

    fn commit(&mut self, commit: Commit) -> Result<(Revision, Vec<Change>), CommitError> {
        commit.check()?;
        self.refuse(&commit)?;
        self.revision.seq += 1;
        let changes = commit.writes.into_iter().filter_map(|w| self.write(w)).collect();
        commit.records.into_iter().for_each(|r| self.record(r));
        Ok((self.revision, changes))
    }
}

impl Store for MemoryStore {
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Entry>>> {
        Box::pin(ready(Ok(self.data.lock().entries.get(key).cloned())))
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Page>> {
        Box::pin(ready(Ok(self.data.lock().list(prefix, after, limit))))
    }

    fn commit(&self, commit: Commit) -> BoxFuture<'_, Result<Revision, CommitError>> {
        Box::pin(async move {
            let mut data = self.data.lock();
            let (revision, changes) = data.commit(commit)?;
            self.history.publish(vec![(revision, changes)]); // under the lock: in the order of the commits
            Ok(revision)
        })
    }

    fn watch<'a>(&'a self, prefix: &'a str, from: Revision) -> BoxFuture<'a, Result<Watch>> {
        Box::pin(ready(self.history.watch(prefix, from)))
    }

    fn revision(&self) -> Revision {
        self.history.revision()
    }

    fn records<'a>(&'a self, query: &'a RecordQuery) -> BoxFuture<'a, Result<Vec<StoredRecord>>> {
        Box::pin(ready(Ok(self.data.lock().select(query))))
    }

    fn record_by_key<'a>(
        &'a self,
        kind: &'a str,
        key: &'a str,
    ) -> BoxFuture<'a, Result<Option<StoredRecord>>> {
        let found = |r: &&StoredRecord| r.kind == kind && r.key.as_deref() == Some(key);
        Box::pin(ready(Ok(self.data.lock().records.iter().find(found).cloned())))
    }

    fn trim<'a>(&'a self, rules: &'a [TrimRule]) -> BoxFuture<'a, Result<Vec<u64>>> {
        let mut data = self.data.lock();
        Box::pin(ready(Ok(rules.iter().map(|rule| data.trim(rule)).collect())))
    }

    fn backup<'a>(&'a self, _: &'a Path) -> BoxFuture<'a, Result<()>> {
        let refused = Error::new(Code::Invalid, "a store in memory cannot be backed up")
            .hint("open a store in a file to keep its data");
        Box::pin(ready(Err(refused)))
    }

    fn health(&self) -> Result<()> {
        Ok(())
    }
}

impl Drop for MemoryStore {
    fn drop(&mut self) {
        self.history.close();
    }
}
