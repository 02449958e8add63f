//! What is kept, for how long, and by which release.

#![allow(clippy::expect_used, clippy::unwrap_used)] // what is not as it must be ends the test

use e2e::{Cluster, Http, Layout, Setup, eventually};
use rt::process::Signal;
use std::{fs, path::Path, time::Duration};

const SOON: Duration = Duration::from_secs(30);
/// Where SQLite keeps `user_version`: 4 bytes, the most significant first (its file format, 1.3.14).
const USER_VERSION: usize = 60;

async fn end_and_start(cluster: &mut Cluster) {
    assert_eq!(cluster.controller.end(Signal::TERM).await, Some(0), "{}", cluster.controller.log());
    cluster.restart_controller(&[]);
    cluster.wait_until_serving().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_the_settings_say_how_many_events_are_kept() {
    let mut cluster = Cluster::start(Setup::synthetic(Layout::chosen(), 1)).await;
    let cli = cluster.cli().clone();
    cli.run(&["settings", "set", "retention.eventsPerObject=10"]).await.ok();
    for name in ["much", "little"] {
        cli.run(&["vm", "create", name, "--image", "synthetic", "--stopped"]).await.ok();
    }
    for n in 0..15 {
        cli.run(&["vm", "update", "much", "--label", &format!("n={n}")]).await.ok();
    }
    let events = async |http: &Http, vm: &str| {
        let list = http.get(&format!("/v1/events?kind=vm&name={vm}")).await.is(200);
        list["items"].as_array().unwrap().clone()
    };
    let all = events(&Http::admin(&cluster), "much").await;
    assert_eq!(all.len(), 16);
    // Old ones are thrown away at a start, and every few minutes.
    end_and_start(&mut cluster).await;
    let admin = Http::admin(&cluster);
    let left = eventually("few are left", SOON, async || {
        Some(events(&admin, "much").await).filter(|left| left.len() <= 10)
    })
    .await;
    assert_eq!(left, all[6..], "the newest ones stay");
    assert_eq!(events(&admin, "little").await.len(), 1, "each object has its own number");
    let audit = admin.get("/v1/audit?limit=500").await.is(200);
    assert!(audit["items"].as_array().unwrap().len() > 16, "the audit log has a rule of its own");
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_bytes_go_with_the_last_image_that_has_them() {
    let cluster = Cluster::start(Setup::synthetic(Layout::chosen(), 1)).await;
    let cli = cluster.cli();
    fs::write(cluster.dir().join("disk.raw"), vec![7; 3 << 20]).unwrap();
    let import = |name| ["image", "import", name, "disk.raw", "--format", "raw"];
    cli.run(&import("one")).await.ok();
    cli.run(&import("two")).await.ok();
    let blobs = cluster.data_dir().join("images/blobs/sha256");
    let count = || fs::read_dir(&blobs).unwrap().count();
    assert_eq!(count(), 1, "the same bytes are kept once");
    cli.run(&["image", "delete", "one"]).await.ok();
    // The image that is left can be fetched.
    let part = cli.run(&["image", "get", "two", "-o", "json"]).await.json();
    let digest = part["status"]["parts"][0]["digest"].as_str().unwrap();
    let fetched = Http::admin(&cluster).get(&format!("/v1/blobs/{digest}")).await;
    assert_eq!((fetched.status, fetched.body.len()), (200, 3 << 20));
    cli.run(&["image", "delete", "two"]).await.ok();
    eventually("nothing is left", SOON, async || (count() == 0).then_some(())).await;
}

/// Writes down that a newer release has migrated a store.
fn set_version(store: &Path, change: i32) {
    let mut bytes = fs::read(store).unwrap();
    let field = &mut bytes[USER_VERSION..USER_VERSION + 4];
    let version = i32::from_be_bytes(field.try_into().unwrap()) + change;
    field.copy_from_slice(&version.to_be_bytes());
    fs::write(store, bytes).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_an_older_release_refuses_a_newer_store() {
    let mut cluster = Cluster::start(Setup::synthetic(Layout::Apart, 1)).await;
    cluster.cli().run(&["vm", "create", "web", "--image", "synthetic", "--wait"]).await.ok();
    // A backup is one file, and may be put in place by hand.
    let made = cluster.cli().run(&["controller", "backup", "create", "--wait", "-o", "json"]).await.json();
    assert_eq!(cluster.controller.end(Signal::TERM).await, Some(0));
    let store = cluster.data_dir().join("store.db");
    for part in ["store.db-wal", "store.db-shm"] {
        let _ = fs::remove_file(cluster.data_dir().join(part)); // there only until it is closed
    }
    fs::copy(made["status"]["result"]["path"].as_str().unwrap(), &store).unwrap();
    set_version(&store, 1);
    let dir = cluster.data_dir().display().to_string();
    let args = ["controller", "run", "--data-dir", &dir, "--listen", "127.0.0.1:0", "--no-context"];
    let said = cluster.cli().run(&args).await.fails(6);
    assert!(said.contains("newer hostler") && said.contains("backups"), "{said}");
    // And leaves it as it was.
    set_version(&store, -1);
    cluster.restart_controller(&[]);
    cluster.wait_until_serving().await;
    cluster.wait_until_online().await;
    let vm = cluster.cli().run(&["vm", "get", "web", "-o", "json"]).await.json();
    assert_eq!(vm["status"]["restartCount"], 0);
}
