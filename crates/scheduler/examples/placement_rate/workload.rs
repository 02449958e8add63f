//! The workers and VMs of the benchmark: the same ones each time.

use base::Uid;
use scheduler::{Amounts, Availability, Charge, Needs, Request, WorkerOffer};

const GIB: u64 = 1 << 30;

/// How full the cluster is when all VMs are placed, in percent of CPU and of memory.
const FULL: u64 = 85;

/// CPUs and GiB of memory per worker.
const SIZES: [(u64, u64); 12] = [
    (8, 16),
    (8, 32),
    (16, 32),
    (16, 64),
    (24, 64),
    (32, 64),
    (32, 128),
    (48, 128),
    (48, 192),
    (64, 128),
    (64, 256),
    (96, 256),
];

/// CPUs and GiB of memory per VM, with their weights.
const SHAPES: [(u64, u64, u64); 8] =
    [(1, 2, 25), (2, 4, 20), (2, 8, 20), (4, 8, 15), (4, 16, 8), (8, 16, 5), (8, 32, 5), (16, 32, 2)];

/// What is placed, where, and what is there already.
pub struct Workload {
    /// The workers.
    pub workers: Vec<WorkerOffer>,
    /// How many different shapes they have.
    pub shapes: usize,
    /// VMs that run already: VM, worker, charge.
    pub filled: Vec<(Uid, Uid, Charge)>,
    /// VMs to be placed, oldest first.
    pub requests: Vec<Request>,
}

impl Workload {
    /// A cluster of so many workers, filled so far that so many VMs make it 85 % full.
    pub fn new(workers: u64, vms: usize) -> Self {
        let mut random = Random(workers);
        let workers: Vec<WorkerOffer> = (0..workers).map(|n| worker(n, &mut random)).collect();
        let requests: Vec<Request> = (0..).take(vms).map(|n| request(n, &mut random)).collect();
        let filled = fill(&workers, &requests, &mut random);
        Workload { workers, shapes: SIZES.len() * 2, filled, requests }
    }
}

/// Every seventh worker has GPUs, every third is arm64, a quarter each is in a zone.
fn worker(n: u64, random: &mut Random) -> WorkerOffer {
    let (cpus, gib) = *random.pick(&SIZES);
    let gpus = if n.is_multiple_of(7) { vec![("gpu".to_string(), 8)] } else { vec![] };
    WorkerOffer {
        uid: Uid::from_parts(n, &[1; 10]),
        name: format!("w{n}"),
        arch: if n.is_multiple_of(3) { "arm64" } else { "amd64" }.into(),
        os: "linux".into(),
        runtimes: ["qemu".to_string()].into(),
        capabilities: [].into(),
        capacity: Amounts {
            cpu_milli: cpus * 1000,
            memory: gib * GIB,
            disk: gib * 16 * GIB,
            named: gpus.into_iter().collect(),
        },
        cpu_ratio_permille: 1000,
        labels: [("zone".to_string(), format!("z{}", random.below(4)))].into(),
        availability: Availability::Ready,
        images: [].into(),
        macos_slots: 0,
    }
}

/// Three in ten want a zone, an architecture or a GPU.
fn request(n: u64, random: &mut Random) -> Request {
    let mut needs = Needs { charge: Charge::new(shape(random), Some("linux")), ..Needs::default() };
    match random.below(100) {
        0..10 => needs.labels = [("zone".to_string(), format!("z{}", random.below(4)))].into(),
        10..20 => needs.arch = Some(if random.below(3) == 0 { "arm64" } else { "amd64" }.into()),
        20..30 => needs.charge.amounts.named = [("gpu".to_string(), 1)].into(),
        _ => {}
    }
    Request { vm: Uid::from_parts(n, &[2; 10]), project: "default".into(), needs, priority: 0, created_ms: n }
}

fn shape(random: &mut Random) -> Amounts {
    let mut left = random.below(SHAPES.iter().map(|(.., weight)| weight).sum());
    let (mut cpus, mut gib) = (1, 2);
    for (c, g, weight) in SHAPES {
        (cpus, gib) = (c, g);
        if left < weight {
            break;
        }
        left -= weight;
    }
    Amounts { cpu_milli: cpus * 1000, memory: gib * GIB, disk: 10 * GIB, named: [].into() }
}

/// Puts VMs on random workers until what is left for the requests is what they take at 85 %.
fn fill(workers: &[WorkerOffer], requests: &[Request], random: &mut Random) -> Vec<(Uid, Uid, Charge)> {
    let total = |f: fn(&Amounts) -> u64| -> (u64, u64) {
        let all = workers.iter().map(|w| f(&w.capacity)).sum::<u64>() / 100 * FULL;
        (all, requests.iter().map(|r| f(&r.needs.charge.amounts)).sum())
    };
    let ((cpu, wanted_cpu), (memory, wanted_memory)) = (total(|a| a.cpu_milli), total(|a| a.memory));
    let mut budget = (cpu.saturating_sub(wanted_cpu), memory.saturating_sub(wanted_memory));
    let mut free: Vec<(u64, u64)> =
        workers.iter().map(|w| (w.capacity.cpu_milli, w.capacity.memory)).collect();
    let mut filled = Vec::new();
    let mut misses = 0;
    while misses < 1_000 {
        let amounts = shape(random);
        let at = random.index(workers.len());
        let (need_cpu, need_memory) = (amounts.cpu_milli, amounts.memory);
        let fits = free[at].0 >= need_cpu && free[at].1 >= need_memory;
        if !fits || budget.0 < need_cpu || budget.1 < need_memory {
            misses += 1;
            continue;
        }
        misses = 0;
        budget = (budget.0 - need_cpu, budget.1 - need_memory);
        free[at] = (free[at].0 - need_cpu, free[at].1 - need_memory);
        let vm = Uid::from_parts(filled.len() as u64, &[3; 10]);
        filled.push((vm, workers[at].uid, Charge::new(amounts, Some("linux"))));
    }
    filled
}

/// SplitMix64: small, and the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    fn index(&mut self, n: usize) -> usize {
        usize::try_from(self.below(n as u64)).unwrap_or(0)
    }

    fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.index(of.len())]
    }
}
