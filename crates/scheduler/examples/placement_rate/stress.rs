//! Places where an index could lose its speed.

use crate::workload::Workload;
use scheduler::{Cluster, Request, Settings};
use std::time::Duration;

/// How many times each event is repeated.
const EVENTS: usize = 2_000;

fn cluster(load: &Workload) -> Cluster {
    let mut cluster = Cluster::new(Settings::default());
    for offer in &load.workers {
        cluster.upsert_worker(offer.clone());
    }
    cluster
}

/// Every worker has a label that no other has, so no two of them form a group. Placements per second.
pub fn labels_of_their_own(load: &Workload) -> f64 {
    let mut cluster = cluster(load);
    for offer in &load.workers {
        let mut offer = offer.clone();
        offer.labels.insert("host".into(), offer.name.clone());
        cluster.upsert_worker(offer);
    }
    for request in &load.requests {
        cluster.submit(request.clone());
    }
    let start = rt::clock::now();
    let placed = cluster.schedule(0, usize::MAX).len();
    crate::rate(placed, start.elapsed())
}

/// A full cluster where as many VMs wait, no two of them alike and each a bit larger than any room: what one VM that
/// leaves and one that comes cost, and what one explanation costs.
pub fn full(load: &Workload) -> (Duration, Duration) {
    let mut cluster = cluster(load);
    let small = |request: &Request| {
        let mut request = request.clone();
        (request.needs.charge.amounts.cpu_milli, request.needs.charge.amounts.memory) = (4_000, 1 << 30);
        request
    };
    let mut running: Vec<Request> = Vec::new();
    for request in load.requests.iter().chain(&load.requests).map(small) {
        let vm = base::Uid::from_parts(running.len() as u64, &[4; 10]);
        running.push(Request { vm, ..request });
    }
    for request in &running {
        cluster.submit(request.clone());
    }
    let decisions = cluster.schedule(0, usize::MAX);
    for request in &running {
        cluster.withdraw(request.vm);
    }
    for (n, request) in (0..).zip(&load.requests) {
        let mut request = request.clone();
        request.needs.charge.amounts.cpu_milli = 200_000 + n;
        cluster.submit(request);
    }
    cluster.schedule(1, usize::MAX);
    let by_vm: std::collections::HashMap<_, _> = running.iter().map(|r| (r.vm, r)).collect();
    let start = rt::clock::now();
    for decision in decisions.iter().take(EVENTS) {
        cluster.release(decision.vm);
        cluster.submit(by_vm[&decision.vm].clone());
        cluster.schedule(2, usize::MAX);
    }
    let event = start.elapsed() / u32::try_from(EVENTS).unwrap_or(1);
    let start = rt::clock::now();
    let explained = load.requests.iter().take(EVENTS).filter_map(|r| cluster.explain(r.vm, None)).count();
    (event, start.elapsed() / u32::try_from(explained).unwrap_or(1))
}
