//! Online backup, verify and restore. A backup is a SQLite file and, beside it, a manifest with its digest. The manifest
//! is written last: without it a backup is not one.

use super::{beside, fault::explain, incarnation, lock, schema};
use base::{Code, Error, Result, Revision};
use rusqlite::{Connection, OpenFlags};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

/// What a backup holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The format of this manifest.
    pub format: u32,
    /// The version of the store's tables.
    pub version: usize,
    /// The revision that the backup shows.
    pub revision: Revision,
    /// The number of keys.
    pub entries: u64,
    /// The number of records.
    pub records: u64,
    /// The size of the file.
    pub bytes: u64,
    /// When it was made, for people.
    pub made: String,
    /// The digest of the file.
    pub sha256: String,
    /// The digest of this manifest, computed with this field empty.
    check: String,
}

impl Manifest {
    fn render(&self) -> Vec<u8> {
        let mut text = serde_json::to_vec_pretty(self).unwrap_or_default();
        text.push(b'\n');
        text
    }

    fn sealed(mut self) -> Self {
        self.check = String::new();
        self.check = hex::encode(Sha256::digest(self.render()));
        self
    }
}

/// Where the manifest of a backup is.
pub fn manifest_path(backup: &Path) -> PathBuf {
    beside(backup, ".json")
}

/// Copies the store at `source` to `target` as of one moment, while others write to it. Blocks.
pub fn backup(source: &Path, target: &Path) -> Result<Manifest> {
    refuse_existing(&[target.to_owned(), manifest_path(target)])?;
    let partial = beside(target, &format!(".{}.partial", rt::ids::uid()));
    let made = copy(source, &partial).and_then(|()| describe(&partial)).and_then(|manifest| {
        publish(&partial, target)?;
        rt::files::write_atomic(&manifest_path(target), &manifest.render())?;
        Ok(manifest)
    });
    if made.is_err() {
        let _ = fs::remove_file(&partial);
    }
    made
}

/// The copy that every migration starts with: `backups/` beside the store.
pub fn before_migration(store: &Path, version: usize) -> Result<PathBuf> {
    let directory = store.with_file_name("backups");
    rt::files::private_dir(&directory)?;
    let name = store.file_name().unwrap_or_default().to_string_lossy();
    let time = rt::clock::wall().strftime("%Y%m%dT%H%M%S%.3fZ");
    let target = directory.join(format!("{name}.v{version}.{time}"));
    backup(store, &target)?;
    Ok(target)
}

fn refuse_existing(paths: &[PathBuf]) -> Result<()> {
    match paths.iter().find(|p| p.exists()) {
        None => Ok(()),
        Some(path) => Err(Error::conflict(format!("{} exists already", path.display()))
            .hint("choose another path, or move that file away")),
    }
}

/// VACUUM INTO reads one snapshot and does not hold the writer up. It does not sync what it writes: we do.
fn copy(source: &Path, partial: &Path) -> Result<()> {
    let failed = |e: io::Error| Error::io(format_args!("write the backup {}", partial.display()), &e);
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(partial).map_err(failed)?;
    let db = schema::connect_reader(source)?;
    db.execute_batch("PRAGMA query_only = 0")
        .and_then(|()| db.execute("VACUUM INTO ?1", [partial.to_string_lossy()]))
        .map_err(|e| explain(format_args!("write the backup {}", partial.display()), &e))?;
    file.sync_all().map_err(failed)
}

fn publish(partial: &Path, target: &Path) -> Result<()> {
    let directory = target.parent().filter(|d| !d.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::rename(partial, target)
        .and_then(|()| rt::files::sync_dir(directory))
        .map_err(|e| Error::io(format_args!("put {} in place", target.display()), &e))
}

fn describe(file: &Path) -> Result<Manifest> {
    let (sha256, bytes) = digest(file)?;
    let failed = |e: rusqlite::Error| explain(format_args!("read {}", file.display()), &e);
    let db = open_immutable(file).map_err(failed)?;
    let version = schema::version(&db, file)?;
    let revision = schema::state(&db).map_err(failed)?.revision;
    let (entries, records) = counts(&db).map_err(failed)?;
    let made = rt::clock::wall().to_string();
    let check = String::new();
    Ok(Manifest { format: 1, version, revision, entries, records, bytes, made, sha256, check }.sealed())
}

fn counts(db: &Connection) -> rusqlite::Result<(u64, u64)> {
    let count = |sql| db.query_row(sql, [], |row| row.get::<_, i64>(0)).map(i64::cast_unsigned);
    Ok((count("SELECT count(*) FROM entries")?, count("SELECT count(*) FROM records")?))
}

/// Opens a file that nobody writes, and leaves no files beside it.
fn open_immutable(path: &Path) -> rusqlite::Result<Connection> {
    let escaped = path.to_string_lossy().replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    let flags =
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags(format!("file:{escaped}?immutable=1"), flags)
}

fn digest(path: &Path) -> Result<(String, u64)> {
    let failed = |e: io::Error| Error::io(format_args!("read {}", path.display()), &e);
    let mut file = File::open(path).map_err(failed)?;
    let (mut hash, mut bytes, mut buffer) = (Sha256::new(), 0, vec![0; 256 * 1024]);
    loop {
        let n = file.read(&mut buffer).map_err(failed)?;
        if n == 0 {
            return Ok((hex::encode(hash.finalize()), bytes));
        }
        hash.update(&buffer[..n]);
        bytes += n as u64;
    }
}

/// Checks a backup: every byte of it and of its manifest, and that SQLite reads it. Blocks.
pub fn verify(path: &Path) -> Result<Manifest> {
    let manifest = read_manifest(path)?;
    let (sha256, bytes) = digest(path)?;
    if (&sha256, bytes) != (&manifest.sha256, manifest.bytes) {
        return Err(damaged(path, "its digest is not the one in its manifest"));
    }
    let failed = |e: rusqlite::Error| damaged(path, e);
    let db = open_immutable(path).map_err(failed)?;
    let found: String = db.query_row("PRAGMA integrity_check", [], |row| row.get(0)).map_err(failed)?;
    if found != "ok" {
        return Err(damaged(path, found));
    }
    let inside = (schema::state(&db).map_err(failed)?.revision, counts(&db).map_err(failed)?);
    if inside != (manifest.revision, (manifest.entries, manifest.records)) {
        return Err(damaged(path, "it holds something else than its manifest says"));
    }
    Ok(manifest)
}

fn read_manifest(backup: &Path) -> Result<Manifest> {
    let path = manifest_path(backup);
    let text = rt::files::read_optional(&path)?.ok_or_else(|| {
        Error::not_found(format!("{} has no manifest {}", backup.display(), path.display()))
            .hint("copy both files of the backup; one that was interrupted has none and cannot be used")
    })?;
    let manifest: Manifest = serde_json::from_slice(&text).map_err(|e| damaged(&path, e))?;
    let whole = manifest.render() == text && manifest.clone().sealed() == manifest;
    if whole { Ok(manifest) } else { Err(damaged(&path, "its own digest does not fit")) }
}

fn damaged(path: &Path, cause: impl std::fmt::Display) -> Error {
    Error::new(Code::Invalid, format!("{} is damaged", path.display()))
        .because(cause)
        .hint("use another backup, or another copy of this one")
}

/// Makes a store at `target` from a backup that passes [`verify`]. It starts a new incarnation, above that of the backup
/// and above any that `target` ever had. Blocks.
pub fn restore(source: &Path, target: &Path) -> Result<Revision> {
    let manifest = verify(source)?;
    if manifest.version > schema::MIGRATIONS.len() {
        return Err(schema::too_new(source, manifest.version, schema::MIGRATIONS.len()));
    }
    let directory = target.parent().filter(|d| !d.as_os_str().is_empty()).unwrap_or(Path::new("."));
    rt::files::private_dir(directory)?;
    let _lock = lock(target)?;
    // A log that stayed behind would be replayed onto the restored file.
    refuse_existing(&[target.to_owned(), beside(target, "-wal"), beside(target, "-shm")])?;
    let partial = beside(target, &format!(".{}.partial", rt::ids::uid()));
    let restored = refill(source, &partial, target, &manifest).and_then(|revision| {
        publish(&partial, target)?;
        Ok(revision)
    });
    if restored.is_err() {
        let _ = fs::remove_file(&partial);
    }
    restored
}

fn refill(source: &Path, partial: &Path, target: &Path, manifest: &Manifest) -> Result<Revision> {
    let failed = |e: io::Error| Error::io(format_args!("write {}", partial.display()), &e);
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(partial).map_err(failed)?;
    let mut from =
        File::open(source).map_err(|e| Error::io(format_args!("read {}", source.display()), &e))?;
    io::copy(&mut from, &mut file).map_err(failed)?;
    let failed_db = |e: rusqlite::Error| explain(format_args!("write {}", partial.display()), &e);
    let db = Connection::open(partial).map_err(failed_db)?;
    let next = incarnation::highest(target)?.max(manifest.revision.incarnation) + 1;
    incarnation::raise(&db, target, next)?;
    let revision = schema::state(&db).map_err(failed_db)?.revision;
    db.close().map_err(|(_, e)| failed_db(e))?;
    file.sync_all().map_err(failed)?;
    Ok(revision)
}
