//! VMs from their creation to their end, on synthetic workers.

use e2e::{Cluster, Layout, Setup};

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
