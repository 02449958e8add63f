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
