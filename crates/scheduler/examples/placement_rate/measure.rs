//! Places a workload and checks the books.

use crate::workload::Workload;
use base::Uid;
use scheduler::{Charge, Cluster, Settings};
use std::collections::HashMap;

const RUNS: usize = 5;

/// What one way of placing came to.
pub struct Run {
    /// Placements per second: the median of five runs.
    pub rate: f64,
    /// How many VMs were placed.
    pub placed: usize,
    /// Used share of CPU and memory, in percent.
    pub used: (f64, f64),
    /// Whether the books of every worker are the sum of its charges, and within what it has.
    pub exact: bool,
}

/// Places a workload; where each VM went.
pub type Place = fn(&mut Cluster, &Workload) -> Vec<scheduler::Decision>;

/// All VMs are submitted, then placed.
pub fn place_at_once(cluster: &mut Cluster, load: &Workload) -> Vec<scheduler::Decision> {
    for request in &load.requests {
        cluster.submit(request.clone());
    }
    cluster.schedule(0, usize::MAX)
}

/// Each VM is submitted and placed by itself.
pub fn place_one_by_one(cluster: &mut Cluster, load: &Workload) -> Vec<scheduler::Decision> {
    let mut decisions = Vec::with_capacity(load.requests.len());
    for request in &load.requests {
        cluster.submit(request.clone());
        decisions.extend(cluster.schedule(0, usize::MAX));
    }
    decisions
}

/// Places a workload five times.
pub fn measure(load: &Workload, place: Place) -> Run {
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
/// So many per second.
pub fn rate(placed: usize, elapsed: std::time::Duration) -> f64 {
    placed as f64 / elapsed.as_secs_f64()
}

#[allow(clippy::cast_precision_loss)] // a share is shown with two decimals
/// A share, in percent.
pub fn percent(part: usize, whole: usize) -> f64 {
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
