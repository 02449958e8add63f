//! Nodes that are VMs of the pool: reached through the controller alone, with host keys that it knows.

#![allow(clippy::expect_used, clippy::unwrap_used)] // what is not as it must be ends the test

use e2e::{Cli, Cluster, Layout, Ran, Setup, guest_image, skip};
use std::fs;

const FLEET: &str = "platforms: [{name: vms, type: pool}]\nassign: [{nodes: [/^web/], services: [motd]}]\n";
const SERVICE: &str =
    "steps:\n  - file: {path: /tmp/motd, content: \"Welcome to {{ node }}\\n\", mode: '0644'}\n";

#[tokio::test(flavor = "multi_thread")]
async fn qemu_vms_of_the_pool_are_nodes() {
    let test = "qemu_vms_of_the_pool_are_nodes";
    let Some(image) = guest_image() else { return skip(test, "the guest image is not built") };
    let cluster = Cluster::start(Setup::qemu(Layout::chosen(), 1, image)).await;
    let cli = cluster.cli();
    for vm in ["web1", "web2"] {
        let args =
            ["vm", "create", vm, "--image", "tiny", "--memory", "128MiB", "--disk", "256MiB", "--wait"];
        cli.run(&args).await.ok();
    }
    let dir = cluster.dir().join("fleet");
    fs::create_dir_all(dir.join("services/motd")).unwrap();
    fs::write(dir.join("hostler.yaml"), FLEET).unwrap();
    fs::write(dir.join("services/motd/service.yaml"), SERVICE).unwrap();
    let fleet = async |args: &[&str]| -> Ran {
        let mut command = cli.command(args);
        command.current_dir(&dir);
        Cli::finish(command, b"").await
    };

    // There is no terminal and no known_hosts here: a first use would be refused.
    let said = fleet(&["run", "--all", "-c", "hostname; cat; exit 0"]).await.ok();
    assert_eq!(said, "web1\nweb2\n");
    let failed =
        fleet(&["run", "--node", "web1", "-c", "echo out; echo err >&2; exit 7", "-o", "json"]).await;
    let item = serde_json::from_str::<serde_json::Value>(&failed.stdout).unwrap()["items"][0].clone();
    assert_eq!(
        (&item["code"], &item["stdout"], &item["stderr"]),
        (&7.into(), &"out\n".into(), &"err\n".into())
    );
    let late = fleet(&["run", "--node", "web1", "-t", "1s", "-c", "sleep 61234"]).await;
    assert_eq!(late.code, 1, "{late:?}");
    let left = fleet(&["run", "--node", "web1", "-c", "ps | grep -c '[s]leep 61234'"]).await;
    assert_eq!(left.stdout, "0\n", "its time ended it: {left:?}");

    fleet(&["check", "--all", "--exit-code"]).await.fails(3);
    fleet(&["deploy", "--all"]).await.ok();
    assert_eq!(cli.run(&["vm", "exec", "web2", "--", "cat /tmp/motd"]).await.ok(), "Welcome to web2\n");
    let again = fleet(&["deploy", "--all"]).await;
    assert!(again.code == 0 && again.stderr.contains("2 nodes: 0 changes"), "{again:?}");

    // One that does not run is unreachable; the other is not held up.
    cli.run(&["vm", "stop", "web1", "--wait"]).await.ok();
    let ran = fleet(&["run", "--all", "-c", "echo there", "-o", "json"]).await;
    assert_eq!(ran.code, 8, "{ran:?}");
    let answer: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    let status = |i: usize| answer["items"][i]["status"].as_str().unwrap().to_owned();
    assert_eq!((status(0), status(1)), ("unreachable".to_owned(), "ok".to_owned()), "{answer}");
}
