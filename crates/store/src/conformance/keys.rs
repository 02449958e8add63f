//! Keys, preconditions and lists.

use super::{Made, ensure, put, record, refused_at};
use crate::{Commit, CommitError, MAX_COMMIT_BYTES, MAX_KEY_BYTES, MAX_OPS};
use base::{Code, Result};
use std::sync::Arc;

pub async fn reads_what_was_written(store: Made) -> Result<()> {
    ensure!(store.get("/a").await?.is_none(), "an empty store has no keys");
    let first = put(&store, "/a", "1").await?;
    let second = put(&store, "/a", "2").await?;
    ensure!(first < second, "each commit has a later revision");
    ensure!(store.revision() == second, "the revision is that of the last commit");
    let entry = store.get("/a").await?;
    let shown = entry.as_ref().map(|e| (&*e.value, e.created, e.modified));
    ensure!(shown == Some((&b"2"[..], first, second)), "value, created and modified: {shown:?}");
    let deleted = store.commit(Commit::new().delete("/a").delete("/never")).await?;
    ensure!(store.get("/a").await?.is_none(), "a deleted key is gone");
    let again = put(&store, "/a", "").await?;
    let entry = store.get("/a").await?;
    let shown = entry.as_ref().map(|e| (&*e.value, e.created, e.modified));
    ensure!(again > deleted && shown == Some((&b""[..], again, again)), "a key made again is new: {shown:?}");
    Ok(())
}

pub async fn keeps_preconditions(store: Made) -> Result<()> {
    let first = put(&store, "/a", "1").await?;
    let write = || Commit::new().put("/x", "x");
    let outcome = store.commit(write().absent("/b").absent("/a").exists("/b")).await;
    ensure!(refused_at(&outcome) == Some((1, Some(first))), "the first that fails is named: {outcome:?}");
    let outcome = store.commit(write().exists("/b")).await;
    ensure!(refused_at(&outcome) == Some((0, None)), "'exists' of an absent key: {outcome:?}");
    let outcome = store.commit(write().at("/b", first)).await;
    ensure!(refused_at(&outcome) == Some((0, None)), "'at revision' of an absent key: {outcome:?}");
    let second = store.commit(write().at("/a", first).exists("/a").absent("/x").put("/a", "2")).await?;
    let outcome = store.commit(write().at("/a", first)).await;
    ensure!(refused_at(&outcome) == Some((0, Some(second))), "'at revision' of an old one: {outcome:?}");
    let codes = [
        (store.commit(write().absent("/a")).await, Code::Conflict),
        (store.commit(write().exists("/b")).await, Code::NotFound),
        (store.commit(write().at("/a", first)).await, Code::PreconditionFailed),
    ];
    for (outcome, code) in codes {
        let found = outcome.err().map(|e| base::Error::from(e).code);
        ensure!(found == Some(code), "the diagnostic is {code}: {found:?}");
    }
    ensure!(store.revision() == second, "a refused commit has no revision");
    Ok(())
}

pub async fn is_all_or_nothing(store: Made) -> Result<()> {
    let before = put(&store, "/a", "1").await?;
    let refused =
        Commit::new().put("/b", "1").delete("/a").record(record("event", "s", None, 1)).exists("/c");
    ensure!(store.commit(refused).await.is_err(), "a precondition fails the commit");
    let page = store.list("", None, 10).await?;
    let keys: Vec<_> = page.entries.iter().map(|e| e.key.as_str()).collect();
    ensure!(keys == ["/a"] && page.revision == before, "nothing of it is there: {keys:?}");
    let mut big = Commit::new();
    for n in 0..MAX_OPS {
        big = big.put(format!("/n/{n:03}"), "v");
    }
    let revision = store.commit(big).await?;
    let page = store.list("/n/", None, 1_000).await?;
    let same = page.entries.iter().all(|e| e.modified == revision && e.created == revision);
    ensure!(page.entries.len() == MAX_OPS && same, "all of a commit has its revision");
    Ok(())
}

pub async fn pages_in_order(store: Made) -> Result<()> {
    let keys = ["/v/a/1", "/v/a/10", "/v/a/2", "/v/a-b/1", "/v/ab/1", "/v/~/1", "/v", "/w/1"];
    for key in keys {
        put(&store, key, key).await?;
    }
    let mut sorted = keys.to_vec();
    sorted.sort_unstable();
    for prefix in ["", "/", "/v", "/v/", "/v/a", "/v/a/", "/v/a/1", "/x"] {
        let expected: Vec<_> = sorted.iter().filter(|k| k.starts_with(prefix)).copied().collect();
        for limit in [1, 2, 3, 100] {
            let mut found = Vec::new();
            loop {
                let after = found.last().cloned();
                let page = store.list(prefix, after.as_deref(), limit).await?;
                let rest = expected.len() - found.len();
                ensure!(page.entries.len() == rest.min(limit), "a page of '{prefix}' is full");
                ensure!(page.more == (rest > limit), "'more' of '{prefix}' by {limit}");
                ensure!(page.revision == store.revision(), "a page says its revision");
                found.extend(page.entries.into_iter().map(|e: crate::Entry| e.key));
                if !page.more {
                    break;
                }
            }
            ensure!(found == expected, "'{prefix}' by {limit}: {found:?}");
        }
    }
    let page = store.list("/v/", Some("/a"), 100).await?;
    ensure!(page.entries.len() == 6, "a place before the prefix is its start");
    let page = store.list("/v/", Some("/w"), 100).await?;
    ensure!(page.entries.is_empty() && !page.more, "a place behind the prefix is its end");
    let page = store.list("/v/", None, 0).await?;
    ensure!(page.entries.is_empty() && page.more, "a page of none");
    Ok(())
}

pub async fn refuses_what_is_over_a_limit(store: Made) -> Result<()> {
    let many = (0..=MAX_OPS).fold(Commit::new(), |c, n| c.put(format!("/{n}"), "v"));
    let asking = (0..=MAX_OPS).fold(Commit::new().put("/a", "v"), |c, n| c.absent(format!("/{n}")));
    let cases = [
        ("too many writes", many, Code::TooLarge),
        ("too many preconditions", asking, Code::TooLarge),
        ("too many bytes", Commit::new().put("/a", vec![0; MAX_COMMIT_BYTES]), Code::TooLarge),
        ("nothing", Commit::new().absent("/a"), Code::Invalid),
        ("an empty key", Commit::new().put("", "v"), Code::Invalid),
        ("a space in a key", Commit::new().put("/a b", "v"), Code::Invalid),
        ("no ASCII", Commit::new().put("/ä", "v"), Code::Invalid),
        ("a long key", Commit::new().delete("x".repeat(MAX_KEY_BYTES + 1)), Code::Invalid),
        ("a key twice", Commit::new().put("/a", "v").delete("/a"), Code::Invalid),
    ];
    for (what, commit, code) in cases {
        let found = store.commit(commit).await;
        ensure!(
            matches!(&found, Err(CommitError::Failed(e)) if e.code == code),
            "{what} is refused as {code}: {found:?}"
        );
    }
    let largest = Commit::new().put("/a", vec![7; MAX_COMMIT_BYTES - 2]);
    store.commit(largest).await?;
    let size = store.get("/a").await?.map(|e| e.value.len());
    ensure!(size == Some(MAX_COMMIT_BYTES - 2), "the largest commit passes: {size:?}");
    Ok(())
}

/// Each of several writers reads, adds one, and writes only where nobody was faster.
pub async fn loses_no_concurrent_edit(store: Made) -> Result<()> {
    const WRITERS: u32 = 8;
    const EACH: u32 = 10;
    put(&store, "/n", "0").await?;
    let tasks: Vec<_> =
        (0..WRITERS).map(|_| rt::task::spawn("edit", edit(Arc::clone(&store), EACH))).collect();
    for task in tasks {
        task.await??;
    }
    let found = number(&store).await?.0;
    ensure!(found == WRITERS * EACH, "no edit is lost: {found}");
    Ok(())
}

async fn edit(store: Made, times: u32) -> Result<()> {
    for _ in 0..times {
        loop {
            let (n, revision) = number(&store).await?;
            match store.commit(Commit::new().at("/n", revision).put("/n", (n + 1).to_string())).await {
                Ok(_) => break,
                Err(CommitError::Precondition { .. }) => {}
                Err(e) => return Err(e.into()),
            }
        }
    }
    Ok(())
}

async fn number(store: &Made) -> Result<(u32, base::Revision)> {
    let entry = store.get("/n").await?.ok_or_else(|| base::Error::internal("/n is there"))?;
    let n = String::from_utf8_lossy(&entry.value).parse().unwrap_or(u32::MAX);
    Ok((n, entry.modified))
}
