//! VMs from their creation to their end, on synthetic workers: on `dev`, and on separate processes.

use e2e::{Cluster, Layout, Setup};

async fn a_vm_lives_and_goes(layout: Layout) {
    let cluster = Cluster::start(Setup::synthetic(layout, 2)).await;
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

#[tokio::test(flavor = "multi_thread")]
async fn e2e_a_vm_lives_and_goes_on_dev() {
    a_vm_lives_and_goes(Layout::Dev).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_a_vm_lives_and_goes_on_separate_processes() {
    a_vm_lives_and_goes(Layout::Apart).await;
}
