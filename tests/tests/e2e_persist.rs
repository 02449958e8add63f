//! `--persist` on real SSH servers: connections outlive a run, and nothing else does.

#![allow(clippy::unwrap_used)] // part of a test

use e2e::{Fleet, alive, eventually};
use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::PathBuf,
    time::Duration,
};
use testkit::sshd::Sshd;

const SOON: Duration = Duration::from_mins(1);
const WEB: [&str; 3] = ["run", "--node-service", "web"];

fn dir(fleet: &Fleet) -> PathBuf {
    fleet.cli().home().join("run/hostler/persist-2")
}

/// The process that keeps connections.
fn keeper(fleet: &Fleet) -> u32 {
    fs::read_to_string(dir(fleet).join("lock")).unwrap().trim().parse().unwrap()
}

fn logins(node: &Sshd) -> usize {
    node.log().matches("Accepted publickey").count()
}

fn words<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&WEB[..], more].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_connections_are_kept_for_the_next_runs() {
    let fleet = Fleet::start(2).await;
    let run = words(&["--persist", "-c", "cat ~/name", "-c", "echo two"]);
    for _ in 0..3 {
        assert_eq!(fleet.run(&run).await.ok(), "web1\ntwo\nweb2\ntwo\n");
    }
    assert_eq!(fleet.nodes().iter().map(logins).collect::<Vec<_>>(), [1, 1]);
    let socket = fs::metadata(dir(&fleet)).unwrap();
    assert_eq!((socket.permissions().mode() & 0o777, socket.uid()), (0o700, rt::process::user()));
    // Without the flag, nothing of it is used.
    assert_eq!(fleet.run(&words(&["-c", "true"])).await.ok(), "");
    assert_eq!(logins(&fleet.nodes()[0]), 2);
    // What is open does not stand for what is reached in another way.
    let other = "ssh_options: {ServerAliveInterval: 7}";
    fleet.write_inventory(&[("web1", other)]);
    assert_eq!(fleet.run(&run).await.ok(), "web1\ntwo\nweb2\ntwo\n");
    assert_eq!(fleet.nodes().iter().map(logins).collect::<Vec<_>>(), [3, 2]);
    rt::process::signal(keeper(&fleet), rt::process::Signal::KILL).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_a_killed_keeper_is_replaced_and_an_idle_one_goes() {
    let fleet = Fleet::start(1).await;
    let run = words(&["--persist=1s", "-c", "cat ~/name"]);
    let long = words(&["--persist", "-c", "cat ~/name"]);
    assert_eq!(fleet.run(&long).await.ok(), "web1\n");
    let first = keeper(&fleet);
    rt::process::signal(first, rt::process::Signal::KILL).unwrap();
    eventually("the process is gone", SOON, || async { (!alive(first)).then_some(()) }).await;
    assert!(dir(&fleet).join("socket").exists());
    assert_eq!(fleet.run(&run).await.ok(), "web1\n");
    let second = keeper(&fleet);
    assert_ne!(first, second);
    eventually("the idle process is gone", SOON, || async { (!alive(second)).then_some(()) }).await;
    assert!(!dir(&fleet).join("socket").exists());
    // Its connections went with it.
    let sessions = || fleet.nodes()[0].log().matches("Disconnected from user").count();
    eventually("the server sees it", SOON, || async { (sessions() > 0).then_some(()) }).await;
    assert_eq!(fleet.run(&run).await.ok(), "web1\n");
    assert_eq!(logins(&fleet.nodes()[0]), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_runs_at_the_same_time_share_one_keeper() {
    let fleet = Fleet::start(2).await;
    let run = words(&["--persist", "-c", "cat ~/name"]);
    let all = futures::future::join_all((0..6).map(|_| fleet.run(&run))).await;
    for ran in all {
        assert_eq!(ran.ok(), "web1\nweb2\n");
    }
    assert_eq!(fleet.nodes().iter().map(logins).collect::<Vec<_>>(), [1, 1]);
    rt::process::signal(keeper(&fleet), rt::process::Signal::KILL).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_a_changed_host_key_is_refused_though_a_connection_is_open() {
    let fleet = Fleet::start(2).await;
    let run = words(&["--persist", "-c", "cat ~/name"]);
    assert_eq!(fleet.run(&run).await.ok(), "web1\nweb2\n");
    let stranger = format!("host_keys: ['{}']", fleet.nodes()[1].host_key());
    fleet.write_inventory(&[("web1", &stranger)]);
    let ran = fleet.run(&run).await;
    assert_eq!((ran.code, ran.stdout.as_str()), (8, "web2\n"));
    assert!(ran.stderr.contains("HOST KEY"), "{}", ran.stderr);
    fleet.write_inventory(&[]);
    assert_eq!(fleet.run(&run).await.ok(), "web1\nweb2\n");
    assert_eq!(fleet.nodes().iter().map(logins).collect::<Vec<_>>(), [1, 1]);
    rt::process::signal(keeper(&fleet), rt::process::Signal::KILL).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_others_may_not_enter_and_a_node_that_is_down_is_unreachable() {
    let fleet = Fleet::start(1).await;
    fleet.write_inventory(&[("web1", "ssh_port: 1")]);
    let run = words(&["--persist=1s", "-c", "true"]);
    let ran = fleet.run(&run).await;
    assert!(ran.code == 1 && ran.stderr.contains("unreachable") && ran.stderr.contains("refused"), "{ran:?}");
    fs::set_permissions(dir(&fleet), fs::Permissions::from_mode(0o755)).unwrap();
    fleet.write_inventory(&[]);
    let ran = fleet.run(&run).await;
    assert!(ran.code == 1 && ran.stderr.contains("others may enter"), "{ran:?}");
    assert_eq!(logins(&fleet.nodes()[0]), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_commands_end_and_speak_as_over_connections_of_their_own() {
    let fleet = Fleet::start(1).await;
    let node = &fleet.nodes()[0];
    let long = "head -c 3000000 /dev/zero | tr '\\0' x; echo oh >&2; exit 3";
    let ran = fleet.run(&words(&["--persist", "-c", long])).await;
    assert_eq!((ran.code, ran.stdout.len()), (1, 3_000_000));
    assert!(ran.stderr.starts_with("oh\n") && ran.stderr.contains("ended with 3"), "{}", ran.stderr);
    let lingering = "echo $$ >~/pid; trap '' TERM; sleep 1000; sleep 1000";
    let ran = fleet.run(&words(&["--persist", "--timeout", "1s", "-c", lingering])).await;
    assert!(ran.code == 1 && ran.stderr.contains("timeout"), "{}", ran.stderr);
    let pid = || fs::read_to_string(node.home().join("pid")).ok()?.trim().parse::<u32>().ok();
    let ended = pid().unwrap();
    eventually("what was started is gone", SOON, || async { (!alive(ended)).then_some(()) }).await;
    // A run that is killed takes what it started along.
    fs::remove_file(node.home().join("pid")).unwrap();
    let mut killed = fleet.command(&words(&["--persist", "-c", lingering])).spawn().unwrap();
    let started = eventually("the start", SOON, || async { pid() }).await;
    killed.kill().await.unwrap();
    eventually("what it started is gone", SOON, || async { (!alive(started)).then_some(()) }).await;

    let lab =
        "platforms:\n  - {name: lab, type: yaml, path: .}\ndeploy: {state_dir: ~/state, log_dir: ~/log}\n";
    fs::write(fleet.path().join("hostler.yaml"), lab).unwrap();
    fs::create_dir_all(fleet.path().join("services/web")).unwrap();
    let service = "steps:\n  - file: {path: ~/motd, content: hello}\n";
    fs::write(fleet.path().join("services/web/service.yaml"), service).unwrap();
    for changes in ["1 change", "0 changes"] {
        let ran = fleet.run(&["deploy", "--node-service", "web", "--persist"]).await;
        assert!(ran.code == 0 && ran.stderr.contains(changes), "{ran:?}");
    }
    assert_eq!(fs::read_to_string(node.home().join("motd")).unwrap(), "hello");
    assert_eq!(logins(node), 1);
    rt::process::signal(keeper(&fleet), rt::process::Signal::KILL).unwrap();
}
