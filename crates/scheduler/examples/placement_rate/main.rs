//! How fast placement is, and how good: `cargo run --release -p scheduler --example placement_rate`.
//!
//! 10,000 VMs of mixed shape, 30 % of them with a label, an architecture or a named resource, go to clusters of 1,000
//! and 5,000 workers of 24 shapes that are 85 % full at the end. Prints the rate (median of five runs) when all VMs
//! are submitted at once and when each is submitted and placed by itself; what was placed against exhaustive scorers
//! that look at every worker for every VM; and checks that what is used on each worker is the sum of its charges.

mod exhaustive;
mod stress;
mod workload;

use base::Uid;
use scheduler::{Charge, Cluster, Settings};
use std::collections::HashMap;
use std::io::{self, Write};
use workload::Workload;

const RUNS: usize = 5;
const VMS: usize = 10_000;

fn main() -> io::Result<()> {
    let mut out = io::stdout().lock();
    for workers in [1_000, 5_000] {
        report(&mut out, &Workload::new(workers, VMS))?;
    }
    Ok(())
}

fn report(out: &mut impl Write, load: &Workload) -> io::Result<()> {
    let batch = measure(load, place_at_once);
    let single = measure(load, place_one_by_one);
    let plain = exhaustive::place(load, exhaustive::best_fit);
    let sparing = exhaustive::place(load, exhaustive::sparing_fit);
    writeln!(out, "{} workers of {} shapes, {} VMs", load.workers.len(), load.shapes, load.requests.len())?;
    writeln!(out, "  all at once     {:>9.0} placements/s   placed {}", batch.rate, batch.placed)?;
    writeln!(out, "  one by one      {:>9.0} placements/s   placed {}", single.rate, single.placed)?;
    writeln!(out, "  best fit        {:>9.0} placements/s   placed {}", plain.rate, plain.placed)?;
    writeln!(out, "  sparing fit     {:>9.0} placements/s   placed {}", sparing.rate, sparing.placed)?;
    let best = plain.placed.max(sparing.placed);
    let (a, b) = (percent(batch.placed, best), percent(single.placed, best));
    writeln!(out, "  placed against the better exhaustive scorer: {a:.2} %, {b:.2} %")?;
    writeln!(out, "  CPU and memory used at the end: {:.1} %, {:.1} %", batch.used.0, batch.used.1)?;
    writeln!(out, "  used = sum of charges on every worker: {}", batch.exact && single.exact)?;
    writeln!(
        out,
        "  a label of its own on every worker: {:.0} placements/s",
        stress::labels_of_their_own(load)
    )?;
    let (event, explain) = stress::full(load);
    writeln!(
        out,
        "  full, {VMS} unlike VMs wait: {event:?} per VM that leaves and comes, {explain:?} to explain"
    )
}

/// What one way of placing came to.
struct Run {
    rate: f64,
    placed: usize,
    /// Used share of CPU and memory, in percent.
    used: (f64, f64),
    exact: bool,
}

/// Places a workload; where each VM went.
type Place = fn(&mut Cluster, &Workload) -> Vec<scheduler::Decision>;

fn place_at_once(cluster: &mut Cluster, load: &Workload) -> Vec<scheduler::Decision> {
    for request in &load.requests {
        cluster.submit(request.clone());
    }
    cluster.schedule(0, usize::MAX)
}

fn place_one_by_one(cluster: &mut Cluster, load: &Workload) -> Vec<scheduler::Decision> {
    let mut decisions = Vec::with_capacity(load.requests.len());
    for request in &load.requests {
        cluster.submit(request.clone());
        decisions.extend(cluster.schedule(0, usize::MAX));
    }
    decisions
}

fn measure(load: &Workload, place: Place) -> Run {
    let mut rates = Vec::new();
    let mut last = None;
    for _ in 0..RUNS {
        let mut cluster = Cluster::new(Settings::default());
        load.workers.iter().for_each(|offer| cluster.upsert_worker(offer.clone()));
        load.filled.iter().for_each(|(vm, worker, charge)| cluster.reserve(*worker, *vm, charge.clone()));
        let start = rt::clock::now();
        let decisions = place(&mut cluster, load);
        rates.push(rate(decisions.len(), start.elapsed()));
        last = Some((cluster, decisions));
    }
    rates.sort_by(f64::total_cmp);
    let (placed, used, exact) = last.map_or((0, (0.0, 0.0), false), |(cluster, decisions)| {
        (decisions.len(), used(&cluster, load), exact(&cluster, load, &decisions))
    });
    Run { rate: rates[RUNS / 2], placed, used, exact }
}

#[allow(clippy::cast_precision_loss)] // a rate is shown without decimals
fn rate(placed: usize, elapsed: std::time::Duration) -> f64 {
    placed as f64 / elapsed.as_secs_f64()
}

#[allow(clippy::cast_precision_loss)] // a share is shown with two decimals
fn percent(part: usize, whole: usize) -> f64 {
    part as f64 * 100.0 / whole as f64
}

fn used(cluster: &Cluster, load: &Workload) -> (f64, f64) {
    let mut sums = [0_usize; 4];
    for usage in load.workers.iter().filter_map(|offer| cluster.usage(offer.uid)) {
        let (reserved, all) = (&usage.reserved.amounts, &usage.allocatable.amounts);
        let row = [reserved.cpu_milli, all.cpu_milli, reserved.memory >> 20, all.memory >> 20];
        sums.iter_mut().zip(row).for_each(|(sum, n)| *sum += usize::try_from(n).unwrap_or(usize::MAX));
    }
    (percent(sums[0], sums[1]), percent(sums[2], sums[3]))
}

/// Adds up the charges again, apart from the cluster's own books.
fn exact(cluster: &Cluster, load: &Workload, decisions: &[scheduler::Decision]) -> bool {
    let filled = load.filled.iter().map(|(_, worker, charge)| (*worker, charge));
    let placed = decisions.iter().map(|d| (d.worker, &d.charge));
    let mut sums: HashMap<Uid, Charge> = HashMap::new();
    for (worker, charge) in filled.chain(placed) {
        let sum = sums.entry(worker).or_default();
        sum.amounts.cpu_milli += charge.amounts.cpu_milli;
        sum.amounts.memory += charge.amounts.memory;
        sum.amounts.disk += charge.amounts.disk;
        for (name, n) in &charge.amounts.named {
            *sum.amounts.named.entry(name.clone()).or_default() += n;
        }
    }
    load.workers.iter().all(|offer| {
        let sum = sums.remove(&offer.uid).unwrap_or_default();
        cluster.usage(offer.uid).is_some_and(|usage| {
            let within = usage.reserved.amounts.cpu_milli <= usage.allocatable.amounts.cpu_milli
                && usage.reserved.amounts.memory <= usage.allocatable.amounts.memory
                && usage.reserved.amounts.disk <= usage.allocatable.amounts.disk;
            within && usage.reserved == sum
        })
    })
}
