//! Stores of released versions still open. Each release leaves one file in `tests/compat/`.
#![allow(clippy::unwrap_used, clippy::expect_used)] // tests

use base::Revision;
use std::path::{Path, PathBuf};
use store::{
    Commit, Order, Record, RecordQuery, Scope, Store,
    sqlite::{Options, SqliteStore},
};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/compat").join(name)
}

fn record(kind: &str, key: Option<&str>, at_ms: i64) -> Record {
    let key = key.map(str::to_owned);
    Record {
        kind: kind.into(),
        scope: "default/web".into(),
        key,
        at_ms,
        value: format!("{kind} {at_ms}").into(),
    }
}

/// Writes the fixture of this release: `cargo test -p store --test compat -- --ignored`.
#[tokio::test]
#[ignore = "writes into the source tree, once per release that changes the tables"]
async fn write_fixture() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    let store = SqliteStore::open(&path, Options::default()).await.unwrap();
    let commits = [
        Commit::new().put("/projects/default", r#"{"version":1}"#).record(record("audit", None, 1_000)),
        Commit::new().put("/vms/default/web", "first").record(record("event", None, 2_000)),
        Commit::new().put("/vms/default/web", "second").record(record("idempotency", Some("k-1"), 3_000)),
        Commit::new().put("/vms/default/gone", vec![0; 10]),
        Commit::new().delete("/vms/default/gone"),
    ];
    for commit in commits {
        store.commit(commit).await.unwrap();
    }
    drop(store);
    std::fs::copy(path, fixture("v1.db")).unwrap();
}

#[tokio::test]
async fn opens_v1() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    std::fs::write(&path, std::fs::read(fixture("v1.db")).unwrap()).unwrap();
    let store = SqliteStore::open(&path, Options::default()).await.unwrap();
    let at = |seq| Revision::new(1, seq);
    let page = store.list("", None, 100).await.unwrap();
    let shown: Vec<_> =
        page.entries.iter().map(|e| (e.key.as_str(), &*e.value, e.created, e.modified)).collect();
    let expected: [(&str, &[u8], Revision, Revision); 2] = [
        ("/projects/default", br#"{"version":1}"#, at(1), at(1)),
        ("/vms/default/web", b"second", at(2), at(3)),
    ];
    assert_eq!((shown.as_slice(), page.revision), (expected.as_slice(), at(5)));
    let kept = store.record_by_key("idempotency", "k-1").await.unwrap().unwrap();
    assert_eq!((kept.revision, &*kept.value), (at(3), &b"idempotency 3000"[..]));
    for kind in ["audit", "event"] {
        let query = RecordQuery {
            kind: kind.into(),
            scope: Scope::StartsWith("default/".into()),
            after: None,
            limit: 10,
            order: Order::Newest,
        };
        assert_eq!(store.records(&query).await.unwrap().len(), 1, "{kind}");
    }
    assert_eq!(store.commit(Commit::new().absent("/new").put("/new", "v")).await.unwrap(), at(6));
}
