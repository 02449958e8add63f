//! A wall clock that jumps, forward and back: nothing is lost, nothing ends early, nothing is done twice.

#![allow(clippy::expect_used, clippy::unwrap_used)] // what is not as it must be ends the test

use e2e::{Cluster, Http, Layout, Setup, WallClock, eventually, skip};
use serde_json::{Value, json};
use std::time::Duration;

const VMS: &str = "/v1/projects/default/vms";
const SOON: Duration = Duration::from_secs(30);

async fn create(admin: &Http, name: &str) -> Value {
    let new = json!({"name": name, "spec": {"image": "synthetic", "ttlSeconds": 3600}});
    admin.ask("POST", VMS).header("idempotency-key", name).json(&new).send().await.is(201)
}

async fn running(admin: &Http, name: &str) -> Value {
    eventually("it runs", SOON, || async {
        let vm = admin.get(&format!("{VMS}/{name}")).await.is(200);
        (vm["status"]["phase"] == "Running").then_some(vm)
    })
    .await
}

/// What a jump must not change of a VM.
fn lasting(vm: &Value) -> Value {
    let (m, s) = (&vm["metadata"], &vm["status"]);
    json!([m["uid"], m["createdAt"], s["startedAt"], s["restartCount"], s["epoch"], s["worker"]])
}

async fn events(admin: &Http) -> usize {
    admin.get("/v1/events?limit=500").await.is(200)["items"].as_array().unwrap().len()
}

async fn worker_joins(cluster: &Cluster, name: &str) {
    let cli = cluster.cli();
    let made = cli.run(&["worker", "token", "create", name, "--uses", "1", "-o", "json"]).await.json();
    let token = cluster.dir().join(name);
    std::fs::write(&token, made["status"]["token"].as_str().unwrap()).unwrap();
    let (url, token) = (cluster.url(), token.display().to_string());
    let dir = cluster.dir().join(format!("{name}-data")).display().to_string();
    let args = ["worker", "run", &url, "--join-token-file", &token, "--data-dir", &dir, "--name", name];
    let args = [&args[..], &["--synthetic"]].concat();
    let _worker = e2e::Process::start(cli.command(&args), &cluster.dir().join(format!("{name}.log")));
    eventually("a new worker is online", SOON, || async {
        let worker = cli.run(&["worker", "get", name, "-o", "json"]).await;
        (worker.code == 0 && worker.json()["status"]["online"] == true).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_a_clock_that_jumps_harms_nothing() {
    let Some(clock) = WallClock::new() else {
        return skip("e2e_a_clock_that_jumps_harms_nothing", "faketime is not installed");
    };
    let setup = Setup { clock: Some(clock.clone()), ..Setup::synthetic(Layout::Apart, 1) };
    let mut cluster = Cluster::start(setup).await;
    let admin = Http::admin(&cluster);
    let first = create(&admin, "first").await;
    let before = running(&admin, "first").await;
    // Longer than events, operations, keys of requests and join tokens are kept, and than a time to live.
    for (jump, name) in [(40, "later"), (-40, "earlier"), (0, "again")] {
        let known = events(&admin).await;
        clock.jump(jump);
        create(&admin, name).await;
        let made = running(&admin, name).await;
        let shown: jiff::Timestamp = made["metadata"]["createdAt"].as_str().unwrap().parse().unwrap();
        let off = (shown - rt::clock::wall()).total(jiff::Unit::Hour).unwrap() - f64::from(jump) * 24.0;
        assert!(off.abs() < 1.0, "the clock did not jump by {jump} days, but {off} h besides");

        assert_eq!(lasting(&running(&admin, "first").await), lasting(&before), "after {jump} days");
        assert_eq!(create(&admin, "first").await["metadata"]["uid"], first["metadata"]["uid"]);
        assert!(events(&admin).await > known, "events were lost");
        worker_joins(&cluster, &format!("w{name}")).await;

        // The same for whoever starts while the clock is wrong.
        cluster.workers[0].kill().await;
        cluster.controller.kill().await;
        cluster.restart_controller(&[]);
        cluster.restart_worker(1);
        cluster.wait_until_serving().await;
        let key = cluster.worker_name(1);
        eventually("the worker is online", SOON, || async {
            let worker = admin.get(&format!("/v1/workers/{key}")).await.is(200);
            (worker["status"]["online"] == true).then_some(())
        })
        .await;
        assert_eq!(lasting(&running(&admin, "first").await), lasting(&before), "restarted after {jump} days");
    }
    for name in ["later", "earlier", "again"] {
        running(&admin, name).await;
    }
    assert!(cluster.synthetic_machines(1).values().all(|run| *run == 1), "one was started again");
}
