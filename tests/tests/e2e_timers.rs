//! What time does to VMs.

use e2e::{Cluster, Layout, Setup, eventually};
use std::time::Duration;

/// A VM that has lived for longer than its pending timeout still gets the whole of it when it waits again.
#[tokio::test(flavor = "multi_thread")]
async fn e2e_each_wait_for_a_place_has_its_full_time() {
    let cluster = Cluster::start(Setup::synthetic(Layout::chosen(), 1)).await;
    let cli = cluster.cli();
    let create = ["vm", "create", "web", "--image", "synthetic", "--cpus", "10", "--ttl", "1h"];
    cli.run(&[&create[..], &["--pending-timeout", "4s", "--wait"]].concat()).await.ok();
    let created = rt::clock::now();
    cli.run(&["vm", "stop", "web", "--wait"]).await.ok();
    cli.run(&["vm", "create", "other", "--image", "synthetic", "--cpus", "10", "--wait"]).await.ok();
    let lived = || async { (created.elapsed() > Duration::from_secs(5)).then_some(()) };
    eventually("a life of 5 s", Duration::from_secs(10), lived).await;
    let started = rt::clock::now();
    cli.run(&["vm", "start", "web"]).await.ok();
    let failed = || async {
        let vm = cli.run(&["vm", "get", "web", "-o", "json"]).await.json();
        (vm["status"]["phase"] == "Failed").then_some(())
    };
    eventually("the end of its wait", Duration::from_secs(30), failed).await;
    assert!(started.elapsed() > Duration::from_secs(3), "it gave up after {:?}", started.elapsed());
}

/// Small VMs do not pass a large one for ever: after its time, the next room is held for it.
#[tokio::test(flavor = "multi_thread")]
async fn e2e_a_vm_that_is_passed_over_gets_a_reservation() {
    let cluster = Cluster::start(Setup::synthetic(Layout::chosen(), 1)).await;
    let cli = cluster.cli();
    cli.run(&["settings", "set", "reservationAfterSeconds=2"]).await.ok();
    let create = async |name: &str, cpus: &str| {
        cli.run(&["vm", "create", name, "--image", "synthetic", "--cpus", cpus]).await.ok();
    };
    let is = async |name: &str, phase: &str, word: &str| {
        let vm = cli.run(&["vm", "get", name, "-o", "json"]).await.json();
        let message = vm["status"]["message"].as_str().unwrap_or_default().to_owned();
        vm["status"]["phase"] == phase && message.contains(word)
    };
    create("first", "10").await;
    cli.run(&["vm", "wait", "first"]).await.ok();
    create("large", "14").await;
    create("passes", "1").await;
    cli.run(&["vm", "wait", "passes"]).await.ok();
    // The room that is there is held from now on, though others would fit.
    eventually("small ones wait", Duration::from_secs(30), async || {
        let name = format!("s-{}", rt::ids::uid());
        create(&name, "1").await;
        let held = is(&name, "Pending", "is held for a VM ahead in the queue").await;
        cli.run(&["vm", "delete", &name, "--yes", "--wait"]).await.ok();
        held.then_some(())
    })
    .await;
    create("late", "2").await;
    cli.run(&["vm", "delete", "first", "--yes", "--wait"]).await.ok();
    cli.run(&["vm", "wait", "large", "--timeout", "30s"]).await.ok();
    assert!(is("late", "Pending", "lacks 2 CPUs").await, "it did not go before the large one");
}
