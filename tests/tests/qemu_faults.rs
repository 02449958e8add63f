//! Bad days with real guests: whatever ends beside them, they go on.

#![allow(clippy::expect_used, clippy::unwrap_used)] // what is not as it must be ends the test

use api::{Operation, Vm, VmPhase, Worker};
use client::Key;
use e2e::{Cluster, Layout, Setup, alive, eventually, guest_image, skip};
use std::{collections::BTreeMap, time::Duration};

const LONG: Duration = Duration::from_mins(1);

async fn cluster(test: &str) -> Option<Cluster> {
    let Some(guest) = guest_image() else {
        skip(test, "the guest image is not built");
        return None;
    };
    let cluster = Cluster::start(Setup::qemu(Layout::Apart, 1, guest)).await;
    cluster.cli().run(&["worker", "cpu-ratio", "w1", "4"]).await.ok(); // two CPUs for four guests
    Some(cluster)
}

/// Makes VMs at once.
async fn create(cluster: &Cluster, names: &[&str]) {
    for name in names {
        let args = ["vm", "create", name, "--image", "tiny", "--memory", "256MiB", "--disk", "64MiB"];
        cluster.cli().run(&args).await.ok();
    }
}

/// Waits until all VMs run; their process ids by name.
async fn running(cluster: &Cluster, names: &[&str]) -> BTreeMap<String, u32> {
    let client = cluster.client();
    eventually("the guests run", LONG, || async {
        let mut pids = BTreeMap::new();
        for name in names {
            let vm: Vm = client.get(&Key::in_project("default", *name)).await.ok()?;
            (vm.status.phase == VmPhase::Running).then_some(())?;
            pids.insert((*name).to_owned(), vm.status.pid?);
        }
        Some(pids)
    })
    .await
}

/// Runs a command in each guest, which only its own guest answers so.
async fn exec_works(cluster: &Cluster, names: &[&str]) {
    for name in names {
        let said = eventually("a command in the guest", LONG, || async {
            let ran = cluster.cli().run(&["vm", "exec", name, "--", "hostname"]).await;
            (ran.code == 0).then_some(ran.stdout)
        })
        .await;
        assert_eq!(said.trim(), *name);
    }
}

async fn is_online(cluster: &Cluster, wanted: bool) {
    let client = cluster.client();
    eventually("the worker's state", LONG, || async {
        let worker: Worker = client.get(&Key::cluster("w1")).await.ok()?;
        (worker.status.online == wanted).then_some(())
    })
    .await;
}

/// The guests are the same processes as before, there are no others, and they answer.
async fn untouched(cluster: &Cluster, names: &[&str], before: &BTreeMap<String, u32>) {
    assert_eq!(&running(cluster, names).await, before);
    assert_eq!(cluster.hypervisors(), sorted(before));
    exec_works(cluster, names).await;
    let client = cluster.client();
    for name in names {
        let vm: Vm = client.get(&Key::in_project("default", *name)).await.unwrap();
        assert_eq!(vm.status.restart_count, 0, "{name}");
    }
}

fn sorted(pids: &BTreeMap<String, u32>) -> Vec<u32> {
    let mut pids: Vec<u32> = pids.values().copied().collect();
    pids.sort_unstable();
    pids
}

#[tokio::test(flavor = "multi_thread")]
async fn qemu_guests_outlive_worker_and_controller() {
    let Some(mut cluster) = cluster("qemu_guests_outlive_worker_and_controller").await else { return };
    let names = ["one", "two"];
    create(&cluster, &names).await;
    let before = running(&cluster, &names).await;
    assert_eq!(cluster.hypervisors(), sorted(&before));

    cluster.workers[0].kill().await;
    assert_eq!(cluster.hypervisors(), sorted(&before), "a dead worker takes no guest with it");
    cluster.restart_worker(1);
    untouched(&cluster, &names, &before).await;

    let code = cluster.workers[0].end(rt::process::Signal::TERM).await;
    assert_eq!(code, Some(0), "{}", cluster.workers[0].log());
    assert_eq!(cluster.hypervisors(), sorted(&before), "an upgrade takes no guest with it");
    cluster.restart_worker(1);
    untouched(&cluster, &names, &before).await;

    cluster.controller.kill().await;
    assert_eq!(cluster.hypervisors(), sorted(&before));
    cluster.restart_controller(&[]);
    cluster.wait_until_serving().await;
    untouched(&cluster, &names, &before).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn qemu_guests_do_not_mind_a_long_absence_of_the_controller() {
    let test = "qemu_guests_do_not_mind_a_long_absence_of_the_controller";
    let Some(mut cluster) = cluster(test).await else { return };
    let names = ["one"];
    create(&cluster, &names).await;
    let before = running(&cluster, &names).await;
    cluster.cli().run(&["settings", "set", "workerOfflineSeconds=2"]).await.ok();
    cluster.controller.kill().await;
    rt::clock::sleep(Duration::from_secs(5)).await; // longer than the limit
    assert!(before.values().all(|pid| alive(*pid)));
    cluster.restart_controller(&[]);
    cluster.wait_until_serving().await;
    untouched(&cluster, &names, &before).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn qemu_guests_that_a_restored_backup_does_not_know_are_adopted() {
    let test = "qemu_guests_that_a_restored_backup_does_not_know_are_adopted";
    let Some(mut cluster) = cluster(test).await else { return };
    create(&cluster, &["one"]).await;
    running(&cluster, &["one"]).await;
    // One that waits when the backup is made, and runs when it is restored.
    cluster.cli().run(&["worker", "cordon", "w1"]).await.ok();
    create(&cluster, &["late"]).await;
    let made = cluster.cli().run(&["controller", "backup", "create", "--wait", "-o", "json"]).await.json();
    let operation: Operation = serde_json::from_value(made).unwrap();
    let backup = operation.status.result.expect("a result")["path"].as_str().unwrap().to_owned();
    cluster.cli().run(&["worker", "uncordon", "w1"]).await.ok();
    let names = ["late", "one", "three", "two"];
    create(&cluster, &names[2..]).await;
    let before = running(&cluster, &names).await;

    assert_eq!(cluster.controller.end(rt::process::Signal::TERM).await, Some(0));
    let dir = cluster.data_dir().display().to_string();
    let restore = ["controller", "backup", "restore", &backup, "--data-dir", &dir, "--replace", "--yes"];
    cluster.cli().run(&restore).await.ok();
    cluster.restart_controller(&[]);
    cluster.wait_until_serving().await;
    is_online(&cluster, true).await;

    let client = cluster.client();
    let unclaimed = eventually("two are unclaimed", LONG, || async {
        let worker: Worker = client.get(&Key::cluster("w1")).await.ok()?;
        (worker.status.unclaimed.len() == 2).then_some(worker.status.unclaimed)
    })
    .await;
    assert_eq!(cluster.hypervisors(), sorted(&before), "absence destroys nothing");
    assert!(unclaimed.iter().all(|vm| vm.running));
    let listed = cluster.cli().run(&["worker", "unclaimed", "list", "w1", "-o", "json"]).await.json();
    for vm in &unclaimed {
        let uid = vm.uid.to_string();
        assert!(listed.to_string().contains(&uid), "{listed}");
        cluster.cli().run(&["worker", "unclaimed", "adopt", "w1", &uid]).await.ok();
    }
    untouched(&cluster, &names, &before).await;
    eventually("nothing is unclaimed", LONG, || async {
        let worker: Worker = client.get(&Key::cluster("w1")).await.ok()?;
        worker.status.unclaimed.is_empty().then_some(())
    })
    .await;
    // An adopted one obeys again.
    cluster.cli().run(&["vm", "delete", "two", "--yes", "--wait"]).await.ok();
    assert!(!alive(before["two"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn qemu_an_image_without_a_seed_is_entered_with_its_own_key() {
    let test = "qemu_an_image_without_a_seed_is_entered_with_its_own_key";
    let Some(mut cluster) = cluster(test).await else { return };
    let (cli, image) = (cluster.cli().clone(), guest_image().unwrap());
    let mut keygen = rt::process::command("ssh-keygen");
    keygen.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(cluster.dir().join("id"));
    e2e::Cli::finish(keygen, b"").await.ok();
    let file = |name: &str| image.join(name).display().to_string();
    let (kernel, initrd) = (file("vmlinuz"), file("initrd.img"));
    let import = ["image", "import", "appliance", "--kernel", &kernel, "--initrd", &initrd, "--no-seed"];
    let refused = cli.run(&[&import[..], &["--key-file", "id.pub"]].concat()).await.fails(2);
    assert!(refused.contains("/spec/key"), "{refused}");
    cli.run(&import).await.fails(2);
    cli.run(&[&import[..], &["--key-file", "id"]].concat()).await.ok();
    let shown = cli.run(&["image", "get", "appliance", "-o", "json"]).await.ok();
    assert!(!shown.contains("PRIVATE KEY"), "{shown}");

    let create = ["vm", "create", "web", "--image", "appliance", "--memory", "128MiB", "--disk", "64MiB"];
    cli.run(&[&create[..], &["--ssh-key", "id.pub", "--wait"]].concat()).await.ok();
    // From now on the guest takes no key but that one.
    let line = "echo \"$KEY\" >~/.ssh/authorized_keys; wc -l <~/.ssh/authorized_keys";
    let public = std::fs::read_to_string(cluster.dir().join("id.pub")).unwrap();
    let key = format!("KEY={}", public.trim());
    let left = cli.run(&["vm", "exec", "web", "-e", &key, "--", line]).await.ok();
    assert_eq!(left.trim(), "1");
    cluster.workers[0].kill().await; // and its connections
    cluster.restart_worker(1);
    exec_works(&cluster, &["web"]).await;
}
