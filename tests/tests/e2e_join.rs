//! Workers that join, more than once where it must be.

#![allow(clippy::expect_used, clippy::unwrap_used)] // what is not as it must be ends the test

use api::Worker;
use client::Key;
use e2e::{Cluster, Layout, Process, Ran, Setup};
use std::{fs, time::Duration};

async fn token(cluster: &Cluster, name: &str) -> String {
    let made =
        cluster.cli().run(&["worker", "token", "create", name, "--uses", "1", "-o", "json"]).await.json();
    let file = cluster.dir().join(format!("{name}.token"));
    fs::write(&file, made["status"]["token"].as_str().unwrap()).unwrap();
    file.display().to_string()
}

/// The arguments of a worker called `w1`.
fn worker(cluster: &Cluster, dir: &str, token: &str) -> Vec<String> {
    let dir = cluster.dir().join(dir).display().to_string();
    let url = cluster.url();
    let args = [
        "worker",
        "run",
        &url,
        "--join-token-file",
        token,
        "--data-dir",
        &dir,
        "--name",
        "w1",
        "--synthetic",
    ];
    args.map(ToOwned::to_owned).to_vec()
}

fn start(cluster: &Cluster, args: &[String], more: &[&str]) -> Process {
    let args: Vec<&str> = args.iter().map(String::as_str).chain(more.iter().copied()).collect();
    Process::start(cluster.cli().command(&args), &cluster.dir().join("w1.log"))
}

async fn refused(cluster: &Cluster, args: &[String]) -> Ran {
    cluster.cli().run(&args.iter().map(String::as_str).collect::<Vec<_>>()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_a_worker_that_lost_the_answer_joins_again_and_nobody_else_does() {
    let cluster = Cluster::start(Setup::synthetic(Layout::Apart, 0)).await;
    let (client, key) = (cluster.client(), Key::cluster("w1"));
    let once = token(&cluster, "once").await;
    let args = worker(&cluster, "w1", &once);

    // It has its answer, and dies before it has kept it. Twice.
    for _ in 0..2 {
        let mut dying = start(&cluster, &args, &["--failpoint", "worker.joined"]);
        assert_eq!(dying.wait(Duration::from_secs(30)).await, None, "{}", dying.log());
        assert!(!cluster.dir().join("w1/identity.json").exists());
    }
    let known: Worker = client.get(&key).await.unwrap();
    let living = start(&cluster, &args, &[]);
    let online = e2e::eventually("it is online", Duration::from_secs(30), || async {
        Some(client.get::<Worker>(&key).await.ok()?).filter(|w| w.status.online)
    })
    .await;
    assert_eq!(online.metadata.uid, known.metadata.uid, "it is the same worker:\n{}", living.log());

    // Another host by that name has another key. A token that is used up does not even say that the name is taken.
    let other = worker(&cluster, "other", &once);
    let said = refused(&cluster, &other).await.fails(4);
    assert!(said.contains("the join token is not valid"), "{said}");
    let fresh = token(&cluster, "fresh").await;
    let said = refused(&cluster, &worker(&cluster, "other", &fresh)).await.fails(6);
    assert!(said.contains("'w1'"), "{said}");

    // A worker that was forgotten is not let in again by a token that is used up.
    drop(living);
    e2e::eventually("it is forgotten", Duration::from_secs(30), || async {
        let ran = cluster.cli().run(&["worker", "delete", "w1", "--confirm-dead", "--yes"]).await;
        (ran.code == 0).then_some(())
    })
    .await;
    fs::remove_file(cluster.dir().join("w1/identity.json")).unwrap();
    let said = refused(&cluster, &args).await.fails(4);
    assert!(said.contains("the join token is not valid"), "{said}");
}
