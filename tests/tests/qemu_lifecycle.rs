//! Real guests from their start to their end: disks, restarts, policies, scripts, probes, and links that break.

#![allow(clippy::expect_used, clippy::unwrap_used)] // what is not as it must be ends the test

use e2e::{Cli, Cluster, Layout, Process, Setup, alive, eventually, guest_image, skip};
use rt::process::Signal;
use serde_json::Value;
use std::{fs, time::Duration};

/// Longest time for a guest to start, on a busy machine without acceleration.
const BOOT: Duration = Duration::from_mins(1);

/// Prints what memory a guest has, KiB.
const MEMORY: &str = "awk '/MemTotal/ { print $2 }' /proc/meminfo";

async fn cluster(test: &str) -> Option<Cluster> {
    let Some(image) = guest_image() else {
        skip(test, "the guest image is not built");
        return None;
    };
    Some(Cluster::start(Setup::qemu(Layout::chosen(), 1, image)).await)
}

/// A small VM of the tiny image.
fn a_vm<'a>(name: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let args = ["vm", "create", name, "--image", "tiny", "--memory", "128MiB", "--disk", "256MiB", "--wait"];
    [&args[..], more].concat()
}

async fn sh(cli: &Cli, vm: &str, line: &str) -> String {
    cli.run(&["vm", "exec", vm, "--", line]).await.ok().trim_end().to_owned()
}

async fn status(cli: &Cli, vm: &str) -> Value {
    cli.run(&["vm", "get", vm, "-o", "json"]).await.json()["status"].take()
}

async fn until(cli: &Cli, vm: &str, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
    let ask = async || Some(status(cli, vm).await).filter(&holds);
    eventually(what, BOOT, ask).await
}

#[tokio::test(flavor = "multi_thread")]
async fn qemu_a_disk_is_kept_and_policies_are_followed() {
    let Some(cluster) = cluster("qemu_a_disk_is_kept_and_policies_are_followed").await else { return };
    let cli = cluster.cli();
    cli.run(&a_vm("web", &["--restart-policy", "on-failure"])).await.ok();
    let boot_id = "cat /proc/sys/kernel/random/boot_id";
    sh(cli, "web", "echo kept >note").await;

    let begin = rt::clock::now();
    cli.run(&["vm", "stop", "web", "--wait"]).await.ok();
    assert!(begin.elapsed() < Duration::from_secs(20), "a guest that listens ends long before its grace");
    assert_eq!(cluster.hypervisors(), [] as [u32; 0]);
    cli.run(&["vm", "start", "web", "--wait"]).await.ok();
    assert_eq!(sh(cli, "web", "cat note").await, "kept");

    let before = sh(cli, "web", boot_id).await;
    let memory = async || -> u64 { sh(cli, "web", MEMORY).await.parse().unwrap() };
    let little = memory().await;
    cli.run(&["vm", "update", "web", "--memory", "256MiB"]).await.ok();
    cli.run(&["vm", "restart", "web", "--wait"]).await.ok();
    assert!(memory().await > little + (100 << 10), "a restart gives the new size");
    assert_eq!(sh(cli, "web", "cat note").await, "kept");
    assert_ne!(sh(cli, "web", boot_id).await, before, "it has booted again");

    let restarts = status(cli, "web").await["restartCount"].as_u64().unwrap();
    let [pid] = cluster.hypervisors()[..] else { panic!("one hypervisor") };
    rt::process::signal(pid, Signal::KILL).unwrap();
    let again = until(cli, "web", "a new start after the hypervisor was killed", |s| {
        s["phase"] == "Running" && s["restartCount"].as_u64() > Some(restarts)
    });
    let new = again.await["pid"].as_u64().unwrap();
    assert_eq!(cluster.hypervisors(), [u32::try_from(new).unwrap()]);
    assert_ne!(new, u64::from(pid));
    assert_eq!(sh(cli, "web", "cat note").await, "kept");

    // Powered off from inside: that is no failure.
    cli.run(&["vm", "exec", "web", "--", "sudo poweroff"]).await;
    until(cli, "web", "the end of a guest that powered itself off", |s| s["phase"] == "Stopped").await;
    assert_eq!(cluster.hypervisors(), [] as [u32; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn qemu_each_restart_policy_does_what_it_says() {
    let Some(cluster) = cluster("qemu_each_restart_policy_does_what_it_says").await else { return };
    let cli = cluster.cli();
    cli.run(&["worker", "cpu-ratio", &cluster.worker_name(1), "4"]).await.ok();
    let policies = ["always", "on-failure", "never"];
    for policy in policies {
        cli.run(&a_vm(policy, &["--restart-policy", policy])).await.ok();
    }
    let pid = async |vm| u32::try_from(status(cli, vm).await["pid"].as_u64().unwrap()).unwrap();
    // Powered off from inside: only `always` comes again, with its disk, and as often as that happens.
    sh(cli, "always", "echo kept >note; sync").await;
    for restarts in 1..=2 {
        let before = pid("always").await;
        cli.run(&["vm", "exec", "always", "--", "sudo poweroff"]).await;
        let again = |s: &Value| s["phase"] == "Running" && s["restartCount"].as_u64() >= Some(restarts);
        until(cli, "always", "a new start after a power-off", again).await;
        assert_ne!(pid("always").await, before);
        assert!(!alive(before));
        assert_eq!(sh(cli, "always", "cat note").await, "kept");
    }
    // A hypervisor that crashes: `on-failure` comes again, too.
    for (policy, phase) in [("always", "Running"), ("on-failure", "Running"), ("never", "Failed")] {
        let (before, counted) = (pid(policy).await, status(cli, policy).await["restartCount"].as_u64());
        rt::process::signal(before, Signal::KILL).unwrap();
        let more = u64::from(phase == "Running");
        let then = |s: &Value| s["phase"] == phase && s["restartCount"].as_u64() >= counted.map(|c| c + more);
        let now = until(cli, policy, "what its policy says after a crash", then).await;
        assert_eq!(now["restartCount"].as_u64(), counted.map(|c| c + more), "{now}");
    }
    for policy in ["always", "on-failure"] {
        assert_eq!(sh(cli, policy, "hostname").await, policy);
    }
    cli.run(&["vm", "exec", "on-failure", "--", "sudo poweroff"]).await;
    until(cli, "on-failure", "the end of a guest that powered itself off", |s| s["phase"] == "Stopped").await;
    // Stopped by its owner: no policy starts it again, also not when its worker does.
    cli.run(&["vm", "stop", "always", "--wait"]).await.ok();
    assert_eq!(status(cli, "always").await["phase"], "Stopped");
    assert_eq!(cluster.hypervisors(), [] as [u32; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn qemu_an_ephemeral_one_forgets_and_a_deaf_one_is_cut_off() {
    let Some(cluster) = cluster("qemu_an_ephemeral_one_forgets_and_a_deaf_one_is_cut_off").await else {
        return;
    };
    let cli = cluster.cli();
    cli.run(&a_vm(
        "ci",
        &["--ephemeral", "--stop-grace", "2s", "--probe", "exec:test -e /tmp/../etc/hostname"],
    ))
    .await
    .ok();
    sh(cli, "ci", "echo gone >note; sync").await;
    // Nobody reads the power button any more. Its reader may start after the guest has answered.
    sh(cli, "ci", "for i in $(seq 100); do sudo killall head 2>/dev/null && exit 0; sleep 0.1; done; exit 1")
        .await;
    let begin = rt::clock::now();
    cli.run(&["vm", "stop", "ci", "--wait"]).await.ok();
    let took = begin.elapsed();
    assert!(took >= Duration::from_secs(2) && took < Duration::from_secs(20), "{took:?}");
    assert_eq!(cluster.hypervisors(), [] as [u32; 0]);
    cli.run(&["vm", "start", "ci", "--wait"]).await.ok();
    assert_eq!(sh(cli, "ci", "ls note 2>/dev/null || echo fresh").await, "fresh");
    cli.run(&["vm", "delete", "ci", "--yes", "--wait"]).await.ok();
    assert_eq!(cluster.hypervisors(), [] as [u32; 0]);

    let late = ["--probe", "exec:test -e /nowhere", "--probe-timeout", "8s"];
    let failed = cli.run(&a_vm("late", &late)).await;
    assert_ne!(failed.code, 0, "{failed:?}");
    let state = status(cli, "late").await;
    assert_eq!(state["phase"], "Failed", "{state}");
}

#[tokio::test(flavor = "multi_thread")]
async fn qemu_startup_scripts_decide_over_their_vm() {
    let Some(cluster) = cluster("qemu_startup_scripts_decide_over_their_vm").await else { return };
    let cli = cluster.cli();
    let script = cluster.dir().join("start.sh");
    fs::write(&script, "echo hello from $(hostname)\necho \"$API_KEY\" | sha256sum\necho there >/tmp/here\n")
        .unwrap();
    let script = format!("@{}", script.display());
    cli.run(&a_vm("good", &["--startup-script", &script, "--env", "API_KEY=s3cr3t words"])).await.ok();
    assert_eq!(sh(cli, "good", "cat /tmp/here").await, "there", "ready means that the script has ended");
    let log = cli.run(&["vm", "logs", "good", "--log", "startup"]).await.ok();
    // printf 's3cr3t words\n' | sha256sum
    assert!(log.starts_with("hello from good\n") && log.contains(&sum_of("s3cr3t words\n").await), "{log}");
    for output in ["json", "yaml"] {
        let shown = cli.run(&["vm", "get", "good", "-o", output]).await.ok();
        assert!(shown.contains("API_KEY") && !shown.contains("s3cr3t"), "{shown}");
    }
    let described = cli.run(&["vm", "describe", "good"]).await.ok();
    assert!(!described.contains("s3cr3t"), "{described}");

    let failed = cli.run(&a_vm("bad", &["--startup-script", "echo trouble >&2; exit 3"])).await.fails(1);
    assert!(failed.contains("exit code 3"), "{failed}");
    let state = status(cli, "bad").await;
    assert_eq!(state["phase"], "Failed");
    assert!(state["message"].as_str().unwrap().contains("exit code 3"), "{state}");
    assert_eq!(cli.run(&["vm", "logs", "bad", "--log", "startup"]).await.ok(), "trouble\n");
}

async fn sum_of(text: &str) -> String {
    let ran = Cli::finish(rt::process::command("sha256sum"), text.as_bytes()).await;
    ran.ok().split_ascii_whitespace().next().unwrap().to_owned()
}

/// A cluster whose only worker reaches the controller through a relay that can fail.
async fn behind_a_relay(test: &str) -> Option<(Cluster, testkit::fault_proxy::FaultProxy, Process)> {
    let Some(image) = guest_image() else {
        skip(test, "the guest image is not built");
        return None;
    };
    let cluster = Cluster::start(Setup::qemu(Layout::Apart, 0, image)).await;
    let relay = testkit::fault_proxy::FaultProxy::start(cluster.address().parse().unwrap()).await.unwrap();
    let cli = cluster.cli();
    let made = cli.run(&["worker", "token", "create", "far", "--uses", "1", "-o", "json"]).await.json();
    let token = cluster.dir().join("far.token");
    fs::write(&token, made["status"]["token"].as_str().unwrap()).unwrap();
    let url = format!("https://{}", relay.address());
    let token = token.display().to_string();
    // Its directory by a relative path: the hypervisor works in another one.
    let args = ["worker", "run", &url, "--join-token-file", &token, "--data-dir", "far", "--name", "far"];
    let worker = Process::start(cli.command(&args), &cluster.dir().join("far.log"));
    cli.run(&a_vm("web", &[])).await.ok();
    Some((cluster, relay, worker))
}

#[tokio::test(flavor = "multi_thread")]
async fn qemu_a_cut_link_comes_back() {
    let Some((cluster, relay, worker)) = behind_a_relay("qemu_a_cut_link_comes_back").await else { return };
    let cli = cluster.cli();
    let pid = status(cli, "web").await["pid"].as_u64();
    for seconds in 601..604 {
        // A command in the middle of its life ends with our own code, and says why.
        let line = format!("sleep {seconds}");
        let args = ["vm", "exec", "web", "--", &line];
        let running = cli.run(&args);
        let cutting = async {
            let begun = async || sh(cli, "web", &format!("ps | grep '[s]leep {seconds}' || true")).await;
            eventually("a command that runs", BOOT, async || Some(begun().await).filter(|p| !p.is_empty()))
                .await;
            relay.cut();
            let begin = rt::clock::now();
            let new = cli.run(&["vm", "exec", "web", "--", "echo again"]).await.ok();
            (new, begin.elapsed())
        };
        let (broken, (new, took)) = tokio::join!(running, cutting);
        assert_eq!(new, "again\n");
        assert!(took < Duration::from_secs(10), "a new tunnel took {took:?}");
        assert!(!broken.fails(255).is_empty());
    }
    let after = status(cli, "web").await;
    assert_eq!((&after["phase"], after["pid"].as_u64()), (&Value::from("Running"), pid));
    drop(worker);
}

#[tokio::test(flavor = "multi_thread")]
async fn qemu_typing_stays_quick_while_a_copy_runs() {
    let Some(cluster) = cluster("qemu_typing_stays_quick_while_a_copy_runs").await else { return };
    let cli = cluster.cli();
    cli.run(&a_vm("web", &[])).await.ok();
    fs::write(cluster.dir().join("big"), vec![7; 60 << 20]).unwrap();
    let key = client::Key::in_project("default", "web");
    let cat = api::stream::ExecRequest { command: Some("cat".into()), ..Default::default() };
    let (mut keys, mut screen) = cluster.client().vm_exec(&key, &cat).await.unwrap();

    let mut copying = cli.command(&["vm", "cp", "big", "web:big"]).spawn().unwrap();
    // Typing begins when the copy is in full flow.
    let flows = async || sh(cli, "web", "stat -c %s big 2>/dev/null || echo 0").await.parse().ok();
    eventually("a copy that flows", BOOT, async || flows().await.filter(|n: &u64| *n > 1 << 20)).await;
    let mut echoes = Vec::new();
    while copying.try_wait().unwrap().is_none() && echoes.len() < 100 {
        let begin = rt::clock::now();
        keys.stdin(b"x").await.unwrap();
        let _ = tokio::time::timeout(Duration::from_secs(10), screen.next()).await.expect("an echo").unwrap();
        echoes.push(begin.elapsed());
    }
    assert!(echoes.len() >= 20, "the copy ended too soon to tell: {echoes:?}");
    echoes.sort_unstable();
    let median = echoes[echoes.len() / 2];
    assert!(median < Duration::from_millis(300), "keys came back after {median:?}; all: {echoes:?}");
    assert_eq!(copying.wait().await.unwrap().code(), Some(0));
}
