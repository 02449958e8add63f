//! Tests that need the inside of the provider.

use super::*;
use crate::{Commit, CommitError};
use base::Code;
use std::sync::mpsc;
use tempfile::TempDir;

fn put(key: &str) -> Commit {
    Commit::new().put(key, "v")
}

async fn open(path: &Path) -> Result<SqliteStore> {
    SqliteStore::open(path, Options::default()).await
}

fn place() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    (directory, path)
}

/// A writer on a fresh file whose COMMITs ask `fails` first.
fn writer_that(path: &Path, fails: impl FnMut() -> bool + Send + 'static) -> (writer::Writer, Arc<History>) {
    let mut db = schema::connect(path).unwrap();
    schema::migrate(&mut db, path, schema::MIGRATIONS).unwrap();
    db.commit_hook(Some(fails)).unwrap();
    let state = schema::state(&db).unwrap();
    let history = History::new(HistoryLimits::default(), state.revision);
    let (_, wal) = checkpoint::Checkpointer::start(schema::connect_reader(path).unwrap()).unwrap();
    (writer::Writer::start(db, state, history.clone(), wal).unwrap(), history)
}

#[tokio::test]
async fn an_unknown_outcome_stops_the_store() {
    let (_directory, path) = place();
    let mut count = 0;
    let (writer, history) = writer_that(&path, move || {
        count += 1;
        count == 2
    });
    let first = writer.commit(put("/1")).await.unwrap();
    for _ in 0..2 {
        let Err(CommitError::Failed(e)) = writer.commit(put("/2")).await else { panic!("it is poisoned") };
        assert_eq!(e.code, Code::Unavailable);
        assert!(e.hint.unwrap().contains("restart"));
    }
    assert_eq!(writer.health().unwrap_err().code, Code::Unavailable);
    assert_eq!(history.revision(), first, "nothing of it shows");
}

/// A commit that was refused because of its neighbour must not say so when the neighbour was never durable.
#[tokio::test]
async fn a_refusal_shares_the_fate_of_its_group() {
    let (_directory, path) = place();
    let (entered, has_entered) = mpsc::channel();
    let (go, may_go) = mpsc::channel::<bool>();
    let (writer, _) = writer_that(&path, move || {
        entered.send(()).unwrap();
        may_go.recv().unwrap()
    });
    let group = async {
        let has_entered =
            rt::task::blocking(move || has_entered.recv().map(|()| has_entered)).await.unwrap().unwrap();
        // The first one is in its COMMIT: these two wait in the queue and form one group.
        let refused = || writer.commit(put("/a").absent("/a"));
        let release = async {
            go.send(false).unwrap();
            rt::task::blocking(move || has_entered.recv().unwrap()).await.unwrap();
            go.send(true).unwrap();
        };
        tokio::join!(biased; refused(), refused(), release)
    };
    let (first, (a, b, ())) = tokio::join!(biased; writer.commit(put("/first")), group);
    assert!(first.is_ok());
    assert!(matches!(a, Err(CommitError::Failed(_))), "{a:?}");
    assert!(matches!(b, Err(CommitError::Failed(_))), "{b:?}");
}

#[tokio::test]
async fn one_process_has_it_open() {
    let (_directory, path) = place();
    let store = open(&path).await.unwrap();
    assert_eq!(open(&path).await.err().unwrap().code, Code::Conflict);
    drop(store);
    open(&path).await.unwrap();
}

#[tokio::test]
async fn a_closed_store_ends_its_watches_and_leaves_one_file() {
    let (directory, path) = place();
    let store = open(&path).await.unwrap();
    let now = store.commit(put("/a")).await.unwrap();
    let mut watch = store.watch("", now).await.unwrap();
    drop(store);
    assert_eq!(watch.next().await.unwrap_err().code, Code::Unavailable);
    assert!(!directory.path().join("store.db-wal").exists(), "the log was moved into the file");
    let store = open(&path).await.unwrap();
    assert_eq!(store.revision(), now);
    assert!(store.watch("", now).await.is_ok(), "the revision of the start continues");
    let older = Revision::new(now.incarnation, now.seq - 1);
    assert_eq!(store.watch("", older).await.unwrap_err().code, Code::Gone);
}

#[tokio::test]
async fn slow_watchers_are_told_to_list_again() {
    let (_directory, path) = place();
    let limits = HistoryLimits { changes: 10, ..HistoryLimits::default() };
    let store = SqliteStore::open(path, Options { history: limits, ..Options::default() }).await.unwrap();
    let start = store.revision();
    let mut slow = store.watch("", start).await.unwrap();
    for n in 0..30 {
        store.commit(put(&format!("/{n}"))).await.unwrap();
    }
    assert_eq!(slow.next().await.unwrap_err().code, Code::Gone);
    assert_eq!(store.watch("", start).await.unwrap_err().code, Code::Gone);
    let kept = Revision::new(1, store.revision().seq - 10);
    let batch = store.watch("", kept).await.unwrap().next().await.unwrap();
    assert_eq!(batch.changes.len(), 10);
}

#[tokio::test]
async fn a_full_store_refuses_and_goes_on() {
    let (_directory, path) = place();
    let options = Options { max_bytes: Some(1024 * 1024), ..Options::default() };
    let store = SqliteStore::open(path, options).await.unwrap();
    let big =
        |n: usize| Commit::new().put(format!("/big/{n}"), vec![1; 64 * 1024]).put(format!("/small/{n}"), "s");
    let mut acknowledged = 0;
    let error = loop {
        match store.commit(big(acknowledged)).await {
            Ok(_) => acknowledged += 1,
            Err(e) => break Error::from(e),
        }
        assert!(acknowledged < 100, "it fills up");
    };
    assert_eq!(error.code, Code::Exhausted, "{error}");
    assert!(store.health().is_ok());
    for prefix in ["/big/", "/small/"] {
        assert_eq!(
            store.list(prefix, None, 1_000).await.unwrap().entries.len(),
            acknowledged,
            "all or nothing"
        );
    }
    store.commit(Commit::new().delete("/big/0")).await.unwrap();
    store.commit(big(acknowledged)).await.unwrap();
}

const SECOND: &str = "CREATE TABLE more (id INTEGER PRIMARY KEY) STRICT;";

#[tokio::test]
async fn migrations_back_up_first_and_run_once() {
    let (directory, path) = place();
    let store = open(&path).await.unwrap();
    let written = store.commit(put("/a")).await.unwrap();
    drop(store);
    let newer = [schema::MIGRATIONS[0], SECOND];
    for _ in 0..2 {
        let store = SqliteStore::open_blocking(path.clone(), &Options::default(), &newer).unwrap();
        assert_eq!(store.get("/a").await.unwrap().unwrap().modified, written);
    }
    let backups: Vec<_> =
        std::fs::read_dir(directory.path().join("backups")).unwrap().map(|e| e.unwrap().path()).collect();
    let [copy] = &backups.iter().filter(|p| p.extension() != Some("json".as_ref())).collect::<Vec<_>>()[..]
    else {
        panic!("one backup: {backups:?}")
    };
    let manifest = verify(copy).unwrap();
    assert_eq!((manifest.version, manifest.revision, manifest.entries), (1, written, 1));
    let refused = open(&path).await.err().unwrap();
    assert_eq!(refused.code, Code::Conflict);
    assert!(refused.message.contains("version 2") && refused.hint.unwrap().contains("backups"));
}

#[tokio::test]
async fn a_migration_that_fails_changes_nothing() {
    let (_directory, path) = place();
    drop(open(&path).await.unwrap());
    let broken = [schema::MIGRATIONS[0], "CREATE TABLE half (id INTEGER); CREATE TABLE state (id INTEGER);"];
    assert!(SqliteStore::open_blocking(path.clone(), &Options::default(), &broken).is_err());
    let db = schema::connect(&path).unwrap();
    assert_eq!(schema::version(&db, &path).unwrap(), 1);
    assert!(db.prepare("SELECT * FROM half").is_err());
}

#[tokio::test]
async fn files_of_others_are_left_alone() {
    let (directory, path) = place();
    rusqlite::Connection::open(&path).unwrap().execute_batch("CREATE TABLE theirs (id INTEGER)").unwrap();
    assert_eq!(open(&path).await.err().unwrap().code, Code::Conflict);
    let text = directory.path().join("text");
    std::fs::write(&text, "no database at all, only some text".repeat(100)).unwrap();
    let error = open(&text).await.err().unwrap();
    assert!(error.hint.unwrap().contains("restore"), "{}", error.message);
}

#[tokio::test]
async fn an_older_copy_put_in_place_by_hand_starts_an_incarnation() {
    let (directory, path) = place();
    drop(open(&path).await.unwrap());
    let old = directory.path().join("old");
    std::fs::copy(&path, &old).unwrap();
    let db = schema::connect(&path).unwrap();
    incarnation::raise(&db, &path, 7).unwrap();
    drop(db);
    std::fs::copy(&old, &path).unwrap();
    assert_eq!(open(&path).await.unwrap().revision().incarnation, 8);
    std::fs::remove_file(&path).unwrap();
    let fresh = open(&path).await.unwrap();
    assert_eq!(fresh.revision().incarnation, 9, "so does a fresh one in an old place");
    let event = crate::Record {
        kind: "event".into(),
        scope: String::new(),
        key: Some("k".into()),
        at_ms: 0,
        value: "e".into(),
    };
    fresh.commit(Commit::new().record(event)).await.unwrap();
    let id = fresh.record_by_key("event", "k").await.unwrap().unwrap().id;
    assert_eq!(id, schema::first_record(9), "record ids are ordered by incarnation first");
}

#[tokio::test]
async fn the_file_is_private() {
    use std::os::unix::fs::PermissionsExt;
    let (directory, path) = place();
    let store = open(&path).await.unwrap();
    store.commit(put("/a")).await.unwrap();
    store.backup(&directory.path().join("copy")).await.unwrap();
    for file in std::fs::read_dir(directory.path()).unwrap() {
        let file = file.unwrap();
        let mode = file.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{}", file.path().display());
    }
}

/// Without help from the writer, a log under steady commits never finds the moment to start over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_stays_bounded() {
    let (_directory, path) = place();
    let store = Arc::new(open(&path).await.unwrap());
    let client = async |store: Arc<SqliteStore>, n: usize| {
        for _ in 0..30 {
            store.commit(Commit::new().put(format!("/{n}"), vec![1; 900_000])).await.unwrap();
        }
    };
    let tasks: Vec<_> = (0..4).map(|n| rt::task::spawn("client", client(store.clone(), n))).collect();
    for task in tasks {
        task.await.unwrap();
    }
    let size = std::fs::metadata(beside(&path, "-wal")).unwrap().len();
    assert!(size < 80 * 1024 * 1024, "{size}");
}
