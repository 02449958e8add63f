//! Records.

use super::{Made, ensure, record};
use crate::{Commit, CommitError, Order, RecordQuery, Scope, TrimRule};
use base::Result;

fn query(kind: &str, scope: Scope, order: Order) -> RecordQuery {
    RecordQuery { kind: kind.into(), scope, after: None, limit: 1_000, order }
}

async fn times(store: &Made, query: &RecordQuery) -> Result<Vec<i64>> {
    Ok(store.records(query).await?.into_iter().map(|r| r.at_ms).collect())
}

pub async fn pages_both_ways(store: Made) -> Result<()> {
    let scopes = ["p/a", "p/b", "p%", "q/a"];
    let mut revisions = Vec::new();
    for n in 0..20_usize {
        let at = i64::try_from(n).unwrap_or(0);
        let commit = Commit::new().record(record("event", scopes[n % 4], None, at));
        revisions.push(store.commit(commit.record(record("audit", "x", None, -at))).await?);
    }
    for order in [Order::Oldest, Order::Newest] {
        for scope in
            [Scope::Any, Scope::Is("p/b".into()), Scope::StartsWith("p/".into()), Scope::Is("p".into())]
        {
            let expected = (0..20_i64).filter(|n| scope.takes(scopes[usize::try_from(n % 4).unwrap_or(0)]));
            let expected: Vec<i64> = match order {
                Order::Oldest => expected.collect(),
                Order::Newest => expected.rev().collect(),
            };
            let mut found = Vec::new();
            let mut page = RecordQuery { limit: 3, ..query("event", scope.clone(), order) };
            loop {
                let records = store.records(&page).await?;
                page.after = records.last().map(|r| r.id);
                found.extend(records.iter().map(|r| r.at_ms));
                if records.len() < 3 {
                    break;
                }
            }
            ensure!(found == expected, "{scope:?} {order:?}: {found:?}");
        }
    }
    let whole = store.records(&query("event", Scope::Any, Order::Oldest)).await?;
    ensure!(whole.iter().map(|r| r.revision).eq(revisions), "a record has the revision of its commit");
    ensure!(&*whole[3].value == b"q/a@3" && whole[3].kind == "event", "a record is what was written");
    ensure!(
        store.records(&query("none", Scope::Any, Order::Newest)).await?.is_empty(),
        "a kind without records"
    );
    Ok(())
}

pub async fn keeps_keys_unique(store: Made) -> Result<()> {
    let keyed = |at| record("idempotency", "p", Some("k"), at);
    store.commit(Commit::new().put("/a", "1").record(keyed(1))).await?;
    let again = store.commit(Commit::new().put("/a", "2").record(keyed(2))).await;
    let exists = CommitError::RecordExists { kind: "idempotency".into(), key: "k".into() };
    ensure!(again == Err(exists), "a second one is refused: {again:?}");
    let value = store.get("/a").await?.map(|e| e.value);
    ensure!(value.as_deref() == Some(b"1"), "and nothing else of that commit happened: {value:?}");
    let twice = store.commit(Commit::new().record(record("x", "", Some("k"), 1)).record(record(
        "x",
        "",
        Some("k"),
        2,
    )));
    ensure!(matches!(twice.await, Err(CommitError::Failed(_))), "two in one commit are refused");
    store.commit(Commit::new().record(record("other", "p", Some("k"), 3))).await?;
    let found = store.record_by_key("idempotency", "k").await?.map(|r| (r.at_ms, r.key));
    ensure!(found == Some((1, Some("k".into()))), "a key finds the record of its kind: {found:?}");
    ensure!(store.record_by_key("idempotency", "z").await?.is_none(), "an unknown key finds nothing");
    let rule = TrimRule { kind: "idempotency".into(), since_ms: Some(2), ..TrimRule::default() };
    ensure!(store.trim(&[rule]).await? == [1], "the record is trimmed");
    store.commit(Commit::new().record(keyed(5))).await?;
    let found = store.record_by_key("idempotency", "k").await?.map(|r| r.at_ms);
    ensure!(found == Some(5), "a key can be used again after trimming: {found:?}");
    Ok(())
}

pub async fn trims(store: Made) -> Result<()> {
    for at in 0..1_200 {
        let scope = if at % 3 == 0 { "a" } else { "b" };
        store.commit(Commit::new().record(record("event", scope, None, at))).await?;
    }
    store.commit(Commit::new().record(record("audit", "a", None, 0))).await?;
    let before = store.revision();
    let rule = |since_ms, per_scope, total| TrimRule { kind: "event".into(), since_ms, per_scope, total };
    let all = query("event", Scope::Any, Order::Oldest);
    ensure!(store.trim(&[rule(Some(600), None, None)]).await? == [600], "by age");
    ensure!(times(&store, &all).await?.iter().copied().eq(600..1_200), "the old ones are gone");
    ensure!(store.trim(&[rule(None, Some(250), None)]).await? == [150], "by number in a scope");
    let a = times(&store, &query("event", Scope::Is("a".into()), Order::Oldest)).await?;
    let b = times(&store, &query("event", Scope::Is("b".into()), Order::Oldest)).await?;
    ensure!(
        a.len() == 200 && b.len() == 250 && b[0] > 800,
        "the newest of each scope stay: {} {}",
        a.len(),
        b.len()
    );
    let counts = store.trim(&[rule(None, None, Some(100)), rule(None, None, Some(100))]).await?;
    ensure!(counts == [350, 0], "by number in all: {counts:?}");
    ensure!(times(&store, &all).await?.iter().copied().eq(1_100..1_200), "the newest stay");
    ensure!(store.records(&query("audit", Scope::Any, Order::Newest)).await?.len() == 1, "other kinds stay");
    ensure!(store.revision() == before, "trimming is no commit");
    let last = store.records(&all).await?.last().map(|r| r.id);
    ensure!(store.trim(&[rule(None, None, Some(0))]).await? == [100], "all of a kind");
    store.commit(Commit::new().record(record("event", "a", None, 1))).await?;
    let next = store.records(&all).await?.last().map(|r| r.id);
    ensure!(next > last, "ids are never used again: {last:?} {next:?}");
    Ok(())
}
