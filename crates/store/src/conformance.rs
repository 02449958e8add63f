//! What every provider must do, as checks that run against a fresh store each. A failure says which promise was broken.

mod keys;
mod records;
mod watches;

use crate::{Commit, CommitError, Record, Store};
use base::{Error, Result, Revision};
use std::sync::Arc;

/// The store under test.
pub type Made = Arc<dyn Store>;

/// Fails the check with a sentence.
macro_rules! ensure {
    ($holds:expr, $($sentence:tt)+) => {
        if !$holds {
            return Err(base::Error::internal(format!($($sentence)+)));
        }
    };
}
pub(crate) use ensure;

/// Runs every check, each on a store of its own that `make` gives.
pub async fn check_all(make: impl AsyncFn() -> Made) -> Result<()> {
    macro_rules! run {
        ($($module:ident::$check:ident),+ $(,)?) => {
            $( $module::$check(make().await).await.map_err(|e| broken(stringify!($check), &e))?; )+
        };
    }
    run!(
        keys::reads_what_was_written,
        keys::keeps_preconditions,
        keys::is_all_or_nothing,
        keys::pages_in_order,
        keys::refuses_what_is_over_a_limit,
        keys::loses_no_concurrent_edit,
        watches::continues_from_a_revision,
        watches::waits_and_says_progress,
        watches::refuses_what_it_cannot_continue,
        watches::follows_from_a_list,
        records::pages_both_ways,
        records::keeps_keys_unique,
        records::trims,
    );
    Ok(())
}

fn broken(check: &str, error: &Error) -> Error {
    Error::internal(format!("conformance: {check}")).because(error)
}

async fn put(store: &Made, key: &str, value: &str) -> Result<Revision> {
    Ok(store.commit(Commit::new().put(key, value.to_owned())).await?)
}

fn record(kind: &str, scope: &str, key: Option<&str>, at_ms: i64) -> Record {
    Record {
        kind: kind.to_owned(),
        scope: scope.to_owned(),
        key: key.map(str::to_owned),
        at_ms,
        value: format!("{scope}@{at_ms}").into(),
    }
}

fn refused_at(outcome: &Result<Revision, CommitError>) -> Option<(usize, Option<Revision>)> {
    match outcome {
        Err(CommitError::Precondition { index, current, .. }) => Some((*index, *current)),
        _ => None,
    }
}
