//! A restored store knows less than the workers do: what runs is found, and nothing runs twice.

#![allow(clippy::expect_used, clippy::unwrap_used)] // what is not as it must be ends the test

use api::{Operation, Vm, VmPhase};
use client::Key;
use e2e::{Cluster, Layout, Setup, eventually};
use rt::process::Signal;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(30);

/// A cluster of two workers, restored from a backup of the time when no worker was there and `web` waited, and stopped.
/// By now `web` runs on one worker. And which one (the numbers of the one that has it, and of the other).
async fn restored(limit: &str) -> (Cluster, u32, u32) {
    let mut cluster = Cluster::start(Setup::synthetic(Layout::Apart, 2)).await;
    cluster.cli().run(&["settings", "set", "workerOfflineSeconds=1"]).await.ok();
    let cordon = |verb| ["w1", "w2"].map(|worker| ["worker", verb, worker]);
    // Offline, so that nothing of the backup keeps `web` from being placed.
    for worker in 0..2 {
        cluster.workers[worker].kill().await;
    }
    for args in cordon("cordon") {
        cluster.cli().run(&args).await.ok();
    }
    cluster.cli().run(&["vm", "create", "web", "--image", "synthetic"]).await.ok();
    let shown = vm(&cluster).await;
    assert_eq!((shown.status.phase, shown.status.epoch), (VmPhase::Pending, 0));
    until_offline(&cluster).await;
    cluster.cli().run(&["settings", "set", limit]).await.ok();
    for args in cordon("uncordon") {
        cluster.cli().run(&args).await.ok();
    }
    let made = cluster.cli().run(&["controller", "backup", "create", "--wait", "-o", "json"]).await.json();
    let operation: Operation = serde_json::from_value(made).unwrap();
    let backup = operation.status.result.unwrap()["path"].as_str().unwrap().to_owned();

    cluster.restart_worker(1);
    cluster.restart_worker(2);
    let runs = until_it_runs(&cluster).await;
    let name = runs.status.worker.unwrap().name;
    let here = if name.as_str() == cluster.worker_name(1) { 1 } else { 2 };

    assert_eq!(cluster.controller.end(Signal::TERM).await, Some(0));
    let dir = cluster.data_dir().display().to_string();
    let restore = ["controller", "backup", "restore", &backup, "--data-dir", &dir, "--replace", "--yes"];
    cluster.cli().run(&restore).await.ok();
    (cluster, here, 3 - here)
}

async fn vm(cluster: &Cluster) -> Vm {
    cluster.client().get(&Key::in_project("default", "web")).await.unwrap()
}

async fn until_it_runs(cluster: &Cluster) -> Vm {
    eventually("it runs", SOON, || async {
        Some(vm(cluster).await).filter(|vm| vm.status.phase == VmPhase::Running)
    })
    .await
}

async fn until_offline(cluster: &Cluster) {
    let client = cluster.client();
    eventually("no worker is online", SOON, || async {
        let query = api::query::ListQuery::default();
        let (workers, _) = client.list_all::<api::Worker>(None, &query).await.ok()?;
        workers.iter().all(|w| !w.status.online).then_some(())
    })
    .await;
}

async fn until_online(cluster: &Cluster, worker: u32) {
    let (client, key) = (cluster.client(), Key::cluster(cluster.worker_name(worker)));
    eventually("the worker is online", SOON, || async {
        let worker: api::Worker = client.get(&key).await.ok()?;
        worker.status.online.then_some(())
    })
    .await;
}

/// How often each worker has started a machine for `web`.
fn starts(cluster: &Cluster) -> [Vec<u64>; 2] {
    [1, 2].map(|worker| cluster.synthetic_machines(worker).into_values().collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_what_waited_in_a_backup_and_runs_is_not_placed_again() {
    let (mut cluster, here, other) = restored("workerOfflineSeconds=60").await;
    let before = cluster.synthetic_machines(here);
    // Where it runs is silent, and the other one has room.
    let silent = cluster.workers[here as usize - 1].pid;
    rt::process::signal(silent, Signal::STOP).unwrap();
    for _ in 0..2 {
        cluster.restart_controller(&[]);
        cluster.wait_until_serving().await;
        until_online(&cluster, other).await;
        let waits = vm(&cluster).await;
        assert_eq!(waits.status.phase, VmPhase::Pending);
        assert!(waits.status.message.contains("restored"), "{}", waits.status.message);
        // A crash meanwhile does not end the wait.
        cluster.controller.kill().await;
    }
    cluster.restart_controller(&[]);
    cluster.wait_until_serving().await;
    until_online(&cluster, other).await;
    rt::process::signal(silent, Signal::CONT).unwrap();

    let claimed = until_it_runs(&cluster).await;
    assert_eq!(claimed.status.worker.unwrap().name.as_str(), cluster.worker_name(here));
    assert_eq!((claimed.status.epoch, claimed.status.restart_count), (1, 0));
    // Placement goes on, and it stays so.
    cluster.cli().run(&["vm", "create", "next", "--image", "synthetic", "--wait"]).await.ok();
    cluster.controller.kill().await;
    cluster.restart_controller(&[]);
    cluster.wait_until_serving().await;
    cluster.wait_until_online().await;
    cluster.cli().run(&["vm", "delete", "next", "--yes", "--wait"]).await.ok();
    let listed = cluster.cli().run(&["worker", "unclaimed", "list", "-o", "name"]).await.ok();
    assert_eq!(listed, "", "nothing is unclaimed");
    assert_eq!(cluster.synthetic_machines(here), before, "the same machine, never started again");
    assert_eq!(starts(&cluster).concat(), [1], "and no other");
    // It is charged, and obeys.
    let worker: api::Worker = cluster.client().get(&Key::cluster(cluster.worker_name(here))).await.unwrap();
    assert_eq!(worker.status.reserved.cpu_milli, 1000 * u64::from(claimed.spec.cpus));
    cluster.cli().run(&["vm", "delete", "web", "--yes", "--wait"]).await.ok();
    assert!(starts(&cluster).concat().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_a_worker_that_stays_away_does_not_hold_a_restored_cluster_up() {
    let (mut cluster, here, other) = restored("workerOfflineSeconds=4").await;
    cluster.workers[here as usize - 1].kill().await;
    cluster.restart_controller(&[]);
    cluster.wait_until_serving().await;
    let placed = until_it_runs(&cluster).await;
    assert_eq!(placed.status.worker.unwrap().name.as_str(), cluster.worker_name(other));
    // What comes back too late is kept, and shown.
    cluster.restart_worker(here);
    let (client, key) = (cluster.client(), Key::cluster(cluster.worker_name(here)));
    let unclaimed = eventually("the late one is unclaimed", SOON, || async {
        let worker: api::Worker = client.get(&key).await.ok()?;
        worker.status.unclaimed.first().cloned()
    })
    .await;
    assert_eq!((unclaimed.uid, unclaimed.running), (placed.metadata.uid, true));
    assert_eq!(starts(&cluster).concat(), [1, 1]);
}
