//! The highest incarnation a directory ever had, in a small file beside the store. It outlives the store's file, so
//! that a restored, a fresh or an older copied file never repeats revisions that were handed out before.

use super::{beside, schema};
use base::{Error, Result};
use rusqlite::Connection;
use std::path::{Path, PathBuf};

fn file(store: &Path) -> PathBuf {
    beside(store, ".incarnation")
}

/// The highest incarnation used for this store so far; 0 where there was none.
pub fn highest(store: &Path) -> Result<u32> {
    let path = file(store);
    let Some(bytes) = rt::files::read_optional(&path)? else { return Ok(0) };
    String::from_utf8_lossy(&bytes).trim().parse().map_err(|e| {
        Error::internal(format!("{} does not hold a number", path.display()))
            .because(e)
            .hint("write into it a number higher than any incarnation of this store, the part of a revision before '-'")
    })
}

/// Remembers an incarnation before it is used.
pub fn remember(store: &Path, incarnation: u32) -> Result<()> {
    rt::files::write_atomic(&file(store), format!("{incarnation}\n").as_bytes())
}

/// Puts the store into an incarnation, durably and remembered.
pub fn raise(db: &Connection, store: &Path, incarnation: u32) -> Result<()> {
    remember(store, incarnation)?;
    let raise = || {
        let mut state = schema::state(db)?;
        state.revision.incarnation = incarnation;
        state.next_record = state.next_record.max(schema::first_record(incarnation));
        schema::set_state(db, state)
    };
    raise().map_err(|e| super::fault::explain("raise the incarnation of the store", &e))
}

/// At each opening: a file that is new, or older than what the directory had, starts another incarnation.
pub fn settle(db: &Connection, store: &Path, fresh: bool) -> Result<()> {
    let state = schema::state(db).map_err(|e| super::fault::explain("read the store", &e))?;
    let (highest, own) = (highest(store)?, state.revision.incarnation);
    if highest > own || (fresh && highest == own) {
        return raise(db, store, highest + 1);
    }
    if highest < own {
        remember(store, own)?;
    }
    if state.next_record < schema::first_record(own) {
        raise(db, store, own)?;
    }
    Ok(())
}
