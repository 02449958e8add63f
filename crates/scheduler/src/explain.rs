//! Why a VM waits: each worker counts once, under the first thing that keeps the VM off it.

use crate::{
    Availability, Cluster, Count, Explanation, Needs, Reason, Request, Resource, WorkerOffer,
    account::Worker, rank::Rank, search::image_ok, words,
};
use base::Uid;
use std::collections::BTreeMap;

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

impl Cluster {
    /// Why this VM waits. `viewer` is the project for which it is said, or none for someone who may see all: VMs of
    /// other projects are neither named nor counted, and room held for one of them counts as taken. None when the VM
    /// does not wait, or is not the viewer's.
    ///
    /// Costs a look at every worker and every waiting VM: say it when asked, not at every change.
    pub fn explain(&self, vm: Uid, viewer: Option<&str>) -> Option<Explanation> {
        let waiting = self.queue.get(vm)?;
        if viewer.is_some_and(|project| project != waiting.project) {
            return None;
        }
        let class = self.queue.class(waiting.class)?;
        let visible = |project: &str| viewer.is_none_or(|viewer| viewer == project);
        let ahead = self.queue.iter().filter(|w| w.rank < waiting.rank && visible(&w.project)).count();
        let mut findings = self.findings(&class.needs, &waiting.rank, viewer);
        findings.position = Some(ahead + 1);
        Some(words::explain(findings))
    }

    /// Why a request that is not in the queue would wait, for its own project.
    pub(crate) fn explain_request(&self, request: &Request) -> Explanation {
        words::explain(self.findings(&request.needs, &Rank::of(request), Some(&request.project)))
    }

    fn findings<'a>(&'a self, needs: &'a Needs, rank: &Rank, viewer: Option<&str>) -> Findings<'a> {
        let mut tally: Vec<(Reason<&str>, usize)> = Vec::new();
        let mut largest: BTreeMap<Resource<&str>, u64> = BTreeMap::new();
        let mut disk_on = None;
        for (_, worker, offer) in self.fleet.members() {
            let (reason, has) = self.reason(worker, offer, needs, rank, viewer);
            if needs.pinned == Some(worker.uid) {
                disk_on = Some((offer.name.as_str(), reason.owned()));
            }
            if let Reason::TooSmall(resource) = reason {
                let most = largest.entry(resource).or_default();
                *most = (*most).max(has);
            }
            match tally.iter_mut().find(|(said, _)| *said == reason) {
                Some((_, workers)) => *workers += 1,
                None => tally.push((reason, 1)),
            }
        }
        tally.sort_by_key(|(reason, workers)| (std::cmp::Reverse(*workers), *reason));
        let counts =
            tally.into_iter().map(|(reason, workers)| Count { reason: reason.owned(), workers }).collect();
        Findings { needs, counts, largest, position: None, disk_on }
    }

    /// The first thing that keeps the VM off this worker, and how much the worker has if it is too small.
    fn reason<'a>(
        &self,
        worker: &'a Worker,
        offer: &'a WorkerOffer,
        needs: &'a Needs,
        rank: &Rank,
        viewer: Option<&str>,
    ) -> (Reason<&'a str>, u64) {
        if let Some(reason) = fixed_reason(worker, offer, needs) {
            return (reason, 0);
        }
        let lines = || worker.lines(&needs.charge, Some(rank));
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
