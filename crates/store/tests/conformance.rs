//! The suite, on every provider.
#![allow(clippy::unwrap_used, clippy::expect_used)] // tests

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};
use store::{conformance, memory::MemoryStore, sqlite};

#[tokio::test]
async fn memory() {
    conformance::check_all(async || Arc::new(MemoryStore::default()) as conformance::Made).await.unwrap();
}

#[tokio::test]
async fn sqlite() {
    let directory = tempfile::tempdir().unwrap();
    let number = AtomicU32::new(0);
    let make = async || {
        let path = directory.path().join(format!("{}.db", number.fetch_add(1, Ordering::Relaxed)));
        Arc::new(sqlite::SqliteStore::open(path, sqlite::Options::default()).await.unwrap())
            as conformance::Made
    };
    conformance::check_all(make).await.unwrap();
}
