//! The yardsticks: for every VM look at every worker and take the best one.

use crate::workload::Workload;
use scheduler::{Amounts, Request, WorkerOffer};
use std::collections::HashMap;

/// What it came to.
pub struct Outcome {
    /// Placements per second.
    pub rate: f64,
    /// How many VMs were placed.
    pub placed: usize,
}

/// What a worker is judged by: what is free, what is wanted, what there is. Lower is better.
pub type Score = fn(&Amounts, &Amounts, &Amounts) -> (usize, u64);

/// Best fit: the worker on which least CPU and memory is left over.
pub fn best_fit(free: &Amounts, want: &Amounts, capacity: &Amounts) -> (usize, u64) {
    (0, left_over(free, want, capacity))
}

/// Best fit, but workers with named resources that the VM does not want come last.
pub fn sparing_fit(free: &Amounts, want: &Amounts, capacity: &Amounts) -> (usize, u64) {
    (capacity.named.len() - want.named.len(), left_over(free, want, capacity))
}

/// Places the whole workload in its order.
pub fn place(load: &Workload, score: Score) -> Outcome {
    let mut free: Vec<Amounts> = load.workers.iter().map(|w| w.capacity.clone()).collect();
    let index: HashMap<_, _> = load.workers.iter().enumerate().map(|(i, w)| (w.uid, i)).collect();
    for (_, worker, charge) in &load.filled {
        take(&mut free[index[worker]], &charge.amounts);
    }
    let start = rt::clock::now();
    let mut placed = 0;
    for request in &load.requests {
        let want = &request.needs.charge.amounts;
        let fits = |i: &usize| admits(&load.workers[*i], request) && covers(&free[*i], want);
        let rank = |i: &usize| (score(&free[*i], want, &load.workers[*i].capacity), load.workers[*i].uid);
        if let Some(best) = (0..free.len()).filter(fits).min_by_key(rank) {
            take(&mut free[best], want);
            placed += 1;
        }
    }
    Outcome { rate: crate::rate(placed, start.elapsed()), placed }
}

fn admits(worker: &WorkerOffer, request: &Request) -> bool {
    let needs = &request.needs;
    needs.arch.as_ref().is_none_or(|arch| *arch == worker.arch)
        && needs.labels.iter().all(|(key, value)| worker.labels.get(key) == Some(value))
}

fn covers(free: &Amounts, want: &Amounts) -> bool {
    free.cpu_milli >= want.cpu_milli
        && free.memory >= want.memory
        && free.disk >= want.disk
        && want.named.iter().all(|(name, n)| free.named.get(name) >= Some(n))
}

/// Free shares of CPU and memory after the placement, in millionths.
fn left_over(free: &Amounts, want: &Amounts, capacity: &Amounts) -> u64 {
    (free.cpu_milli - want.cpu_milli) * 1_000_000 / capacity.cpu_milli
        + ((free.memory - want.memory) >> 20) * 1_000_000 / (capacity.memory >> 20)
}

fn take(free: &mut Amounts, want: &Amounts) {
    free.cpu_milli -= want.cpu_milli;
    free.memory -= want.memory;
    free.disk -= want.disk;
    for (name, n) in &want.named {
        if let Some(left) = free.named.get_mut(name) {
            *left -= n;
        }
    }
}
