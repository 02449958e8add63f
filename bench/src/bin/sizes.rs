//! Small things that are felt often: the start of the program, its size, the memory of an idle cluster.
//!
//! `bench/sizes/run`
#![allow(clippy::expect_used)] // what is not as it must be ends the benchmark

use bench::{Row, median, rss};
use e2e::{Cli, Cluster, Layout, Setup, binary};
use std::{process::Stdio, time::Duration};
use tokio::process::Command;

const STARTS: usize = 50;
/// Until a new cluster has settled.
const SETTLED: Duration = Duration::from_secs(10);

#[tokio::main]
async fn main() {
    let dir = tempfile::tempdir().expect("a directory");
    let cli = Cli::new(dir.path());
    let (mut ours, mut floor) = (Vec::new(), Vec::new());
    for _ in 0..STARTS {
        ours.push(milliseconds(cli.command(&["--help"])).await);
        floor.push(milliseconds(rt::process::command("true")).await);
    }
    let [ours, floor] = [median(&ours), median(&floor)];
    Row::new("`hostler --help`", format!("{ours:.1} ms"))
        .target("20 ms", ours < 20.0)
        .beside(format!("`true` {floor:.1} ms"), Some(ours / floor))
        .print();
    #[allow(clippy::cast_precision_loss)] // shown with one decimal
    let size = std::fs::metadata(binary()).expect("the program").len() as f64 / 1e6;
    Row::new("the program", format!("{size:.1} MB")).target("40 MB", size < 40.0).print();
    let cluster = Cluster::start(Setup::synthetic(Layout::Dev, 1)).await;
    rt::clock::sleep(SETTLED).await;
    let usage = rss(cluster.controller.pid);
    Row::new("memory of an idle dev cluster", format!("{} MiB", usage.rss))
        .target("60 MB", usage.rss < 57)
        .print();
}

async fn milliseconds(mut command: Command) -> f64 {
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let start = rt::clock::now();
    let status = command.spawn().expect("it starts").wait().await.expect("it ends");
    assert!(status.success(), "{command:?}: {status}");
    start.elapsed().as_secs_f64() * 1000.0
}
