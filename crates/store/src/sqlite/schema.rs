//! The tables, how a connection is set up, and the numbered migrations.

use super::{backup, fault::explain};
use base::{Code, Error, Result, Revision};
use rusqlite::{Connection, OpenFlags, OptionalExtension};
use std::{path::Path, time::Duration};

/// Marks the file as ours (`PRAGMA application_id`): "Hstl".
const APPLICATION: i32 = 0x4873_746c;

/// The migrations of this release. `PRAGMA user_version` counts those done. Only ever append.
pub const MIGRATIONS: &[&str] = &[V1];

/// Ordinary rowid tables: WITHOUT ROWID keeps values inside the B-tree, which for 1 KB values is three times as large.
const V1: &str = "
CREATE TABLE state (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  incarnation INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  next_record INTEGER NOT NULL
) STRICT;
INSERT INTO state VALUES (1, 1, 0, 1);
CREATE TABLE entries (
  key TEXT NOT NULL PRIMARY KEY,
  created_incarnation INTEGER NOT NULL,
  created_seq INTEGER NOT NULL,
  modified_incarnation INTEGER NOT NULL,
  modified_seq INTEGER NOT NULL,
  value BLOB NOT NULL
) STRICT;
CREATE TABLE records (
  id INTEGER PRIMARY KEY,
  incarnation INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  kind TEXT NOT NULL,
  scope TEXT NOT NULL,
  key TEXT,
  at_ms INTEGER NOT NULL,
  value BLOB NOT NULL
) STRICT;
CREATE INDEX records_by_kind ON records (kind);
CREATE INDEX records_by_scope ON records (kind, scope);
CREATE INDEX records_by_age ON records (kind, at_ms);
CREATE UNIQUE INDEX records_by_key ON records (kind, key) WHERE key IS NOT NULL;
";

/// Opens the file for the writer; makes it where there is none.
pub fn connect(path: &Path) -> Result<Connection> {
    let failed = |e: rusqlite::Error| explain(format_args!("open the store {}", path.display()), &e);
    let connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )
    .map_err(failed)?;
    prepare(&connection).map_err(failed)?;
    Ok(connection)
}

/// WAL with one fsync per transaction; on macOS one that reaches the platter. Checkpoints are ours to time.
fn prepare(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(Duration::from_secs(10))?;
    connection.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA fullfsync = 1;
         PRAGMA checkpoint_fullfsync = 1; PRAGMA wal_autocheckpoint = 0; PRAGMA journal_size_limit = 67108864;
         PRAGMA cache_size = -8192; PRAGMA trusted_schema = 0;",
    )?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(())
}

/// Opens the file for reading.
pub fn connect_reader(path: &Path) -> Result<Connection> {
    let failed = |e: rusqlite::Error| explain(format_args!("open the store {}", path.display()), &e);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    connection.busy_timeout(Duration::from_secs(10)).map_err(failed)?;
    connection.execute_batch("PRAGMA query_only = 1; PRAGMA trusted_schema = 0;").map_err(failed)?;
    Ok(connection)
}

/// Brings the file to the newest of `migrations`, each in a transaction of its own. A file that holds data is backed up
/// first. A file that is newer is refused.
pub fn migrate(connection: &mut Connection, path: &Path, migrations: &[&str]) -> Result<()> {
    let done = version(connection, path)?;
    if done > migrations.len() {
        return Err(too_new(path, done, migrations.len()));
    }
    if done > 0 && done < migrations.len() {
        let copy = backup::before_migration(path, done)?;
        tracing::info!(from = done, to = migrations.len(), backup = %copy.display(), "migrating the store");
    }
    for (index, sql) in migrations.iter().enumerate().skip(done) {
        let number = index + 1;
        step(connection, sql, number).map_err(|e| {
            explain(format_args!("migrate the store {} to version {number}", path.display()), &e)
        })?;
    }
    Ok(())
}

fn step(connection: &mut Connection, sql: &str, number: usize) -> rusqlite::Result<()> {
    let tx = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Exclusive)?;
    tx.execute_batch(sql)?;
    tx.pragma_update(None, "application_id", APPLICATION)?;
    tx.pragma_update(None, "user_version", i64::try_from(number).unwrap_or(i64::MAX))?;
    tx.commit()
}

/// How many migrations the file has seen; 0 for a new file. Refuses files of other programs.
pub fn version(connection: &Connection, path: &Path) -> Result<usize> {
    let failed = |e: rusqlite::Error| explain(format_args!("read the store {}", path.display()), &e);
    let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
    let (application, version) =
        pragma("application_id").and_then(|a| Ok((a, pragma("user_version")?))).map_err(failed)?;
    let table: Option<String> = connection
        .query_row("SELECT name FROM sqlite_schema LIMIT 1", [], |row| row.get(0))
        .optional()
        .map_err(failed)?;
    if application != APPLICATION && table.is_some() {
        return Err(Error::conflict(format!("{} is not a store of Hostler", path.display()))
            .hint("choose another file or another --data-dir"));
    }
    Ok(usize::try_from(version).unwrap_or(0))
}

/// The refusal of an older binary.
pub fn too_new(path: &Path, found: usize, known: usize) -> Error {
    Error::new(
        Code::Conflict,
        format!(
            "the store {} has version {found}, this hostler knows versions up to {known}",
            path.display()
        ),
    )
    .hint("run the newer hostler again, or restore the backup that it made in 'backups' beside the store")
}

/// The counters of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    /// The newest revision.
    pub revision: Revision,
    /// The id of the next record.
    pub next_record: u64,
}

/// The first record id of an incarnation: the upper bits are the incarnation, so that ids are ordered by it first.
pub fn first_record(incarnation: u32) -> u64 {
    u64::from(incarnation) << 40
}

/// Reads the counters.
pub fn state(connection: &Connection) -> rusqlite::Result<State> {
    connection.prepare_cached("SELECT incarnation, seq, next_record FROM state")?.query_row([], |row| {
        Ok(State {
            revision: Revision::new(row.get(0)?, row.get::<_, i64>(1)?.cast_unsigned()),
            next_record: row.get::<_, i64>(2)?.cast_unsigned(),
        })
    })
}

/// Writes the counters.
pub fn set_state(connection: &Connection, state: State) -> rusqlite::Result<()> {
    let State { revision, next_record } = state;
    connection.prepare_cached("UPDATE state SET incarnation = ?1, seq = ?2, next_record = ?3")?.execute((
        revision.incarnation,
        revision.seq.cast_signed(),
        next_record.cast_signed(),
    ))?;
    Ok(())
}
