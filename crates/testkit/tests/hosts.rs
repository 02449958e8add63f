//! The hosts that other tests use are what they say they are.

#![allow(clippy::disallowed_macros)] // the test command reads what skips itself

use std::{fs, time::Duration};
use testkit::hosts::{self, Network};

#[tokio::test]
async fn hosts_have_names_files_and_pages_of_their_own_and_leave_nothing() {
    if let Some(reason) = hosts::missing().await {
        println!("SKIPPED hosts_have_names_files_and_pages_of_their_own_and_leave_nothing: {reason}");
        return;
    }
    let names = ["a.example.org", "b.example.org"];
    let network = Network::start(&names, &[]).await.unwrap();
    let operator = network.operator();

    for host in network.hosts() {
        let page = format!("Hello from {}\n", host.name());
        fs::write(host.root().join("root/hello_world.txt"), &page).unwrap();
        host.serve_page().await.unwrap();
        let key = fs::read_to_string(host.root().join("etc/ssh/ssh_host_ed25519_key.pub")).unwrap();
        let known = format!("{} {key}", host.name());
        let file = operator.root().join("root/.ssh/known_hosts");
        fs::write(&file, fs::read_to_string(&file).unwrap_or_default() + &known).unwrap();
    }
    for name in names {
        let ssh =
            format!("ssh -o StrictHostKeyChecking=yes {name} 'hostname; touch /etc/mine; ls /tmp /root'");
        assert_eq!(
            operator.run(&ssh).await.unwrap().stdout,
            format!("{name}\n/root:\nhello_world.txt\n\n/tmp:\n")
        );
        let curl = format!("curl -sS http://{name}");
        assert_eq!(operator.run(&curl).await.unwrap().stdout, format!("Hello from {name}\n"));
    }
    assert!(network.hosts().iter().all(|h| h.root().join("etc/mine").exists()));
    assert!(!operator.root().join("etc/mine").exists() && !std::path::Path::new("/etc/mine").exists());

    // A process that the test leaves behind ends with its host.
    network.hosts()[0].run("sleep 600 >/dev/null 2>&1 & echo $! >/root/pid").await.unwrap();
    let outside: Vec<_> = network.hosts().iter().chain([operator]).map(|h| h.root().join("proc")).collect();
    drop(network);
    let gone = async {
        while outside.iter().any(|proc| proc.exists()) {
            rt::clock::sleep(Duration::from_millis(5)).await;
        }
    };
    rt::clock::timeout(Duration::from_secs(10), "the end of the hosts", gone).await.unwrap();
}
