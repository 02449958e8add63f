//! Operations with fleet directories that use more than they may: each is ended with its reason, and nothing of it is left.

#![allow(clippy::unwrap_used, clippy::expect_used)] // what is not as it must be ends the test

use e2e::{Registered, eventually};
use rt::process::Signal;
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

const PATIENCE: Duration = Duration::from_mins(1);

/// The control groups, processes and files of an operation that are there.
fn left_of(operation: &Value) -> Vec<PathBuf> {
    let uid = operation["metadata"]["uid"].as_str().unwrap();
    let group = format!("hostler-run-{uid}");
    let below = |dir: &Path| fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut left: Vec<PathBuf> = below(Path::new("/var/tmp/hostler-sandboxes"))
        .map(|base| base.join(uid))
        .filter(|d| d.exists())
        .collect();
    let mut open = vec![PathBuf::from("/sys/fs/cgroup")];
    while let Some(dir) = open.pop() {
        left.extend(dir.ends_with(&group).then(|| dir.clone()));
        open.extend(below(&dir).filter(|path| path.is_dir() && !path.is_symlink()));
    }
    let in_group = |process: &PathBuf| {
        fs::read_to_string(process.join("cgroup")).is_ok_and(|groups| groups.contains(&group))
    };
    left.extend(below(Path::new("/proc")).filter(in_group));
    left
}

async fn operation(scene: &Registered, name: &str) -> Value {
    scene.get(&format!("/v1/projects/default/operations/{name}")).await
}

/// Runs a command in the sandbox, as a user does, until its operation has failed. Gives what the user was told.
async fn fails(scene: &Registered, command: &str) -> String {
    let cli = scene.cluster.cli();
    let name = scene.begin("here", command).await;
    let waited = cli.run(&["operation", "wait", &name]).await;
    assert!(waited.code != 0, "{waited:?}");
    let operation = operation(scene, &name).await;
    assert_eq!(operation["status"]["state"], "Failed", "{operation}");
    assert_eq!(left_of(&operation), Vec::<PathBuf>::new());
    waited.stderr
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_an_operation_that_uses_too_much_is_ended_and_others_go_on() {
    if !Registered::is_possible("e2e_an_operation_that_uses_too_much_is_ended_and_others_go_on").await {
        return;
    }
    let scene = Registered::start(&[], &[]).await;
    let cli = scene.cluster.cli();
    let (began, go) = (scene.node.home().join("began"), scene.node.home().join("go"));
    let waits = format!(
        "touch {}; while ! test -e {}; do sleep 0.05; done; echo went on",
        began.display(),
        go.display()
    );
    let other = scene.begin("node", &waits).await;
    eventually("the other operation", PATIENCE, || async { began.exists().then_some(()) }).await;
    assert!(left_of(&operation(&scene, &other).await).len() > 2, "its group, its processes, its files");

    let limits =
        ["runnerLimits.memoryMib=256", "runnerLimits.processes=64", "runnerLimits.cpuSeconds=5"].as_slice();
    cli.run(&[&["settings", "set"], limits].concat()).await.ok();
    // Each of its processes would be allowed.
    let hog = "for i in 1 2 3 4 5 6 7 8; do python3 -c 'import time; x = b\"x\" * (64 << 20); time.sleep(600)' & done; wait";
    let said = fails(&scene, hog).await;
    assert!(said.contains("used more than 256 MiB of memory, so it was ended"), "{said}");
    // Asks for no more than 100.
    let said = fails(&scene, "for i in $(seq 100); do sleep 600 & done; wait").await;
    assert!(said.contains("had more than 64 processes, so it was ended"), "{said}");
    let said = fails(&scene, "bomb() { bomb | bomb & }; bomb; sleep 600").await;
    assert!(said.contains("had more than 64 processes, so it was ended"), "{said}");
    let said = fails(&scene, "for i in 1 2 3 4; do while :; do :; done & done; wait").await;
    assert!(said.contains("used more than 5 s of CPU time, so it was ended"), "{said}");
    assert!(said.contains("hostler settings set runnerLimits.cpuSeconds=N"), "{said}");

    fs::write(&go, "").unwrap();
    cli.run(&["operation", "wait", &other]).await.ok();
    assert!(cli.run(&["operation", "log", &other]).await.ok().contains("went on"));
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_a_process_that_stays_behind_ends_with_its_operation() {
    if !Registered::is_possible("e2e_a_process_that_stays_behind_ends_with_its_operation").await {
        return;
    }
    let scene = Registered::start(&[], &[]).await;
    let cli = scene.cluster.cli();
    let behind = "setsid sleep 600 >/dev/null 2>&1 </dev/null & echo gone";
    cli.run(&["fleet", "run", "estate", "--", "--node", "here", "--command", behind]).await.ok();
    let list = scene.get("/v1/projects/default/operations").await;
    assert_eq!(left_of(&list["items"][0]), Vec::<PathBuf>::new());

    // One that keeps the operation waiting ends with its time.
    cli.run(&["settings", "set", "runnerLimits.timeSeconds=5"]).await.ok();
    let said = fails(&scene, "setsid sleep 600 & wait").await;
    assert!(said.contains("did not finish within 5 s"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_what_a_killed_controller_leaves_is_removed_at_its_next_start() {
    if !Registered::is_possible("e2e_what_a_killed_controller_leaves_is_removed_at_its_next_start").await {
        return;
    }
    let mut scene = Registered::start(&[], &[]).await;
    let name = scene.begin("here", "sleep 600").await;
    let sleeps = || async {
        let begun = operation(&scene, &name).await;
        (left_of(&begun).iter().filter(|path| path.starts_with("/proc")).count() > 3).then_some(begun)
    };
    let begun = eventually("its processes", PATIENCE, sleeps).await;
    rt::process::signal(scene.cluster.controller.pid, Signal::KILL).unwrap();
    scene.cluster.controller.wait(PATIENCE).await;
    assert!(left_of(&begun).iter().any(|path| path.starts_with("/sys")), "nobody has removed its group");
    scene.cluster.restart_controller(&[]);
    scene.cluster.wait_until_serving().await;
    eventually("the end of all of it", PATIENCE, || async { left_of(&begun).is_empty().then_some(()) }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_a_host_without_control_groups_is_refused() {
    const NAME: &str = "e2e_a_host_without_control_groups_is_refused";
    if !Registered::is_possible(NAME).await {
        return;
    }
    let mut scene = Registered::start(&[], &[]).await;
    scene.cluster.controller.end(Signal::TERM).await;
    let without = "umount --recursive --lazy /sys/fs/cgroup && exec \"$@\"";
    scene.cluster.restart_controller_by(&["unshare", "--mount", "sh", "-c", without, "sh"]);
    scene.cluster.wait_until_serving().await;
    let said = fails(&scene, "echo it ran").await;
    assert!(said.contains("this host cannot limit what an operation uses"), "{said}");
    assert!(said.contains("no control groups for 'memory'") && said.contains("Delegate=yes"), "{said}");
    let mut doctor = rt::process::command("unshare");
    doctor.args(["--mount", "sh", "-c", without, "sh"]).arg(e2e::binary()).arg("doctor");
    scene.cluster.cli().dress(&mut doctor);
    let told = rt::process::run(doctor, PATIENCE).await.unwrap().stdout;
    assert!(told.lines().any(|l| l.starts_with("sandboxes ") && l.contains("warning")), "{told}");
}
