//! kill -9 at random moments and at failpoints: every acknowledged commit is there afterwards, whole. The child is this
//! very test program, started again for one ignored test.
#![allow(clippy::unwrap_used, clippy::expect_used)] // tests

use std::{collections::BTreeSet, io::Write as _, path::Path, process::Stdio, sync::Arc, time::Duration};
use store::{
    Commit, Record, Store,
    sqlite::{Options, SqliteStore},
};
use tokio::io::AsyncReadExt;

const DIRECTORY: &str = "HOSTLER_TEST_STORE";
const FAILPOINT: &str = "HOSTLER_TEST_FAILPOINT";
const CLIENTS: &str = "HOSTLER_TEST_CLIENTS";

async fn open(path: &Path) -> SqliteStore {
    SqliteStore::open(path, Options::default()).await.unwrap()
}

/// Writes until it is killed, and says on standard output which commits were acknowledged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "the child of the other tests"]
#[allow(clippy::disallowed_methods)] // how its parent speaks to it
async fn child() {
    let Ok(path) = std::env::var(DIRECTORY) else { return };
    if let Ok(point) = std::env::var(FAILPOINT) {
        rt::failpoint::arm(&point);
    }
    let clients: usize = std::env::var(CLIENTS).unwrap().parse().unwrap();
    let store: Arc<dyn Store> = Arc::new(open(Path::new(&path)).await);
    let start = store.revision().seq;
    let tasks: Vec<_> = (0..clients)
        .map(|client| rt::task::spawn("client", write(store.clone(), format!("{start}.{client}"))))
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}

async fn write(store: Arc<dyn Store>, client: String) {
    for n in 0..100_000 {
        let name = format!("{client}.{n}");
        let (first, second) = (format!("/a/{name}"), format!("/b/{name}"));
        let record = Record {
            kind: "event".into(),
            scope: "s".into(),
            key: Some(name.clone()),
            at_ms: 0,
            value: "e".into(),
        };
        let commit = Commit::new().absent(&first).put(&first, vec![7; 700]).put(&second, "2").record(record);
        store.commit(commit).await.unwrap();
        std::io::stdout().write_all(format!("\nack {name}\n").as_bytes()).unwrap();
    }
}

/// Starts the child, lets it live for `life` at most, and returns what it says was acknowledged.
async fn run_child(path: &Path, clients: usize, life: Duration, failpoint: Option<&str>) -> BTreeSet<String> {
    let mut command = rt::process::command(std::env::current_exe().unwrap());
    command.args(["--exact", "child", "--ignored", "--nocapture"]).stdout(Stdio::piped());
    command.env(DIRECTORY, path).env(CLIENTS, clients.to_string());
    if let Some(point) = failpoint {
        command.env(FAILPOINT, point);
    }
    let mut child = command.spawn().unwrap();
    let mut out = child.stdout.take().unwrap();
    let mut text = Vec::new();
    let whole = rt::clock::timeout(life, "the child", out.read_to_end(&mut text)).await;
    if failpoint.is_some() {
        whole.expect("the failpoint ends the child").unwrap();
    }
    child.start_kill().unwrap();
    child.wait().await.unwrap();
    out.read_to_end(&mut text).await.unwrap();
    let text = String::from_utf8(text).unwrap();
    let complete = &text[..=text.rfind('\n').unwrap_or(0).min(text.len() - 1)];
    complete.lines().filter_map(|l| l.strip_prefix("ack ")).map(str::to_owned).collect()
}

/// Reads what is there; every commit must be whole.
async fn survivors(path: &Path) -> BTreeSet<String> {
    let store = open(path).await;
    let names = async |prefix: &str| -> BTreeSet<String> {
        let page = store.list(prefix, None, usize::MAX).await.unwrap();
        page.entries.into_iter().map(|e| e.key[prefix.len()..].to_owned()).collect()
    };
    let (first, second) = (names("/a/").await, names("/b/").await);
    assert_eq!(first, second, "a commit is whole");
    for name in &first {
        assert!(store.record_by_key("event", name).await.unwrap().is_some(), "with its record");
    }
    assert_eq!(store.revision().seq, first.len() as u64, "as many commits as revisions");
    first
}

#[tokio::test]
async fn kill_at_random_loses_nothing_acknowledged() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    let mut acknowledged = BTreeSet::new();
    let mut kills = 0;
    // On a busy machine a child may not live long enough to write anything.
    while kills < 6 || (acknowledged.is_empty() && kills < 60) {
        kills += 1;
        let life = Duration::from_millis(150).mul_f64(0.5 + 2.0 * rt::ids::random_unit());
        acknowledged.append(&mut run_child(&path, 8, life, None).await);
        let there = survivors(&path).await;
        let lost: Vec<_> = acknowledged.difference(&there).collect();
        assert!(lost.is_empty(), "lost: {lost:?}");
    }
    assert!(!acknowledged.is_empty(), "the children wrote");
}

#[tokio::test]
async fn failpoints_stand_where_they_say() {
    for (point, durable) in
        [("store.before-commit:5", 0), ("store.after-commit:5", 1), ("store.before-reply:5", 1)]
    {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("store.db");
        let acknowledged = run_child(&path, 1, Duration::from_secs(30), Some(point)).await;
        let there = survivors(&path).await;
        assert_eq!(acknowledged.len(), 4, "{point}");
        assert!(acknowledged.is_subset(&there), "{point}");
        assert_eq!(there.len() - acknowledged.len(), durable, "{point}: durable without an answer");
    }
}
