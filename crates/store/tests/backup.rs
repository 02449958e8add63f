//! Online backup, verify, restore.
#![allow(clippy::unwrap_used, clippy::expect_used)] // tests

use base::{Code, Revision};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};
use store::{
    Commit, Record, Store,
    sqlite::{self, Options, SqliteStore},
};

async fn open(path: &Path) -> SqliteStore {
    SqliteStore::open(path, Options::default()).await.unwrap()
}

fn event(n: i64) -> Record {
    Record {
        kind: "event".into(),
        scope: "s".into(),
        key: None,
        at_ms: n,
        value: format!("event {n}").into(),
    }
}

/// A store with some content, and a backup of it.
async fn with_backup(directory: &Path) -> (SqliteStore, PathBuf) {
    let store = open(&directory.join("a/store.db")).await;
    for n in 0..20 {
        let commit = Commit::new().put(format!("/k/{n}"), format!("value {n}").repeat(50)).record(event(n));
        store.commit(commit).await.unwrap();
    }
    let copy = directory.join("copy");
    store.backup(&copy).await.unwrap();
    (store, copy)
}

#[tokio::test]
async fn a_backup_holds_what_there_was() {
    let directory = tempfile::tempdir().unwrap();
    let (store, copy) = with_backup(directory.path()).await;
    let manifest = sqlite::verify(&copy).unwrap();
    assert_eq!((manifest.revision, manifest.entries, manifest.records), (store.revision(), 20, 20));
    let left: Vec<_> = fs::read_dir(directory.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left.len(), 3, "a directory, the backup and its manifest: {left:?}");
    let again = store.backup(&copy).await.unwrap_err();
    assert_eq!(again.code, Code::Conflict);
    assert!(sqlite::verify(&copy).is_ok(), "a refused backup leaves the other alone");
}

#[tokio::test]
async fn every_flipped_byte_is_found() {
    let directory = tempfile::tempdir().unwrap();
    let (_store, copy) = with_backup(directory.path()).await;
    let manifest = sqlite::manifest_path(&copy);
    for (file, step) in [(&copy, 331), (&manifest, 1)] {
        let good = fs::read(file).unwrap();
        for offset in (0..good.len()).step_by(step).chain([good.len() - 1]) {
            let mut bad = good.clone();
            bad[offset] ^= 1 << (offset % 8);
            fs::write(file, &bad).unwrap();
            assert!(sqlite::verify(&copy).is_err(), "{} at {offset}", file.display());
        }
        for length in [0, good.len() / 2, good.len() - 1] {
            fs::write(file, &good[..length]).unwrap();
            assert!(sqlite::verify(&copy).is_err(), "{} cut to {length}", file.display());
        }
        fs::write(file, &good).unwrap();
    }
    sqlite::verify(&copy).unwrap();
    fs::remove_file(&manifest).unwrap();
    assert_eq!(sqlite::verify(&copy).unwrap_err().code, Code::NotFound, "no manifest, no backup");
}

#[tokio::test]
async fn a_restore_is_newer_than_all_before_it() {
    let directory = tempfile::tempdir().unwrap();
    let (store, copy) = with_backup(directory.path()).await;
    let backed_up = store.revision();
    for n in 0..5 {
        store.commit(Commit::new().put("/lost", n.to_string()).record(event(100 + n))).await.unwrap();
    }
    let lost = store.revision();
    let query = store::RecordQuery {
        kind: "event".into(),
        scope: store::Scope::Any,
        after: None,
        limit: 1,
        order: store::Order::Newest,
    };
    let lost_event = store.records(&query).await.unwrap()[0].id;
    let target = store.path().to_owned();
    assert_eq!(sqlite::restore(&copy, &target).unwrap_err().code, Code::Conflict, "it is open");
    drop(store);
    assert_eq!(sqlite::restore(&copy, &target).unwrap_err().code, Code::Conflict, "it exists");
    for incarnation in 2..5 {
        fs::rename(&target, directory.path().join(format!("before-{incarnation}"))).unwrap();
        let restored = sqlite::restore(&copy, &target).unwrap();
        assert_eq!(restored, Revision::new(incarnation, backed_up.seq));
        assert!(restored > lost);
        let store = open(&target).await;
        assert_eq!(store.revision(), restored);
        assert_eq!(store.list("", None, 100).await.unwrap().entries.len(), 20);
        assert!(store.get("/lost").await.unwrap().is_none());
        let kept = store.get("/k/3").await.unwrap().unwrap();
        assert_eq!(kept.modified, Revision::new(1, 4), "what was not lost keeps its revision");
        assert_eq!(store.watch("", lost).await.unwrap_err().code, Code::Gone);
        let next = store.commit(Commit::new().put("/new", "v").record(event(200))).await.unwrap();
        assert_eq!(next, Revision::new(incarnation, backed_up.seq + 1));
        let after_lost =
            store::RecordQuery { after: Some(lost_event), order: store::Order::Oldest, ..query.clone() };
        let found = store.records(&after_lost).await.unwrap();
        assert_eq!(found.len(), 1, "a cursor from before the restore goes on with what is new");
        assert_eq!(found[0].at_ms, 200);
    }
    let elsewhere = directory.path().join("b/store.db");
    assert_eq!(sqlite::restore(&copy, &elsewhere).unwrap().incarnation, 2);
}

#[tokio::test]
async fn a_restore_refuses_what_is_not_whole() {
    let directory = tempfile::tempdir().unwrap();
    let (_store, copy) = with_backup(directory.path()).await;
    let target = directory.path().join("b/store.db");
    fs::create_dir(target.parent().unwrap()).unwrap();
    fs::write(directory.path().join("b/store.db-wal"), "left behind").unwrap();
    assert_eq!(sqlite::restore(&copy, &target).unwrap_err().code, Code::Conflict, "a log would be replayed");
    fs::remove_file(directory.path().join("b/store.db-wal")).unwrap();
    let good = fs::read(&copy).unwrap();
    let mut bad = good.clone();
    bad[good.len() / 2] ^= 0x10;
    fs::write(&copy, bad).unwrap();
    assert!(sqlite::restore(&copy, &target).is_err());
    assert!(!target.exists());
    fs::write(&copy, good).unwrap();
    sqlite::restore(&copy, &target).unwrap();
}

/// Each commit writes a pair; a backup taken at any moment holds only whole pairs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_is_of_one_moment() {
    let directory = tempfile::tempdir().unwrap();
    let store = Arc::new(open(&directory.path().join("store.db")).await);
    let writer = rt::task::spawn("writer", {
        let store = store.clone();
        async move {
            for n in 0.. {
                let commit = Commit::new().put(format!("/a/{n}"), vec![1; 3_000]).put(format!("/b/{n}"), "b");
                store.commit(commit.record(event(n))).await.unwrap();
            }
        }
    });
    let mut last = 0;
    for round in 0..4 {
        let now = store.revision();
        let copy = directory.path().join(format!("copy-{round}"));
        store.backup(&copy).await.unwrap();
        let manifest = sqlite::verify(&copy).unwrap();
        assert!(manifest.revision >= now, "it holds all that was acknowledged before");
        assert_eq!(manifest.entries, 2 * manifest.revision.seq);
        assert_eq!(manifest.records, manifest.revision.seq);
        assert!(manifest.records >= last);
        last = manifest.records;
    }
    drop(writer);
}
