//! Nodes that are done again after declared errors, and checks that take too long, on real SSH servers.

#![allow(clippy::unwrap_used)] // part of a test

use e2e::Fleet;
use std::fs;

/// Fails until it was tried three times.
const THIRD: &str = "n=$(cat ~/tries 2>/dev/null || echo 0); n=$((n + 1)); echo $n >~/tries\n\
                     [ $n -ge 3 ] || { echo the line was lost >&2; exit 1; }";

async fn fleet(retry: &str, service: &serde_json::Value) -> Fleet {
    let fleet = Fleet::start(1).await;
    let deploy = format!("deploy: {{state_dir: ~/state, log_dir: ~/log, retry: {retry}}}\n");
    let file = fleet.file("hostler.yaml").unwrap();
    fs::write(fleet.path().join("hostler.yaml"), format!("{file}{deploy}")).unwrap();
    let dir = fleet.path().join("services/web");
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join("service.yaml"), service.to_string()).unwrap();
    fleet
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_only_declared_errors_are_tried_again() {
    let service = serde_json::json!({"steps": [{"name": "flaky", "remote_bash": THIRD}]});
    let fleet = fleet("[{nodes: [service:web], stderr: ['was lost$']}]", &service).await;
    let home = fleet.nodes()[0].home();
    let tries = || fs::read_to_string(home.join("tries")).unwrap_or_default();
    let deploy = async |more: &[&str]| {
        let _ = fs::remove_file(home.join("tries"));
        fleet.run(&[&["deploy", "--node", "web1"], more].concat()).await
    };
    // Once, where nobody says how often.
    deploy(&[]).await.fails(1);
    assert_eq!(tries(), "2\n");
    let ran = deploy(&["--retries-on-error", "2"]).await;
    assert!(ran.code == 0 && ran.stdout.contains("web1 failed and is tried again: "), "{ran:?}");
    assert_eq!(tries(), "3\n");
    // Each attempt has its log, and the newest counts, wherever logs are kept.
    let fresh = ["test", "--node", "web1", "--test", "deploy_freshness"];
    fleet.run(&fresh).await.ok();
    assert_eq!(fs::read_dir(home.join("log")).unwrap().count(), 5);
    deploy(&["--retries-on-error", "0"]).await.fails(1);
    assert_eq!(tries(), "1\n");
    let stale = fleet.run(&fresh).await;
    assert!(stale.code == 1 && stale.stdout.contains("the last deployment ended with"), "{stale:?}");

    // A plan holds for one attempt, and what it says of the failure is that of the step.
    fs::remove_file(home.join("tries")).unwrap();
    fleet.run(&["check", "--node", "web1", "-o", "plan.json"]).await.ok();
    let planned = fleet.run(&["deploy", "--plan", "plan.json", "--retries-on-error", "2"]).await.fails(1);
    assert!(planned.contains("the line was lost"), "{planned}");
    assert_eq!(tries(), "1\n");

    let file = fleet.file("hostler.yaml").unwrap().replace("was lost$", "gone");
    fs::write(fleet.path().join("hostler.yaml"), file).unwrap();
    deploy(&["--retries-on-error", "2"]).await.fails(1);
    assert_eq!(tries(), "1\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_a_check_that_takes_too_long_is_ended() {
    let service = serde_json::json!({"check": [{"remote_bash": "echo $$ >~/pid; exec sleep 100000"}]});
    let fleet = fleet("[]", &service).await;
    for args in [["check", "--timeout", "2"], ["deploy", "--why-run", "--timeout=2"]] {
        let ran = fleet.run(&[&args[..], &["--node", "web1", "-o", "json"]].concat()).await;
        assert_eq!(ran.code, 1, "{ran:?}");
        let answer: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
        assert_eq!(answer["failed"][0]["status"], "timeout", "{answer}");
        let pid = fs::read_to_string(fleet.nodes()[0].home().join("pid")).unwrap().trim().parse().unwrap();
        let gone = || async { (!e2e::alive(pid)).then_some(()) };
        e2e::eventually("the end of the check", std::time::Duration::from_secs(30), gone).await;
    }
    fleet.run(&["deploy", "--node", "web1", "--timeout", "2"]).await.fails(2);
}
