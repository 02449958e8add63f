//! Tests of the public API. Each file has one subject.

mod holds;
mod index;
mod placement;
mod properties;
mod sentences;

use crate::{Amounts, Availability, Charge, Cluster, Decision, Needs, Request, Settings, WorkerOffer};
use base::Uid;

const GIB: u64 = 1 << 30;

/// The uid of worker `n`.
fn w(n: u64) -> Uid {
    Uid::from_parts(n, &[1; 10])
}

/// The uid of VM `n`.
fn v(n: u64) -> Uid {
    Uid::from_parts(n, &[2; 10])
}

/// The uid of image `n`.
fn image(n: u64) -> Uid {
    Uid::from_parts(n, &[3; 10])
}

fn amounts(cpus: u64, gib: u64) -> Amounts {
    Amounts { cpu_milli: cpus * 1000, memory: gib * GIB, disk: 0, named: [].into() }
}

/// An amd64 Linux worker with qemu, 100 GiB of disk and the given CPUs and GiB of memory.
fn offer(n: u64, cpus: u64, gib: u64) -> WorkerOffer {
    WorkerOffer {
        uid: w(n),
        name: format!("w{n}"),
        arch: "amd64".into(),
        os: "linux".into(),
        runtimes: ["qemu".to_string()].into(),
        capabilities: [].into(),
        capacity: Amounts { disk: 100 * GIB, ..amounts(cpus, gib) },
        cpu_ratio_permille: 1000,
        labels: [].into(),
        availability: Availability::Ready,
        images: [].into(),
        macos_slots: 0,
    }
}

/// A VM with these CPUs and GiB of memory that any worker will do for; created at its number.
fn request(n: u64, cpus: u64, gib: u64) -> Request {
    let needs = Needs { charge: Charge::new(amounts(cpus, gib), None), ..Needs::default() };
    Request { vm: v(n), project: "default".into(), needs, priority: 0, created_ms: n }
}

fn cluster(offers: impl IntoIterator<Item = WorkerOffer>) -> Cluster {
    let mut cluster = Cluster::new(Settings::default());
    offers.into_iter().for_each(|offer| cluster.upsert_worker(offer));
    cluster
}

/// Which VM went to which worker.
fn moves(decisions: &[Decision]) -> Vec<(Uid, Uid)> {
    decisions.iter().map(|d| (d.vm, d.worker)).collect()
}

fn place_all(cluster: &mut Cluster) -> Vec<(Uid, Uid)> {
    moves(&cluster.schedule(0, usize::MAX))
}
