//! All workers, grouped by what does not change from one placement to the next.
//!
//! Workers that are equal in architecture, OS, runtimes, capabilities, labels and named resources form a group, so a
//! request is matched against groups, and only numbers are compared within them.

use crate::{
    Availability, Charge, Needs, Profile, WorkerOffer,
    account::{BASE, Hold, Place, Worker},
    images::Images,
    ranked::{Candidate, Key, Ranked, Wanted},
    slots::Slots,
};
use base::Uid;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// What the workers of a group have in common.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Kind {
    arch: String,
    os: String,
    runtimes: BTreeSet<String>,
    capabilities: BTreeSet<String>,
    labels: BTreeMap<String, String>,
    /// The named resources, sorted.
    names: Vec<String>,
}

impl Kind {
    fn of(offer: &WorkerOffer, names: Vec<String>) -> Self {
        Kind {
            arch: offer.arch.clone(),
            os: offer.os.clone(),
            runtimes: offer.runtimes.clone(),
            capabilities: offer.capabilities.clone(),
            labels: offer.labels.clone(),
            names,
        }
    }

    /// The named resources, sorted.
    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    /// How many of its named resources these needs do not ask for. Packing keeps those for others.
    pub(crate) fn spared(&self, needs: &Needs) -> usize {
        self.names.len().saturating_sub(needs.charge.amounts.named.len())
    }

    /// Whether a worker of this kind will do, but for numbers and images.
    pub(crate) fn admits(&self, needs: &Needs) -> bool {
        needs.arch.as_ref().is_none_or(|arch| *arch == self.arch)
            && needs.os.as_ref().is_none_or(|os| *os == self.os)
            && needs.runtime.as_ref().is_none_or(|runtime| self.runtimes.contains(runtime))
            && needs.capabilities.is_subset(&self.capabilities)
            && needs.labels.iter().all(|(key, value)| self.labels.get(key) == Some(value))
    }
}

struct Group {
    kind: Arc<Kind>,
    order: Ranked,
    members: usize,
    last_placement: u64,
}

/// All workers.
#[derive(Default)]
pub(crate) struct Fleet {
    profile: Profile,
    workers: Slots<Worker>,
    by_uid: HashMap<Uid, u32>,
    groups: Slots<Group>,
    by_kind: HashMap<Arc<Kind>, u32>,
    images: Images,
    /// Raised when a group comes or goes.
    version: u64,
    /// How many placements were made.
    placements: u64,
    /// Workers that are held for someone.
    held: BTreeSet<u32>,
    row: Vec<u64>,
}

impl Fleet {
    /// The slot of a worker.
    pub(crate) fn slot(&self, uid: Uid) -> Option<u32> {
        self.by_uid.get(&uid).copied()
    }

    /// The worker in a slot.
    pub(crate) fn worker(&self, slot: u32) -> Option<&Worker> {
        self.workers.get(slot)
    }

    /// All workers that are part of the cluster, in the order of their slots.
    pub(crate) fn members(&self) -> impl Iterator<Item = (u32, &Worker, &WorkerOffer)> {
        self.workers.iter().filter_map(|(slot, worker)| Some((slot, worker, worker.offer.as_ref()?)))
    }

    /// The number of workers that take VMs.
    pub(crate) fn ready_workers(&self) -> usize {
        self.groups.iter().map(|(_, g)| g.members).sum()
    }

    /// Changes when a group comes or goes.
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// All groups.
    pub(crate) fn kinds(&self) -> impl Iterator<Item = (u32, &Kind)> {
        self.groups.iter().map(|(index, group)| (index, &*group.kind))
    }

    /// What the workers of a group have in common.
    pub(crate) fn kind(&self, group: u32) -> Option<&Kind> {
        Some(&*self.groups.get(group)?.kind)
    }

    /// Improves `best` by the best worker of a group.
    pub(crate) fn search_group(&self, group: u32, wanted: &Wanted<'_>, best: &mut Option<Candidate>) {
        if let Some(group) = self.groups.get(group) {
            group.order.search(wanted, best);
        }
    }

    /// The workers of a group.
    pub(crate) fn members_of(&self, group: u32) -> impl Iterator<Item = u32> {
        self.groups.get(group).into_iter().flat_map(|g| g.order.keys()).map(|key| key.worker)
    }

    /// The number of the last placement in a group.
    pub(crate) fn last_in_group(&self, group: u32) -> u64 {
        self.groups.get(group).map_or(0, |g| g.last_placement)
    }

    /// Who holds which images.
    pub(crate) fn images(&self) -> &Images {
        &self.images
    }

    /// The number of the last placement.
    pub(crate) fn placements(&self) -> u64 {
        self.placements
    }

    /// The workers that are held for someone.
    pub(crate) fn held(&self) -> &BTreeSet<u32> {
        &self.held
    }

    /// Whether the profile is to pack.
    pub(crate) fn packs(&self) -> bool {
        self.profile == Profile::Pack
    }

    /// Changes the profile: every worker moves to its new place.
    pub(crate) fn set_profile(&mut self, profile: Profile) {
        if self.profile != profile {
            self.profile = profile;
            let slots: Vec<u32> = self.workers.iter().map(|(slot, _)| slot).collect();
            for slot in slots {
                self.rebook(slot, |_| ());
            }
        }
    }

    /// The slot of a worker, made if need be.
    pub(crate) fn slot_for(&mut self, uid: Uid) -> u32 {
        if let Some(slot) = self.slot(uid) {
            return slot;
        }
        let slot = self.workers.insert(Worker::new(uid));
        self.by_uid.insert(uid, slot);
        slot
    }

    /// Takes a new offer, or none. False when it is the same as before.
    pub(crate) fn offer(&mut self, slot: u32, offer: Option<WorkerOffer>) -> bool {
        let Some(worker) = self.workers.get(slot) else { return false };
        if worker.offer == offer {
            return false;
        }
        if let Some(old) = &worker.offer {
            self.images.remove(slot, &old.images);
        }
        if let Some(new) = &offer {
            self.images.add(slot, &new.images);
        }
        self.leave(slot);
        if let Some(worker) = self.workers.get_mut(slot) {
            worker.set_offer(offer);
        }
        self.join(slot);
        true
    }

    /// Forgets a worker that offers nothing and owes nothing.
    pub(crate) fn forget_if_empty(&mut self, slot: u32) {
        if let Some(worker) = self.workers.get(slot)
            && worker.offer.is_none()
            && worker.vms == 0
        {
            self.by_uid.remove(&worker.uid);
            self.workers.remove(slot);
        }
    }

    /// Charges a VM, wherever it may lead.
    pub(crate) fn charge(&mut self, slot: u32, charge: &Charge) {
        self.rebook(slot, |worker| worker.charge(charge));
    }

    /// Gives back what a VM was charged.
    pub(crate) fn refund(&mut self, slot: u32, charge: &Charge) {
        self.rebook(slot, |worker| {
            worker.refund(charge);
            if let Some(hold) = &mut worker.hold {
                hold.progressed = true;
            }
        });
    }

    /// Charges a VM that placement put here.
    pub(crate) fn place(&mut self, slot: u32, charge: &Charge) {
        self.placements += 1;
        let number = self.placements;
        self.rebook(slot, |worker| {
            worker.charge(charge);
            worker.last_placement = number;
        });
        if let Some(group) = self.worker(slot).and_then(|w| w.place.as_ref()).map(|place| place.group)
            && let Some(group) = self.groups.get_mut(group)
        {
            group.last_placement = number;
        }
    }

    /// Holds a worker for someone, or for no one.
    pub(crate) fn set_hold(&mut self, slot: u32, hold: Option<Hold>) {
        if hold.is_some() {
            self.held.insert(slot)
        } else {
            self.held.remove(&slot)
        };
        self.rebook(slot, |worker| worker.hold = hold);
    }

    /// Notes what left held workers. Those from which nothing left for `patience_ms` are returned.
    pub(crate) fn stale_holds(&mut self, now_ms: u64, patience_ms: u64) -> Vec<u32> {
        let mut stale = Vec::new();
        for slot in &self.held {
            let Some(hold) = self.workers.get_mut(*slot).and_then(|w| w.hold.as_mut()) else {
                continue;
            };
            if std::mem::take(&mut hold.progressed) {
                hold.progress_ms = now_ms;
            } else if now_ms.saturating_sub(hold.progress_ms) >= patience_ms {
                stale.push(*slot);
            }
        }
        stale
    }

    /// Changes the books of a worker and moves it to its new place in its group.
    fn rebook(&mut self, slot: u32, f: impl FnOnce(&mut Worker)) {
        let Some(worker) = self.workers.get_mut(slot) else { return };
        f(worker);
        let Some(Place { group: index, key: old }) = worker.place else { return };
        let Some(group) = self.groups.get_mut(index) else { return };
        let new = key(self.profile, slot, worker);
        worker.free(&group.kind.names, None, &mut self.row);
        group.order.remove(&old);
        group.order.insert(new, &self.row);
        worker.place = Some(Place { group: index, key: new });
    }

    /// Takes a worker out of its group, and an empty group out of the fleet.
    fn leave(&mut self, slot: u32) {
        let Some(worker) = self.workers.get_mut(slot) else { return };
        let Some(place) = worker.place.take() else { return };
        let Some(group) = self.groups.get_mut(place.group) else { return };
        group.order.remove(&place.key);
        group.members -= 1;
        if group.members == 0 {
            self.by_kind.remove(&group.kind);
            self.groups.remove(place.group);
            self.version += 1;
        }
    }

    /// Puts a worker that takes VMs into its group.
    fn join(&mut self, slot: u32) {
        let Some(worker) = self.worker(slot) else { return };
        let Some(offer) = worker.offer.as_ref().filter(|o| o.availability == Availability::Ready) else {
            return;
        };
        let kind = Kind::of(offer, worker.names());
        let index = self.group_for(kind);
        if let (Some(group), Some(worker)) = (self.groups.get_mut(index), self.workers.get_mut(slot)) {
            let key = key(self.profile, slot, worker);
            worker.free(&group.kind.names, None, &mut self.row);
            group.order.insert(key, &self.row);
            group.members += 1;
            worker.place = Some(Place { group: index, key });
        }
    }

    fn group_for(&mut self, kind: Kind) -> u32 {
        if let Some(index) = self.by_kind.get(&kind) {
            return *index;
        }
        let kind = Arc::new(kind);
        let order = Ranked::new(BASE + kind.names.len());
        let group = Group { kind: kind.clone(), order, members: 0, last_placement: 0 };
        let index = self.groups.insert(group);
        self.by_kind.insert(kind, index);
        self.version += 1;
        index
    }
}

fn key(profile: Profile, slot: u32, worker: &Worker) -> Key {
    let load = worker.load();
    let score = match profile {
        Profile::Pack => 1_000_000 - load,
        Profile::Spread => load,
    };
    Key { score, uid: worker.uid, worker: slot }
}
