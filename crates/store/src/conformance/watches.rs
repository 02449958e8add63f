//! Watches.

use super::{Made, ensure, put, record};
use crate::{Change, Commit, Entry, Watch};
use base::{Code, Error, Result, Revision};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// Longer than any provider takes, and the bound of every wait here.
const PATIENCE: Duration = Duration::from_secs(20);

async fn until(watch: &mut Watch, revision: Revision) -> Result<Vec<Change>> {
    let mut all = Vec::new();
    let mut at = Revision::default();
    while at < revision {
        let batch = rt::clock::timeout(PATIENCE, "the watch", watch.next()).await??;
        ensure!(batch.revision > at, "progress only goes on");
        ensure!(batch.changes.iter().all(|c| c.revision > at), "a commit is never split over batches");
        at = batch.revision;
        all.extend(batch.changes);
    }
    ensure!(all.is_sorted_by_key(|c| c.revision), "changes come in the order of their revisions");
    Ok(all)
}

pub async fn continues_from_a_revision(store: Made) -> Result<()> {
    let start = store.revision();
    let first = put(&store, "/a/1", "1").await?;
    put(&store, "/b/1", "other").await?;
    let both = store.commit(Commit::new().put("/a/2", "2").delete("/a/1").delete("/a/none")).await?;
    let mut all = store.watch("/a/", start).await?;
    let changes = until(&mut all, both).await?;
    let entry = |key: &str, value: &'static str, at| Entry {
        key: key.into(),
        value: value.into(),
        created: at,
        modified: at,
    };
    let change = |revision, key: &str, entry| Change { revision, key: key.into(), entry };
    let expected = [
        change(first, "/a/1", Some(entry("/a/1", "1", first))),
        change(both, "/a/2", Some(entry("/a/2", "2", both))),
        change(both, "/a/1", None),
    ];
    ensure!(changes == expected, "all of the prefix and nothing else: {changes:#?}");
    let mut rest = store.watch("/a/", first).await?;
    let changes = until(&mut rest, both).await?;
    ensure!(changes == expected[1..], "only what follows the revision: {changes:#?}");
    Ok(())
}

pub async fn waits_and_says_progress(store: Made) -> Result<()> {
    let start = put(&store, "/a", "1").await?;
    let mut watch = store.watch("/a", start).await?;
    let early = rt::clock::timeout(Duration::from_millis(20), "the watch", watch.next()).await;
    ensure!(early.is_err(), "a watch that is current waits: {early:?}");
    let next = put(&store, "/a", "2").await?;
    let changes = until(&mut watch, next).await?;
    ensure!(changes.len() == 1, "a wait that was dropped loses nothing: {changes:?}");
    let other = put(&store, "/other", "1").await?;
    ensure!(until(&mut watch, other).await?.is_empty(), "other keys show as progress");
    let only_record = store.commit(Commit::new().record(record("event", "s", None, 1))).await?;
    ensure!(until(&mut watch, only_record).await?.is_empty(), "a commit of records shows as progress");
    Ok(())
}

pub async fn refuses_what_it_cannot_continue(store: Made) -> Result<()> {
    let now = put(&store, "/a", "1").await?;
    let cases = [
        ("the future", Revision::new(now.incarnation, now.seq + 1)),
        ("another incarnation", Revision::new(now.incarnation + 1, 0)),
        ("a past incarnation", Revision::new(now.incarnation - 1, now.seq)),
    ];
    for (what, revision) in cases {
        let code = store.watch("", revision).await.err().map(|e| e.code);
        ensure!(code == Some(Code::Gone), "{what} is gone: {code:?}");
    }
    Ok(())
}

/// A list by pages while others write, then the watch from its first page, gives what is there in the end.
pub async fn follows_from_a_list(store: Made) -> Result<()> {
    let writer = rt::task::spawn("churn", churn(Arc::clone(&store)));
    let mut view = BTreeMap::new();
    let mut page = store.list("/k/", None, 3).await?;
    let start = page.revision;
    loop {
        let last = page.entries.last().map(|e| e.key.clone());
        view.extend(page.entries.into_iter().map(|e| (e.key.clone(), e)));
        if !page.more {
            break;
        }
        page = store.list("/k/", last.as_deref(), 3).await?;
    }
    let mut watch = store.watch("/k/", start).await?;
    let end = writer.await??;
    for change in until(&mut watch, end).await? {
        match change.entry {
            Some(entry) => drop(view.insert(change.key, entry)),
            None => drop(view.remove(&change.key)),
        }
    }
    let list = store.list("/k/", None, 1_000).await?;
    let view: Vec<_> = view.into_values().collect();
    ensure!(view == list.entries, "the view is the list: {view:?} {:?}", list.entries);
    Ok(())
}

async fn churn(store: Made) -> Result<Revision> {
    let mut last = store.revision();
    for n in 0..60_u32 {
        let (key, gone) = (format!("/k/{}", n % 11), format!("/k/{}", (n + 5) % 11));
        last = store.commit(Commit::new().put(key, n.to_string()).delete(gone)).await.map_err(Error::from)?;
    }
    Ok(last)
}
