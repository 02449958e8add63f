//! A disk that is really full: a small tmpfs in a mount namespace of the test's own. The child is this very test program.
#![allow(clippy::unwrap_used, clippy::expect_used)] // tests
#![cfg(target_os = "linux")]

use base::{Code, Error};
use std::{fs, path::Path, process::Stdio, time::Duration};
use store::{
    Commit, Store,
    sqlite::{Options, SqliteStore},
};

const DIRECTORY: &str = "HOSTLER_TEST_STORE";

#[tokio::test]
#[ignore = "the child of the other test"]
#[allow(clippy::disallowed_methods)] // how its parent speaks to it
async fn child() {
    let Ok(directory) = std::env::var(DIRECTORY) else { return };
    let directory = Path::new(&directory);
    fs::write(directory.join("ballast"), vec![1; 2 * 1024 * 1024]).unwrap();
    let path = directory.join("store.db");
    let store = SqliteStore::open(&path, Options::default()).await.unwrap();
    let commit = |n: usize| Commit::new().put(format!("/a/{n}"), vec![1; 20_000]).put(format!("/b/{n}"), "b");
    let mut acknowledged = 0;
    let error = loop {
        match store.commit(commit(acknowledged)).await {
            Ok(_) => acknowledged += 1,
            Err(e) => break Error::from(e),
        }
    };
    assert_eq!(error.code, Code::Exhausted, "{error:?}");
    assert!(acknowledged > 50, "{acknowledged}");
    assert!(store.health().is_ok(), "it is not poisoned");
    let count =
        async |store: &SqliteStore, prefix| store.list(prefix, None, 10_000).await.unwrap().entries.len();
    assert_eq!((count(&store, "/a/").await, count(&store, "/b/").await), (acknowledged, acknowledged));
    assert_eq!(store.backup(&directory.join("copy")).await.unwrap_err().code, Code::Exhausted);
    assert!(!directory.join("copy").exists(), "a backup that failed leaves nothing");
    fs::remove_file(directory.join("ballast")).unwrap();
    store.commit(commit(acknowledged)).await.unwrap();
    drop(store);
    let store = SqliteStore::open(&path, Options::default()).await.unwrap();
    assert_eq!(
        (count(&store, "/a/").await, count(&store, "/b/").await),
        (acknowledged + 1, acknowledged + 1)
    );
}

#[tokio::test]
#[allow(clippy::disallowed_macros)] // says why it proved nothing
async fn a_full_disk_refuses_and_goes_on_once_there_is_room() {
    let limit = Duration::from_mins(1);
    let mut probe = rt::process::command("unshare");
    probe.args(["-Urm", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]);
    if let Err(e) = rt::process::run(probe, limit).await {
        println!("SKIPPED a_full_disk_refuses_and_goes_on_once_there_is_room: no mount namespaces: {e}");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let script = r#"mount -t tmpfs -o size=8m tmpfs "$HOSTLER_TEST_STORE" && exec "$0" --exact child --ignored --nocapture"#;
    let mut command = rt::process::command("unshare");
    command.args(["-Urm", "sh", "-c", script]).arg(std::env::current_exe().unwrap());
    command.env(DIRECTORY, directory.path()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = rt::clock::timeout(limit, "the child", command.output()).await.unwrap().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}\n{}", text(&output.stdout), text(&output.stderr));
    assert!(text(&output.stdout).contains("1 passed"));
}
