//! VMs from their creation to their end, on synthetic workers.

#![allow(clippy::expect_used, clippy::unwrap_used)] // what is not as it must be ends the test

use e2e::{Cli, Cluster, Layout, Process, Setup, eventually};
use serde_json::Value;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(30);

async fn get(cli: &Cli, vm: &str) -> Value {
    cli.run(&["vm", "get", vm, "-o", "json"]).await.json()
}

/// Makes a VM that runs.
async fn create(cli: &Cli, vm: &str, cpus: &str) {
    cli.run(&["vm", "create", vm, "--image", "synthetic", "--cpus", cpus, "--wait"]).await.ok();
}

async fn until(cli: &Cli, vm: &str, what: &str, holds: impl Fn(&Value) -> bool) {
    eventually(what, SOON, || async { holds(&get(cli, vm).await["status"]).then_some(()) }).await;
}

fn waits_for_room(status: &Value) -> bool {
    status["phase"] == "Pending" && status["message"].as_str().unwrap().contains("lacks")
}

/// What is charged on the only worker, in CPUs.
async fn charged(cluster: &Cluster) -> u64 {
    let worker = cluster.cli().run(&["worker", "get", &cluster.worker_name(1), "-o", "json"]).await.json();
    worker["status"]["reserved"]["cpuMilli"].as_u64().unwrap() / 1000
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_a_vm_lives_and_goes() {
    let cluster = Cluster::start(Setup::synthetic(Layout::chosen(), 2)).await;
    let cli = cluster.cli();
    cli.run(&["vm", "create", "web", "--image", "synthetic", "--wait"]).await.ok();
    let vm = cli.run(&["vm", "get", "web", "-o", "json"]).await.json();
    assert_eq!(vm["status"]["phase"], "Running");
    cli.run(&["vm", "stop", "web", "--wait"]).await.ok();
    let stopped = cli.run(&["vm", "get", "web", "-o", "json"]).await.json();
    assert_eq!(stopped["status"]["phase"], "Stopped");
    assert_eq!(stopped["status"]["admitted"], false, "a stopped VM holds neither CPU nor memory");
    cli.run(&["vm", "start", "web", "--wait"]).await.ok();
    cli.run(&["vm", "restart", "web", "--wait"]).await.ok();
    let again = cli.run(&["vm", "get", "web", "-o", "json"]).await.json();
    assert_eq!(again["status"]["restartsDone"], 1);
    assert_eq!(again["metadata"]["uid"], vm["metadata"]["uid"]);
    cli.run(&["vm", "delete", "web", "--yes", "--wait"]).await.ok();
    cli.run(&["vm", "get", "web"]).await.fails(5);
}

/// A new size counts from the next start on, which a restart is as well: where there is no room for it, the VM waits.
#[tokio::test(flavor = "multi_thread")]
async fn e2e_a_restart_gives_the_new_size() {
    let cluster = Cluster::start(Setup::synthetic(Layout::chosen(), 1)).await;
    let cli = cluster.cli();
    create(cli, "web", "2").await;
    let before = get(cli, "web").await;
    cli.run(&["vm", "update", "web", "--cpus", "6"]).await.ok();
    assert_eq!(charged(&cluster).await, 2, "a running VM keeps what it was given");
    cli.run(&["vm", "restart", "web", "--wait"]).await.ok();
    assert_eq!(charged(&cluster).await, 6);
    let after = get(cli, "web").await;
    assert_eq!((&after["status"]["restartsDone"], &after["status"]["phase"]), (&1.into(), &"Running".into()));
    assert_eq!(after["status"]["epoch"], before["status"]["epoch"], "it has not moved");

    create(cli, "other", "8").await;
    cli.run(&["vm", "update", "web", "--cpus", "10"]).await.ok();
    let args = ["vm", "restart", "web", "--wait"];
    let mut restart = Process::start(cli.command(&args), &cluster.dir().join("restart.out"));
    until(cli, "web", "it waits for the larger size", waits_for_room).await;
    assert_eq!(charged(&cluster).await, 8);
    // Another sentence of why it waits is not its end.
    cli.run(&["vm", "update", "other", "--label", "a=b"]).await.ok();
    create(cli, "third", "1").await;
    assert!(!restart.has_ended(), "{}", restart.log());
    cli.run(&["vm", "delete", "other", "--yes", "--wait"]).await.ok();
    assert_eq!(restart.wait(SOON).await, Some(0), "{}", restart.log());
    assert_eq!(charged(&cluster).await, 11);
    let machines = cluster.synthetic_machines(1);
    assert_eq!(machines[&before["metadata"]["uid"].as_str().unwrap().parse().unwrap()], 3, "one start each");
}

/// A stopped VM that is to start again waits for room as a new one does.
#[tokio::test(flavor = "multi_thread")]
async fn e2e_a_stopped_vm_waits_for_room_like_any_other() {
    let cluster = Cluster::start(Setup::synthetic(Layout::chosen(), 1)).await;
    let cli = cluster.cli();
    create(cli, "web", "10").await;
    cli.run(&["vm", "stop", "web", "--wait"]).await.ok();
    create(cli, "other", "10").await;
    create(cli, "small", "6").await;
    let args = ["vm", "start", "web", "--wait"];
    let mut start = Process::start(cli.command(&args), &cluster.dir().join("start.out"));
    until(cli, "web", "it waits", waits_for_room).await;
    cli.run(&["vm", "delete", "small", "--yes", "--wait"]).await.ok();
    cli.run(&["vm", "update", "web", "--priority", "5"]).await.ok();
    assert!(!start.has_ended(), "{}", start.log());
    cli.run(&["vm", "delete", "other", "--yes", "--wait"]).await.ok();
    assert_eq!(start.wait(SOON).await, Some(0), "{}", start.log());

    // Told to stop while it waits, it is stopped; having given up, it waits again when it is restarted.
    cli.run(&["vm", "stop", "web", "--wait"]).await.ok();
    create(cli, "other", "10").await;
    cli.run(&["vm", "start", "web"]).await.ok();
    until(cli, "web", "it waits", waits_for_room).await;
    cli.run(&["vm", "stop", "web", "--wait"]).await.ok();
    cli.run(&["vm", "update", "web", "--pending-timeout", "1s"]).await.ok();
    let gave_up = cli.run(&["vm", "start", "web", "--wait"]).await.fails(1);
    assert!(gave_up.contains("vm restart web"), "{gave_up}");
    cli.run(&["vm", "update", "web", "--unset", "pendingTimeoutSeconds"]).await.ok();
    cli.run(&["vm", "restart", "web"]).await.ok();
    until(cli, "web", "it waits again", waits_for_room).await;
    cli.run(&["vm", "delete", "other", "--yes", "--wait"]).await.ok();
    cli.run(&["vm", "wait", "web"]).await.ok();
    // One that never had a place is stopped, and started, as well.
    cli.run(&["vm", "create", "new", "--image", "synthetic", "--cpus", "10"]).await.ok();
    cli.run(&["vm", "stop", "new", "--wait", "--timeout", "10s"]).await.ok();
    cli.run(&["vm", "delete", "web", "--yes", "--wait"]).await.ok();
    cli.run(&["vm", "start", "new", "--wait"]).await.ok();
}
