//! What a user watches and waits for goes on when the controller starts again.

#![allow(clippy::expect_used, clippy::unwrap_used)] // what is not as it must be ends the test

use e2e::{Cluster, Layout, Process, Setup, eventually};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(30);

/// A command that runs beside the test.
fn begin(cluster: &Cluster, name: &str, args: &[&str]) -> Process {
    Process::start(cluster.cli().command(args), &cluster.dir().join(format!("{name}.out")))
}

async fn says(process: &Process, word: &str) {
    let said = || async { process.log().contains(word).then_some(()) };
    eventually(&format!("the word {word} in {}", process.log()), SOON, said).await;
}

async fn restart(cluster: &mut Cluster) {
    cluster.controller.kill().await;
    // Long enough for whoever follows it to notice, and to knock in vain.
    rt::clock::sleep(Duration::from_secs(2)).await;
    cluster.restart_controller(&[]);
    cluster.wait_until_serving().await;
    cluster.wait_until_online().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_a_watch_goes_on_over_restarts_of_the_controller() {
    let mut cluster = Cluster::start(Setup::synthetic(Layout::Apart, 1)).await;
    let create = |name| ["vm", "create", name, "--image", "synthetic", "--wait"];
    cluster.cli().run(&create("first")).await.ok();
    let mut table = begin(&cluster, "table", &["vm", "list", "--watch"]);
    let mut lines = begin(&cluster, "lines", &["vm", "list", "--watch", "-o", "json"]);
    says(&table, "first").await;
    says(&lines, "first").await;
    for (round, name) in ["second", "third"].into_iter().enumerate() {
        restart(&mut cluster).await;
        cluster.cli().run(&create(name)).await.ok();
        says(&table, name).await;
        says(&lines, name).await;
        assert!(!table.has_ended() && !lines.has_ended(), "a watch ended after restart {round}");
    }
    cluster.cli().run(&["vm", "delete", "first", "--yes", "--wait"]).await.ok();
    says(&table, "first is gone").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_waits_go_on_over_restarts_of_the_controller() {
    let mut cluster = Cluster::start(Setup::synthetic(Layout::Apart, 1)).await;
    let worker = cluster.worker_name(1);
    cluster.cli().run(&["worker", "cordon", &worker]).await.ok();
    let create = |name| ["vm", "create", name, "--image", "synthetic", "--wait"];
    let mut good = begin(&cluster, "good", &create("good"));
    let mut gone = begin(&cluster, "gone", &create("gone"));
    for name in ["good", "gone"] {
        eventually("it waits for a place", SOON, || async {
            let vm = cluster.cli().run(&["vm", "get", name, "-o", "json"]).await;
            (vm.code == 0 && vm.json()["status"]["phase"] == "Pending").then_some(())
        })
        .await;
    }
    for _ in 0..2 {
        restart(&mut cluster).await;
        assert!(!good.has_ended() && !gone.has_ended(), "{}{}", good.log(), gone.log());
    }
    cluster.cli().run(&["vm", "delete", "gone", "--yes"]).await.ok();
    assert_eq!(gone.wait(SOON).await, Some(5), "{}", gone.log());
    cluster.cli().run(&["worker", "uncordon", &worker]).await.ok();
    assert_eq!(good.wait(SOON).await, Some(0), "{}", good.log());
    let vm = cluster.cli().run(&["vm", "get", "good", "-o", "json"]).await.json();
    assert_eq!(vm["status"]["phase"], "Running");
}
