//! Nodes that are containers, on a real Docker engine of the test.

#![allow(clippy::expect_used, clippy::unwrap_used)] // what is not as it must be ends the test

use e2e::Fleet;
use std::{fmt::Write as _, fs};
use testkit::docker::Engine;

const SERVICE: &str =
    "steps:\n  - file: {path: /etc/motd, content: \"Welcome to {{ node }}\\n\", mode: '0644'}\n";

/// A fleet of two containers, `c1` and `c2`, with a service.
async fn fleet(engine: &Engine) -> Fleet {
    let fleet = Fleet::start(0).await;
    let mut inventory = String::new();
    for name in ["c1", "c2"] {
        engine.container(name).await.unwrap();
        let host = engine.host();
        writeln!(
            inventory,
            "{name}:\n  metadata: {{docker: {name}, docker_host: '{host}'}}\n  services: [motd]"
        )
        .unwrap();
    }
    fs::write(fleet.path().join("inventory.yaml"), inventory).unwrap();
    let service = fleet.path().join("services/motd");
    fs::create_dir_all(&service).unwrap();
    fs::write(service.join("service.yaml"), SERVICE).unwrap();
    fleet
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_containers_are_nodes() {
    if let Some(reason) = Engine::missing().await {
        return e2e::skip("e2e_containers_are_nodes", &reason);
    }
    let engine = Engine::start().await.unwrap();
    let fleet = fleet(&engine).await;
    let said = fleet.run(&["run", "--all", "-c", "hostname"]).await.ok();
    assert!(said.contains("c1\n") && said.contains("c2\n"), "{said}");
    let preview = fleet.run(&["run", "--node", "c1", "-s", "-c", "true"]).await.ok();
    assert_eq!(preview, "c1 (container c1)\n    true\n");

    fleet.run(&["check", "--all", "--exit-code"]).await.fails(3);
    fleet.run(&["deploy", "--all"]).await.ok();
    assert_eq!(engine.run(&["exec", "c2", "cat", "/etc/motd"]).await.unwrap(), "Welcome to c2\n");
    let again = fleet.run(&["deploy", "--all"]).await;
    assert!(again.code == 0 && again.stderr.contains("2 nodes: 0 changes"), "{again:?}");
    let last = fleet.run(&["last-deploys", "--all"]).await.ok();
    assert!(last.contains("motd"), "{last}");

    // A dead one is told apart from a failed command, and the other goes on.
    engine.run(&["kill", "c1"]).await.unwrap();
    let ran = fleet.run(&["run", "--all", "-c", "echo there", "-o", "json"]).await;
    assert_eq!(ran.code, 8);
    let answer: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    let status = |i: usize| answer["items"][i]["status"].as_str().unwrap().to_owned();
    assert_eq!((status(0), status(1)), ("unreachable".to_owned(), "ok".to_owned()), "{answer}");
}
