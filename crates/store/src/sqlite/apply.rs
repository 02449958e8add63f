//! One logical commit inside the writer's transaction.

use super::schema::State;
use crate::{Change, Commit, CommitError, Entry, Precondition, Record, Write};
use base::Revision;
use rusqlite::{Connection, OptionalExtension, Row};

/// Why a commit was not applied.
pub enum Refused {
    /// The commit is at fault; nothing of it was written.
    Commit(CommitError),
    /// The database is at fault; the whole transaction must go.
    Database(rusqlite::Error),
}

impl From<rusqlite::Error> for Refused {
    fn from(error: rusqlite::Error) -> Self {
        Refused::Database(error)
    }
}

/// Checks everything first and only then writes, so that a refused commit leaves no trace in the transaction that it
/// shares with others. Moves `state` on.
pub fn apply(db: &Connection, commit: Commit, state: &mut State) -> Result<Vec<Change>, Refused> {
    for (index, failed) in commit.preconditions.iter().enumerate() {
        let current = modified(db, failed.key())?;
        if !failed.holds(current) {
            return Err(refused(index, failed, current));
        }
    }
    for record in &commit.records {
        check_unique(db, record)?;
    }
    let revision = Revision { seq: state.revision.seq + 1, ..state.revision };
    let mut changes = Vec::with_capacity(commit.writes.len());
    for write in commit.writes {
        changes.extend(change(db, write, revision)?);
    }
    for record in &commit.records {
        insert(db, record, state.next_record, revision)?;
        state.next_record += 1;
    }
    state.revision = revision;
    Ok(changes)
}

fn refused(index: usize, failed: &Precondition, current: Option<Revision>) -> Refused {
    Refused::Commit(CommitError::Precondition { index, failed: failed.clone(), current })
}

fn modified(db: &Connection, key: &str) -> rusqlite::Result<Option<Revision>> {
    db.prepare_cached("SELECT modified_incarnation, modified_seq FROM entries WHERE key = ?1")?
        .query_row([key], |row| revision(row, 0))
        .optional()
}

/// Reads a revision from two columns.
pub fn revision(row: &Row<'_>, first: usize) -> rusqlite::Result<Revision> {
    Ok(Revision::new(row.get(first)?, row.get::<_, i64>(first + 1)?.cast_unsigned()))
}

fn check_unique(db: &Connection, record: &Record) -> Result<(), Refused> {
    let Some(key) = &record.key else { return Ok(()) };
    let exists = db
        .prepare_cached("SELECT 1 FROM records WHERE kind = ?1 AND key = ?2")?
        .exists((&record.kind, key))?;
    if exists {
        let (kind, key) = (record.kind.clone(), key.clone());
        return Err(Refused::Commit(CommitError::RecordExists { kind, key }));
    }
    Ok(())
}

/// Writes one key. `None` where there was nothing to delete.
fn change(db: &Connection, write: Write, at: Revision) -> rusqlite::Result<Option<Change>> {
    match write {
        Write::Put { key, value } => {
            let created = db
                .prepare_cached(
                    "INSERT INTO entries VALUES (?1, ?2, ?3, ?2, ?3, ?4) ON CONFLICT (key) DO UPDATE SET
                     modified_incarnation = ?2, modified_seq = ?3, value = ?4
                     RETURNING created_incarnation, created_seq",
                )?
                .query_row((&key, at.incarnation, at.seq.cast_signed(), &*value), |row| revision(row, 0))?;
            let entry = Entry { key: key.clone(), value, created, modified: at };
            Ok(Some(Change { revision: at, key, entry: Some(entry) }))
        }
        Write::Delete { key } => {
            let deleted = db.prepare_cached("DELETE FROM entries WHERE key = ?1")?.execute([&key])?;
            Ok((deleted > 0).then_some(Change { revision: at, key, entry: None }))
        }
    }
}

fn insert(db: &Connection, record: &Record, id: u64, at: Revision) -> rusqlite::Result<()> {
    db.prepare_cached("INSERT INTO records VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")?.execute((
        id.cast_signed(),
        at.incarnation,
        at.seq.cast_signed(),
        &record.kind,
        &record.scope,
        &record.key,
        record.at_ms,
        &*record.value,
    ))?;
    Ok(())
}
