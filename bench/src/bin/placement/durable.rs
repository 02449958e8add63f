//! One checked commit per VM: the controller over its store, without links and without HTTP.

use crate::{
    books,
    objects::{self, Waiting},
    per_second, percent,
    workload::Workload,
};
use api::{Vm, Worker, worker::Amounts};
use base::{Result, Uid};
use bench::{Row, rate};
use controller::{Any, Controller, Options, Sees};
use rt::clock::Instant;
use std::{collections::HashMap, path::Path, sync::Arc, time::Duration};
use store::{Commit, Store};

/// Without a change for this long, what still waits waits for good.
const QUIET: Duration = Duration::from_secs(3);
/// Commits of the floor at the same time: as many as the controller has in flight.
const AT_ONCE: usize = 256;

/// What it came to.
pub struct Outcome {
    rate: f64,
    floor: f64,
    placed: usize,
    exact: bool,
}

/// Starts a controller over a store in which all VMs wait, and follows it until they are placed.
pub async fn measure(load: &Workload) -> Result<Outcome> {
    let dir = tempfile::tempdir().map_err(|e| base::Error::io("make a directory", &e))?;
    let store: Arc<dyn Store> =
        Arc::new(objects::store(&dir.path().join("store.db"), load, Waiting::There).await?);
    let before = store.revision();
    let data_dir = dir.path().join("state");
    rt::files::private_dir(&data_dir)?;
    // No operation with a fleet directory runs here.
    let options = Options { data_dir, program: std::path::PathBuf::default() };
    let controller = Controller::start(store, options).await?;
    let (rate, placed) = follow(&controller, before, load.requests.len()).await?;
    let exact = exact(&controller);
    drop(controller);
    Ok(Outcome { rate, floor: floor(dir.path(), load.requests.len()).await?, placed, exact })
}

/// From the first VM that has its place to the last.
async fn follow(controller: &Controller, since: base::Revision, wanted: usize) -> Result<(f64, usize)> {
    let mut follower = controller.view().follow(since);
    let (mut placed, mut first, mut last) = (0, None::<(Instant, usize)>, rt::clock::now());
    while placed < wanted {
        let Ok(changes) = rt::clock::timeout(QUIET, "a placement", follower.next()).await else { break };
        let news = changes?.iter().filter(|c| matches!(&c.object, Any::Vm(vm) if vm.status.admitted)).count();
        if news == 0 {
            continue;
        }
        placed += news;
        last = rt::clock::now();
        first.get_or_insert((last, placed));
    }
    let (start, not_counted) = first.unwrap_or((last, 0));
    Ok((rate(placed - not_counted, last - start), placed))
}

/// Whether what the books have reserved on each worker is what its VMs are charged.
fn exact(controller: &Controller) -> bool {
    let all = controller::PageQuery { limit: usize::MAX, ..controller::PageQuery::default() };
    let vms = controller.list::<Vm>(None, &Sees::Everything, &all).items;
    let workers = controller.list_workers(&Sees::Everything, &all).items;
    agree(&vms, &workers)
}

/// The same from what the API answers.
pub fn agree(vms: &[Vm], workers: &[Worker]) -> bool {
    let mut sums: HashMap<Uid, Amounts> = HashMap::new();
    for vm in vms.iter().filter(|vm| vm.status.admitted) {
        let (Some(worker), Some(charged)) = (&vm.status.worker, &vm.status.charged) else { return false };
        let sum = sums.entry(worker.uid).or_default();
        sum.cpu_milli += charged.cpu_milli;
        sum.memory.0 += charged.memory.0;
        sum.disk.0 += charged.disk.0;
        for (name, n) in &charged.named {
            *sum.named.entry(name.clone()).or_default() += n;
        }
    }
    workers.iter().all(|w| {
        let (sum, all) = (sums.remove(&w.metadata.uid).unwrap_or_default(), &w.status.allocatable);
        let within = sum.cpu_milli <= all.cpu_milli && sum.memory <= all.memory && sum.disk <= all.disk;
        within && sum == w.status.reserved
    })
}

/// The store alone: as many commits of one such object, as many at once.
async fn floor(dir: &Path, commits: usize) -> Result<f64> {
    let store =
        store::sqlite::SqliteStore::open(dir.join("floor.db"), store::sqlite::Options::default()).await?;
    let start = rt::clock::now();
    let mut writing = futures::stream::FuturesUnordered::new();
    for n in 0..commits {
        if writing.len() == AT_ONCE {
            futures::StreamExt::next(&mut writing).await;
        }
        let key = format!("/vms/default/vm-{n}");
        writing.push(store.commit(Commit::new().absent(&key).put(key, vec![b'v'; 1200])));
    }
    while futures::StreamExt::next(&mut writing).await.is_some() {}
    Ok(rate(commits, start.elapsed()))
}

impl Outcome {
    /// Reports it.
    pub fn rows(&self, workers: u64, best: usize) {
        Row::new(format!("placement, durable, {workers} workers"), per_second(self.rate))
            .target("4,000/s", self.rate >= 4_000.0)
            .beside(format!("the store alone {}", per_second(self.floor)), Some(self.rate / self.floor))
            .print();
        let share = percent(self.placed, best);
        Row::new(format!("placed durably, {workers} workers"), self.placed.to_string())
            .target("within 2 % of exhaustive", share >= crate::NEARLY_ALL)
            .beside(format!("exhaustive scorer {best}"), Some(share / 100.0))
            .print();
        books(&format!("durable, {workers} workers"), self.exact);
    }
}
