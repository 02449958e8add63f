//! Placement at three depths: pure (the scheduler alone), durable (one checked commit per VM), and over HTTP.
//!
//! `bench/placement/run [--quick]`: 10,000 VMs of mixed shape, 30 % of them with a label, an architecture or a named
//! resource, go to 1,000 and to 5,000 workers of 24 shapes that are 85 % full at the end.
#![allow(clippy::expect_used)] // what is not as it must be ends the benchmark

// The workload and its yardstick are those of the scheduler's own example.
#[path = "../../../../crates/scheduler/examples/placement_rate/exhaustive.rs"]
mod exhaustive;
#[path = "../../../../crates/scheduler/examples/placement_rate/measure.rs"]
mod measure;
#[path = "../../../../crates/scheduler/examples/placement_rate/workload.rs"]
mod workload;

mod durable;
mod http;
mod objects;

use bench::{Row, flag, note};
use measure::{measure, percent, place_at_once, rate};
use workload::Workload;

/// Nomad and kube-scheduler, from their own publications.
const ANCHORS: &str = "Nomad 3,750/s, kube-scheduler 810/s (published)";
/// What counts as "within 2 %" of the exhaustive scorer.
const NEARLY_ALL: f64 = 98.0;

#[tokio::main]
async fn main() -> base::Result<()> {
    let (sizes, vms) = if flag("--quick") { ([100, 200], 1_000) } else { ([1_000, 5_000], 10_000) };
    for workers in sizes {
        let load = Workload::new(workers, vms);
        note(format!("{workers} workers of {} shapes, {vms} VMs: pure", load.shapes));
        pure(&load);
        let load = objects::with_architectures(load);
        let best = exhaustive_best(&load);
        note(format!("{workers} workers: durable"));
        durable::measure(&load).await?.rows(workers, best.placed);
        note(format!("{workers} workers: over HTTP"));
        http::measure(&load).await?.rows(workers, best.placed);
    }
    Ok(())
}

/// The better of the two scorers that look at every worker for every VM.
fn exhaustive_best(load: &Workload) -> exhaustive::Outcome {
    let plain = exhaustive::place(load, exhaustive::best_fit);
    let sparing = exhaustive::place(load, exhaustive::sparing_fit);
    if plain.placed > sparing.placed { plain } else { sparing }
}

fn pure(load: &Workload) {
    let run = measure(load, place_at_once);
    let single = measure(load, measure::place_one_by_one);
    let best = exhaustive_best(load);
    let workers = load.workers.len();
    note(format!("full at the end: CPU {:.1} %, memory {:.1} %", run.used.0, run.used.1));
    Row::new(format!("placement, pure, {workers} workers"), per_second(run.rate))
        .target("10,000/s", run.rate >= 10_000.0)
        .beside(format!("exhaustive scorer {}; {ANCHORS}", per_second(best.rate)), Some(run.rate / best.rate))
        .print();
    let share = percent(run.placed.min(single.placed), best.placed);
    Row::new(
        format!("placement, placed, {workers} workers"),
        format!("{} of {}", run.placed, load.requests.len()),
    )
    .target("within 2 % of exhaustive", share >= NEARLY_ALL)
    .beside(format!("exhaustive scorer {}", best.placed), Some(share / 100.0))
    .print();
    books(&format!("pure, {workers} workers"), run.exact && single.exact);
}

/// The row that says whether what is used is what is reserved.
fn books(which: &str, exact: bool) {
    let measured = if exact { "on every worker" } else { "not on every worker" };
    Row::new(format!("used = reserved, {which}"), measured).target("on every worker", exact).print();
}

fn per_second(rate: f64) -> String {
    format!("{rate:.0}/s")
}
