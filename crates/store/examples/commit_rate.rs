//! Durable commits per second with 1, 16 and 64 clients, and the floor of the disk in the same run. Each commit is what the
//! controller does: one object of 1 KB at its revision, and one event.
//!
//! `cargo run --release -p store --example commit_rate [DIRECTORY]`
#![allow(clippy::disallowed_methods, clippy::disallowed_macros, clippy::cast_precision_loss)] // a tool of its own

use std::{fs::File, io::Write as _, path::Path, sync::Arc, time::Duration};
use store::{
    Commit, Record, Store,
    sqlite::{Options, SqliteStore},
};

const SPAN: Duration = Duration::from_secs(3);

#[tokio::main]
async fn main() -> base::Result<()> {
    let parent = std::env::args().nth(1).unwrap_or_else(|| ".".into());
    let directory = Path::new(&parent).join(format!("commit-rate-{}", rt::ids::uid()));
    let store: Arc<dyn Store> =
        Arc::new(SqliteStore::open(directory.join("store.db"), Options::default()).await?);
    for round in 1..=3 {
        println!("round {round}");
        println!(
            "  append of 4 KiB + fdatasync {:>8.0}/s",
            floor(&directory).map_err(|e| base::Error::io("append", &e))?
        );
        for clients in [1, 16, 64] {
            println!("  commits, {clients:>2} clients        {:>8.0}/s", rate(&store, clients, round).await?);
        }
    }
    drop(store);
    std::fs::remove_dir_all(&directory).map_err(|e| base::Error::io("clean up", &e))
}

fn floor(directory: &Path) -> std::io::Result<f64> {
    let path = directory.join("floor");
    let mut file = File::create(&path)?;
    let start = rt::clock::now();
    let mut count = 0;
    while start.elapsed() < SPAN {
        file.write_all(&[0x55; 4096])?;
        file.sync_data()?;
        count += 1;
    }
    std::fs::remove_file(path)?;
    Ok(f64::from(count) / start.elapsed().as_secs_f64())
}

async fn rate(store: &Arc<dyn Store>, clients: usize, round: usize) -> base::Result<f64> {
    let start = rt::clock::now();
    let work = |n| client(Arc::clone(store), format!("/vms/{round}/{clients}/{n}"), start);
    let tasks: Vec<_> = (0..clients).map(|n| rt::task::spawn("client", work(n))).collect();
    let mut count = 0;
    for task in tasks {
        count += task.await??;
    }
    Ok(count as f64 / start.elapsed().as_secs_f64())
}

async fn client(store: Arc<dyn Store>, key: String, start: rt::clock::Instant) -> base::Result<usize> {
    let mut revision = store.commit(Commit::new().absent(&key).put(&key, vec![b'v'; 1024])).await?;
    let mut count = 1;
    while start.elapsed() < SPAN {
        let event = Record {
            kind: "event".into(),
            scope: key.clone(),
            key: None,
            at_ms: rt::clock::wall().as_millisecond(),
            value: vec![b'e'; 160].into(),
        };
        let commit = Commit::new().at(&key, revision).put(&key, vec![b'v'; 1024]).record(event);
        revision = store.commit(commit).await?;
        count += 1;
    }
    Ok(count)
}
