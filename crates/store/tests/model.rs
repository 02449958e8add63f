//! Random commits against a model: what the store shows, and that its watch is the difference of its lists.
#![allow(clippy::unwrap_used, clippy::expect_used)] // tests

use base::Revision;
use proptest::prelude::*;
use std::{collections::BTreeMap, sync::Arc};
use store::{
    Commit, CommitError, Entry, Store,
    memory::MemoryStore,
    sqlite::{Options, SqliteStore},
};

const KEYS: [&str; 6] = ["/a/1", "/a/2", "/a/3", "/ab", "/b/1", "/b/2"];

#[derive(Clone, Debug)]
enum Step {
    Put(usize, u8),
    Delete(usize),
    Absent(usize),
    Exists(usize),
    /// The current revision, or (when false) one that is wrong.
    At(usize, bool),
}

fn step() -> impl Strategy<Value = Step> {
    let key = 0..KEYS.len();
    prop_oneof![
        4 => (key.clone(), any::<u8>()).prop_map(|(k, v)| Step::Put(k, v)),
        2 => key.clone().prop_map(Step::Delete),
        1 => key.clone().prop_map(Step::Absent),
        1 => key.clone().prop_map(Step::Exists),
        1 => (key, prop::bool::weighted(0.8)).prop_map(|(k, right)| Step::At(k, right)),
    ]
}

fn commits() -> impl Strategy<Value = Vec<Vec<Step>>> {
    prop::collection::vec(prop::collection::vec(step(), 1..6), 1..25)
}

type Model = BTreeMap<String, Entry>;

/// Turns steps into a commit and says whether the model lets it pass.
fn plan(steps: &[Step], model: &Model, next: Revision) -> (Commit, Option<Model>) {
    let (mut commit, mut after, mut holds, mut written) =
        (Commit::new(), model.clone(), true, [false; KEYS.len()]);
    for step in steps {
        match *step {
            Step::Put(k, v) if !written[k] => {
                written[k] = true;
                commit = commit.put(KEYS[k], vec![v]);
                let created = model.get(KEYS[k]).map_or(next, |e| e.created);
                let entry = Entry { key: KEYS[k].into(), value: vec![v].into(), created, modified: next };
                after.insert(KEYS[k].into(), entry);
            }
            Step::Delete(k) if !written[k] => {
                written[k] = true;
                commit = commit.delete(KEYS[k]);
                after.remove(KEYS[k]);
            }
            Step::Put(..) | Step::Delete(_) => {}
            Step::Absent(k) => {
                commit = commit.absent(KEYS[k]);
                holds &= !model.contains_key(KEYS[k]);
            }
            Step::Exists(k) => {
                commit = commit.exists(KEYS[k]);
                holds &= model.contains_key(KEYS[k]);
            }
            Step::At(k, right) => {
                let current = model.get(KEYS[k]).map(|e| e.modified);
                commit = commit.at(KEYS[k], current.filter(|_| right).unwrap_or(next));
                holds &= right && current.is_some();
            }
        }
    }
    (commit, holds.then_some(after))
}

async fn check(store: Arc<dyn Store>, commits: Vec<Vec<Step>>) {
    let mut model = Model::new();
    let mut shown = vec![(store.revision(), model.clone())];
    for steps in commits {
        let now = store.revision();
        let next = Revision::new(now.incarnation, now.seq + 1);
        let (commit, after) = plan(&steps, &model, next);
        if commit.writes.is_empty() {
            continue;
        }
        match (store.commit(commit).await, after) {
            (Ok(revision), Some(after)) => {
                assert_eq!(revision, next);
                model = after;
                shown.push((revision, model.clone()));
            }
            (Err(CommitError::Precondition { .. }), None) => assert_eq!(store.revision(), now),
            (outcome, after) => panic!("{outcome:?}, the model says {after:?}"),
        }
        let page = store.list("", None, 100).await.unwrap();
        assert_eq!(page.entries, model.values().cloned().collect::<Vec<_>>());
        assert_eq!(page.revision, store.revision());
    }
    for (revision, list) in &shown {
        for prefix in ["", "/a", "/a/", "/b/"] {
            replay(&store, prefix, *revision, list, &model).await;
        }
    }
}

/// A list at a revision and the changes that follow it are the list of today.
async fn replay(store: &Arc<dyn Store>, prefix: &str, from: Revision, list: &Model, today: &Model) {
    let inside =
        |m: &Model| -> Model { m.clone().into_iter().filter(|(k, _)| k.starts_with(prefix)).collect() };
    let (mut view, mut at) = (inside(list), from);
    let mut watch = store.watch(prefix, from).await.unwrap();
    while at < store.revision() {
        let batch = watch.next().await.unwrap();
        at = batch.revision;
        for change in batch.changes {
            match change.entry {
                Some(entry) => drop(view.insert(change.key, entry)),
                None => assert!(view.remove(&change.key).is_some(), "only what was there is deleted"),
            }
        }
    }
    assert_eq!(view, inside(today), "'{prefix}' from {from}");
}

fn run(future: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn memory_is_the_model(commits in commits()) {
        run(check(Arc::new(MemoryStore::default()), commits));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 30, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn sqlite_is_the_model(commits in commits()) {
        run(async {
            let directory = tempfile::tempdir().unwrap();
            let store = SqliteStore::open(directory.path().join("s.db"), Options::default()).await.unwrap();
            check(Arc::new(store), commits).await;
        });
    }
}
