//! The API under load: a controller process, 1,000 synthetic workers in another process over the real link, 10,000 VMs,
//! and an open loop of requests whose times count from when they should have been sent.
//!
//! `bench/api/run [--quick]`
#![allow(clippy::expect_used)] // what is not as it must be ends the benchmark

mod connection;
mod fleet;
mod load;
mod setup;
mod watchers;

use bench::{Latencies, Row, cpu_time, flag, note, rss};
use load::{Kind, Load, Outcome};
use setup::{Size, Stage};
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);
/// The load that must be borne, in requests per second.
const RATE: u64 = 1_000;

#[tokio::main]
async fn main() -> base::Result<()> {
    if flag("--fleet") {
        return fleet::run().await;
    }
    rt::process::raise_file_limit();
    let size = if flag("--quick") { Size::QUICK } else { Size::FULL };
    let stage = Stage::start(size).await;
    idle(&stage).await;
    let mut load = Load::open(&stage).await;
    note(format!("{} connections; {} requests/s for {} s", size.connections, RATE, size.span.as_secs()));
    let pid = stage.cluster.controller.pid;
    let (watching, before) = (watchers::Watchers::start(&stage).await, cpu_time(pid));
    let outcome = load.run(RATE, size.span).await;
    let busy = cpu_time(pid).saturating_sub(before).as_secs_f64() / size.span.as_secs_f64();
    report(&outcome, &watching.finish().await);
    note(format!("the controller used {:.0} % of one core meanwhile", busy * 100.0));
    highest(&mut load, size.step).await;
    let usage = rss(pid);
    Row::new("memory of the controller at the end", format!("{} MiB, at most {} MiB", usage.rss, usage.peak))
        .target("512 MiB", usage.peak < 512)
        .print();
    Ok(())
}

async fn idle(stage: &Stage) {
    let pid = stage.cluster.controller.pid;
    rt::clock::sleep(stage.size.span / 3).await; // what was just made settles
    let before = cpu_time(pid);
    rt::clock::sleep(stage.size.span).await;
    let share = cpu_time(pid).saturating_sub(before).as_secs_f64() * 100.0 / stage.size.span.as_secs_f64();
    Row::new(
        format!("idle CPU of a controller, {} workers, {} VMs", stage.size.workers, stage.size.vms),
        format!("{share:.1} % of a core"),
    )
    .target("2 %", share < 2.0)
    .print();
    let usage = rss(pid);
    Row::new("memory of that controller", format!("{} MiB", usage.rss))
        .target("512 MiB", usage.rss < 512)
        .print();
}

fn report(outcome: &Outcome, lag: &Latencies) {
    let row = |what: &str, times: &Latencies| Row::new(format!("{what}, {RATE} requests/s"), times.summary());
    let within = |times: &Latencies, limit: u32| times.quantile(990) < MS * limit;
    let [get, page, list, create, delete] = Kind::ALL.map(|kind| outcome.of(kind));
    row("GET", get).target("p99 20 ms", within(get, 20)).print();
    row("list of 50", page).print();
    row("list of 500", list).print();
    row("create", create).target("p99 50 ms", within(create, 50)).print();
    row("delete", delete).print();
    row("watch lag, 200 watchers, 50 changes/s", lag).target("p99 100 ms", within(lag, 100)).print();
    Row::new("failed requests", format!("{} of {}", outcome.failed, outcome.count()))
        .target("0", outcome.failed == 0)
        .print();
}

/// Doubles the rate until it is not held, then halves the gap three times.
async fn highest(load: &mut Load, step: Duration) {
    let (mut held, mut limit) = (0, None);
    let mut rate = RATE;
    for _ in 0..8 {
        let outcome = load.run(rate, step).await;
        let p99 = outcome.all().quantile(990);
        let good = p99 < 50 * MS && outcome.failed == 0;
        note(format!(
            "{rate} requests/s: p99 {:.1} ms{}",
            p99.as_secs_f64() * 1e3,
            if good { "" } else { ", not held" }
        ));
        if good {
            held = rate;
        } else {
            limit = Some(rate);
        }
        rate = limit.map_or(rate * 2, |limit| held.midpoint(limit));
        if limit.is_some_and(|limit| limit - held <= limit / 10) {
            break;
        }
    }
    Row::new("highest rate held with p99 < 50 ms over all kinds", format!("{held} requests/s")).print();
}
