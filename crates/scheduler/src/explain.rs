//! Why a VM waits: each worker counts once, under the first thing that keeps the VM off it.

use crate::{
    Availability, Cluster, Count, Explanation, Needs, Reason, Request, Resource, WorkerOffer,
    account::Worker, rank::Rank, search::image_ok, words,
};
use base::Uid;
use std::collections::{BTreeMap, HashMap};

/// What there is to say about one VM.
pub(crate) struct Findings<'a> {
    /// What it needs.
    pub needs: &'a Needs,
    /// How many workers have which reason.
    pub counts: Vec<Count>,
    /// The most that any of the workers that are too small has of what they lack.
    pub largest: BTreeMap<Resource<&'a str>, u64>,
    /// Its place among the VMs that the viewer may know of: 1 is first. None when it is not in the queue.
    pub position: Option<usize>,
    /// The worker that holds its disk, if it has one: its name and its reason.
    pub disk_on: Option<(&'a str, Reason)>,
}

/// Says why VMs wait, many of them about as fast as one: VMs with equal needs share the look at the workers, and those
/// with the same viewer the look at the queue.
pub struct Explainer<'a> {
    cluster: &'a Cluster,
    tallies: HashMap<u32, Tally<'a>>,
    queues: HashMap<Option<String>, Vec<Rank>>,
}

impl Explainer<'_> {
    /// Why this VM waits. `viewer` is the project for which it is said, or none for someone who may see all: VMs of
    /// other projects are neither named nor counted, and room held for one of them counts as taken. None when the VM
    /// does not wait, or is not the viewer's.
    pub fn explain(&mut self, vm: Uid, viewer: Option<&str>) -> Option<Explanation> {
        let cluster = self.cluster;
        let waiting = cluster.queue.get(vm)?;
        if viewer.is_some_and(|project| project != waiting.project) {
            return None;
        }
        let needs = &*cluster.queue.class(waiting.class)?.needs;
        let tally = self.tallies.entry(waiting.class).or_insert_with(|| cluster.tally(needs));
        let mut findings = cluster.findings(tally.clone(), needs, &waiting.rank, viewer);
        let queue = self.queues.entry(viewer.map(ToOwned::to_owned)).or_insert_with(|| cluster.line(viewer));
        findings.position = Some(queue.partition_point(|rank| *rank < waiting.rank) + 1);
        Some(words::explain(findings))
    }
}

/// How many workers have which reason.
#[derive(Clone, Default)]
struct Tally<'a> {
    workers: Vec<(Reason<&'a str>, usize)>,
    largest: BTreeMap<Resource<&'a str>, u64>,
    disk_on: Option<(&'a str, Reason)>,
}

impl<'a> Tally<'a> {
    fn add(&mut self, offer: &'a WorkerOffer, needs: &Needs, (reason, has): (Reason<&'a str>, u64)) {
        if needs.pinned == Some(offer.uid) {
            self.disk_on = Some((offer.name.as_str(), reason.owned()));
        }
        if let Reason::TooSmall(resource) = reason {
            let most = self.largest.entry(resource).or_default();
            *most = (*most).max(has);
        }
        match self.workers.iter_mut().find(|(said, _)| *said == reason) {
            Some((_, workers)) => *workers += 1,
            None => self.workers.push((reason, 1)),
        }
    }

    fn findings(self, needs: &'a Needs) -> Findings<'a> {
        let Tally { mut workers, largest, disk_on } = self;
        workers.sort_by_key(|(reason, workers)| (std::cmp::Reverse(*workers), *reason));
        let counts =
            workers.into_iter().map(|(reason, workers)| Count { reason: reason.owned(), workers }).collect();
        Findings { needs, counts, largest, position: None, disk_on }
    }
}

impl Cluster {
    /// For saying why VMs wait, as long as nothing changes.
    ///
    /// The first VM of each kind of needs costs a look at every worker: say it when asked, not at every change.
    pub fn explainer(&self) -> Explainer<'_> {
        Explainer { cluster: self, tallies: HashMap::new(), queues: HashMap::new() }
    }

    /// Why this one VM waits: see [`Explainer::explain`].
    pub fn explain(&self, vm: Uid, viewer: Option<&str>) -> Option<Explanation> {
        self.explainer().explain(vm, viewer)
    }

    /// Why a request that is not in the queue would wait, for its own project.
    pub(crate) fn explain_request(&self, request: &Request) -> Explanation {
        let needs = &request.needs;
        let rank = Rank::of(request);
        words::explain(self.findings(self.tally(needs), needs, &rank, Some(&request.project)))
    }

    /// The same as [`Cluster::explain`], by a look at each worker and at each waiting VM for this one alone.
    #[cfg(test)]
    pub(crate) fn explain_alone(&self, vm: Uid, viewer: Option<&str>) -> Option<Explanation> {
        let waiting = self.queue.get(vm).filter(|w| viewer.is_none_or(|viewer| viewer == w.project))?;
        let needs = &*self.queue.class(waiting.class)?.needs;
        let mut tally = Tally::default();
        for (_, worker, offer) in self.fleet.members() {
            tally.add(offer, needs, self.reason(worker, offer, needs, Some(&waiting.rank), viewer));
        }
        let visible = |project: &str| viewer.is_none_or(|viewer| viewer == project);
        let ahead = self.queue.iter().filter(|w| w.rank < waiting.rank && visible(&w.project)).count();
        let mut findings = tally.findings(needs);
        findings.position = Some(ahead + 1);
        Some(words::explain(findings))
    }

    /// What there is to say of all workers that nobody holds: the same for all who need the same.
    fn tally<'a>(&'a self, needs: &'a Needs) -> Tally<'a> {
        let mut tally = Tally::default();
        for (slot, worker, offer) in self.fleet.members() {
            if !self.fleet.held().contains(&slot) {
                tally.add(offer, needs, self.reason(worker, offer, needs, None, None));
            }
        }
        tally
    }

    /// Adds the held workers, where it depends on who asks and on his place in the queue.
    fn findings<'a>(
        &'a self,
        mut tally: Tally<'a>,
        needs: &'a Needs,
        rank: &Rank,
        viewer: Option<&str>,
    ) -> Findings<'a> {
        for slot in self.fleet.held() {
            if let Some(worker) = self.fleet.worker(*slot)
                && let Some(offer) = &worker.offer
            {
                tally.add(offer, needs, self.reason(worker, offer, needs, Some(rank), viewer));
            }
        }
        tally.findings(needs)
    }

    /// The queue, first to last, as far as the viewer may know of it.
    fn line(&self, viewer: Option<&str>) -> Vec<Rank> {
        let visible = self.queue.iter().filter(|w| viewer.is_none_or(|viewer| viewer == w.project));
        let mut line: Vec<Rank> = visible.map(|w| w.rank).collect();
        line.sort_unstable();
        line
    }

    /// The first thing that keeps the VM off this worker, and how much the worker has if it is too small.
    fn reason<'a>(
        &self,
        worker: &'a Worker,
        offer: &'a WorkerOffer,
        needs: &'a Needs,
        rank: Option<&Rank>,
        viewer: Option<&str>,
    ) -> (Reason<&'a str>, u64) {
        if let Some(reason) = fixed_reason(worker, offer, needs) {
            return (reason, 0);
        }
        let lines = || worker.lines(&needs.charge, rank);
        if let Some(line) = lines().find(|line| line.capacity < line.want) {
            return (Reason::TooSmall(line.resource), line.capacity);
        }
        let Some(line) = lines().find(|line| line.free < line.want) else { return (Reason::Fits, 0) };
        let holder = worker.hold.as_ref().map(|hold| hold.rank);
        let held = holder.is_some_and(|holder| worker.fits(&needs.charge, Some(&holder)));
        let holder = holder.filter(|_| held).and_then(|holder| self.queue.get(holder.vm));
        match holder {
            Some(holder) if viewer.is_none_or(|viewer| viewer == holder.project) => (Reason::Held, 0),
            _ => (Reason::Lacks(line.resource), 0),
        }
    }
}

/// The first thing that no number changes.
fn fixed_reason<'a>(worker: &Worker, offer: &'a WorkerOffer, needs: &'a Needs) -> Option<Reason<&'a str>> {
    if needs.pinned.is_some_and(|uid| uid != worker.uid) {
        return Some(Reason::DiskElsewhere);
    }
    match offer.availability {
        Availability::Offline => return Some(Reason::Offline),
        Availability::Cordoned => return Some(Reason::Cordoned),
        Availability::Ready => {}
    }
    if needs.arch.as_ref().is_some_and(|arch| *arch != offer.arch) {
        return Some(Reason::Arch(&offer.arch));
    }
    if needs.os.as_ref().is_some_and(|os| *os != offer.os) {
        return Some(Reason::Os(&offer.os));
    }
    if let Some(runtime) = needs.runtime.as_ref().filter(|r| !offer.runtimes.contains(*r)) {
        return Some(Reason::Runtime(runtime));
    }
    if let Some(capability) = needs.capabilities.difference(&offer.capabilities).next() {
        return Some(Reason::Capability(capability));
    }
    if let Some((key, value)) = needs.labels.iter().find(|(key, value)| offer.labels.get(*key) != Some(value))
    {
        return Some(Reason::Label(key, value));
    }
    let names = &worker.capacity().amounts.named;
    if let Some(name) = needs.charge.amounts.named.keys().find(|name| !names.contains_key(*name)) {
        return Some(Reason::NoResource(name));
    }
    (!image_ok(offer, needs)).then_some(Reason::Image)
}
