//! Deleting records in portions small enough that commits pass in between.

use super::writer::Failed;
use crate::TrimRule;
use rusqlite::{Connection, OptionalExtension, ToSql, TransactionBehavior};

/// The most records deleted in one transaction.
pub const PORTION: u64 = 500;

/// Which records to delete next.
#[derive(Clone, Debug)]
pub enum Portion {
    /// Those of a kind from before this wall time.
    Before(String, i64),
    /// Those of a kind up to this id.
    UpTo(String, i64),
    /// Those of a kind and a scope up to this id.
    UpToIn(String, String, i64),
}

impl Portion {
    /// Deletes at most [`PORTION`] of them, oldest first.
    pub fn delete(&self, db: &mut Connection) -> Result<u64, Failed> {
        let (chosen, values): (&str, Vec<&dyn ToSql>) = match self {
            Portion::Before(kind, at) => ("kind = ?1 AND at_ms < ?2 ORDER BY at_ms", vec![kind, at]),
            Portion::UpTo(kind, id) => ("kind = ?1 AND id <= ?2 ORDER BY id", vec![kind, id]),
            Portion::UpToIn(kind, scope, id) => {
                ("kind = ?1 AND scope = ?2 AND id <= ?3 ORDER BY id", vec![kind, scope, id])
            }
        };
        let sql = format!(
            "DELETE FROM records WHERE id IN (SELECT id FROM records WHERE {chosen} LIMIT {PORTION})"
        );
        let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let count = tx.prepare_cached(&sql)?.execute(values.as_slice())?;
        tx.commit().map_err(Failed::AtCommit)?;
        Ok(count as u64)
    }
}

/// What a rule means for the records there are now.
pub fn portions(db: &Connection, rule: &TrimRule) -> rusqlite::Result<Vec<Portion>> {
    let mut portions = Vec::new();
    if let Some(at) = rule.since_ms {
        portions.push(Portion::Before(rule.kind.clone(), at));
    }
    if let Some(keep) = rule.per_scope {
        let mut crowded = db.prepare_cached(
            "SELECT scope FROM records WHERE kind = ?1 GROUP BY scope HAVING count(*) > ?2",
        )?;
        let scopes = crowded.query_map((&rule.kind, bounded(keep)), |row| row.get::<_, String>(0))?;
        for scope in scopes {
            let scope = scope?;
            let last = db
                .prepare_cached(
                    "SELECT id FROM records WHERE kind = ?1 AND scope = ?2 ORDER BY id DESC LIMIT 1 OFFSET ?3",
                )?
                .query_row((&rule.kind, &scope, bounded(keep)), |row| row.get(0))
                .optional()?;
            portions.extend(last.map(|id| Portion::UpToIn(rule.kind.clone(), scope, id)));
        }
    }
    if let Some(keep) = rule.total {
        let last = db
            .prepare_cached("SELECT id FROM records WHERE kind = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2")?
            .query_row((&rule.kind, bounded(keep)), |row| row.get(0))
            .optional()?;
        portions.extend(last.map(|id| Portion::UpTo(rule.kind.clone(), id)));
    }
    Ok(portions)
}

fn bounded(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
