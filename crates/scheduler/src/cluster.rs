//! The cluster: what changes is told to it one by one, and `schedule` places what can be placed.

use crate::{
    Charge, Decision, Explanation, Request, Settings, Usage, WorkerOffer,
    account::{Hold, without_zeros},
    fleet::Fleet,
    queue::{Class, Queue},
    rank::Rank,
    search::Matches,
};
use base::Uid;
use std::collections::{BTreeSet, HashMap};

struct Assigned {
    slot: u32,
    charge: Charge,
}

/// Workers, what is taken on them, and the VMs that wait. Everything is in memory and nothing reads a clock.
pub struct Cluster {
    settings: Settings,
    pub(crate) fleet: Fleet,
    pub(crate) queue: Queue,
    assigned: HashMap<Uid, Assigned>,
    /// Workers on which room grew since the last look at blocked classes.
    grown: BTreeSet<u32>,
    /// Raised when a worker changed in a way that may make it worth holding.
    changes: u64,
    /// Placements and changes at the last look for workers to hold.
    looked: (u64, u64),
    clock_ms: u64,
}

impl Cluster {
    /// An empty cluster.
    pub fn new(settings: Settings) -> Self {
        let mut cluster = Cluster {
            settings,
            fleet: Fleet::default(),
            queue: Queue::default(),
            assigned: HashMap::new(),
            grown: BTreeSet::new(),
            changes: 0,
            looked: (0, 0),
            clock_ms: 0,
        };
        cluster.set_settings(settings);
        cluster
    }

    /// Changes the settings. Workers already held stay so.
    pub fn set_settings(&mut self, settings: Settings) {
        self.settings = settings;
        self.fleet.set_profile(settings.profile);
        self.queue.set_reserve_after(settings.reserve_after_ms);
    }

    /// Adds a worker, or replaces what is known about it. The same offer again costs next to nothing. VMs that are
    /// charged to it stay, even if it now offers less than they take.
    pub fn upsert_worker(&mut self, offer: WorkerOffer) {
        let slot = self.fleet.slot_for(offer.uid);
        self.offer(slot, Some(offer));
    }

    /// Takes a worker out. VMs that are charged to it stay so until they are released, and count again if the worker
    /// comes back.
    pub fn remove_worker(&mut self, uid: Uid) {
        if let Some(slot) = self.fleet.slot(uid) {
            self.offer(slot, None);
            self.fleet.forget_if_empty(slot);
        }
    }

    fn offer(&mut self, slot: u32, offer: Option<WorkerOffer>) {
        if !self.fleet.offer(slot, offer) {
            return;
        }
        self.changes += 1;
        self.grown.insert(slot);
        let hold = self.fleet.worker(slot).and_then(|w| w.hold.as_ref());
        let in_vain = hold.filter(|hold| !self.fleet.could_host(slot, &hold.needs)).map(|hold| hold.rank.vm);
        if let Some(vm) = in_vain {
            self.unhold(slot);
            self.queue.unhold(vm, None);
        }
    }

    /// Charges a VM that is assigned to a worker already, known or not yet known. It replaces what that VM was charged
    /// before and takes it out of the queue.
    pub fn reserve(&mut self, worker: Uid, vm: Uid, charge: Charge) {
        self.withdraw(vm);
        self.release(vm);
        let charge = without_zeros(charge);
        let slot = self.fleet.slot_for(worker);
        self.fleet.charge(slot, &charge);
        self.assigned.insert(vm, Assigned { slot, charge });
    }

    /// Gives back what a VM was charged. The worker it was on, if it was on one.
    pub fn release(&mut self, vm: Uid) -> Option<Uid> {
        let Assigned { slot, charge } = self.assigned.remove(&vm)?;
        let worker = self.fleet.worker(slot)?.uid;
        self.fleet.refund(slot, &charge);
        self.grown.insert(slot);
        self.fleet.forget_if_empty(slot);
        Some(worker)
    }

    /// Puts a VM in the queue, or replaces its request. False when it is assigned to a worker already: then nothing
    /// changes, so that no VM is placed twice.
    pub fn submit(&mut self, request: Request) -> bool {
        if self.assigned.contains_key(&request.vm) {
            return false;
        }
        let request = tidy(request);
        if let Some(old) = self.queue.get(request.vm) {
            let same_needs = self.queue.class(old.class).is_some_and(|c| *c.needs == request.needs);
            if same_needs && old.rank == Rank::of(&request) && old.project == request.project {
                return true;
            }
            let since_ms = old.since_ms.filter(|_| same_needs);
            self.withdraw(request.vm);
            self.enqueue(request, since_ms);
        } else {
            self.enqueue(request, None);
        }
        true
    }

    fn enqueue(&mut self, request: Request, since_ms: Option<u64>) {
        let vm = request.vm;
        let leads_blocked = self.queue.insert(request, since_ms);
        // It may come before someone for whom a worker is held, and so see room its class did not see.
        if leads_blocked
            && !self.fleet.held().is_empty()
            && let Some(waiting) = self.queue.get(vm)
        {
            self.queue.unblock(waiting.class);
        }
    }

    /// Takes a VM out of the queue. False when it was not in it.
    pub fn withdraw(&mut self, vm: Uid) -> bool {
        let Some(waiting) = self.queue.remove(vm) else { return false };
        if let Some(slot) = waiting.holds {
            self.unhold(slot);
        }
        true
    }

    /// Places what can be placed now, at most `max`, by priority and then by age. Cheap when nothing changed. A later
    /// time than `now_ms` that was seen before is used instead.
    pub fn schedule(&mut self, now_ms: u64, max: usize) -> Vec<Decision> {
        self.clock_ms = self.clock_ms.max(now_ms);
        self.queue.see(self.clock_ms);
        self.give_up_stale_holds();
        let mut decisions = Vec::new();
        while decisions.len() < max {
            self.wake();
            let Some((rank, class)) = self.queue.first_ready() else { break };
            match self.find(class, &rank) {
                Some(slot) => decisions.extend(self.place(rank.vm, class, slot)),
                None => self.queue.block(class, self.clock_ms, self.fleet.placements()),
            }
        }
        self.hold_for_overdue();
        decisions
    }

    /// When `schedule` has something to do even if nothing changes until then: now, when it stopped at `max` or was
    /// not called since a change; or when a VM becomes overdue or a held worker is to be given up.
    pub fn next_wake(&self, now_ms: u64) -> Option<u64> {
        let woken = !self.grown.is_empty() && self.queue.any_blocked();
        if woken || self.queue.first_ready().is_some() || self.queue.any_unseen() {
            return Some(now_ms);
        }
        let holds = self.fleet.held().iter().filter_map(|slot| self.fleet.worker(*slot)?.hold.as_ref());
        let stale = holds.map(|hold| hold.progress_ms.saturating_add(self.settings.patience_ms)).min();
        stale.into_iter().chain(self.queue.next_due()).min().map(|at| at.max(now_ms))
    }

    /// Where a request would go if it were placed now, or why it would wait. Changes nothing.
    pub fn preview(&self, request: &Request) -> Result<Uid, Explanation> {
        let request = tidy(request.clone());
        let mut matches = Matches::default();
        self.fleet.refresh(&request.needs, &mut matches);
        let slot = self.fleet.find(&request.needs, &matches, Some(&Rank::of(&request)));
        match slot.and_then(|slot| self.fleet.worker(slot)) {
            Some(worker) => Ok(worker.uid),
            None => Err(self.explain_request(&request)),
        }
    }

    /// What is taken and what there is on a worker.
    pub fn usage(&self, worker: Uid) -> Option<Usage> {
        let worker = self.fleet.worker(self.fleet.slot(worker)?)?;
        Some(Usage { reserved: worker.used(), allocatable: worker.capacity().clone(), vms: worker.vms })
    }

    /// The worker a VM is charged to.
    pub fn assigned(&self, vm: Uid) -> Option<Uid> {
        let assigned = self.assigned.get(&vm)?;
        Some(self.fleet.worker(assigned.slot)?.uid)
    }

    /// How many VMs wait.
    pub fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// The worker that is held for a VM that has waited too long, if there is one.
    pub fn held_for(&self, vm: Uid) -> Option<Uid> {
        Some(self.fleet.worker(self.queue.get(vm)?.holds?)?.uid)
    }

    /// Wakes the blocked classes that may use room that grew.
    fn wake(&mut self) {
        while let Some(slot) = self.grown.pop_first() {
            let Some(worker) = self.fleet.worker(slot) else { continue };
            let fits = |(index, class): (u32, &Class)| {
                let head = class.head();
                self.fleet.has_room(slot, &class.needs, head.as_ref()).then_some(index)
            };
            let woken: Vec<u32> =
                self.queue.blocked_for(worker.uid, worker.free_base()).filter_map(fits).collect();
            for class in woken {
                self.queue.unblock(class);
            }
        }
    }

    fn find(&mut self, class: u32, rank: &Rank) -> Option<u32> {
        let class = self.queue.class_mut(class)?;
        self.fleet.refresh(&class.needs, &mut class.matches);
        self.fleet.find(&class.needs, &class.matches, Some(rank))
    }

    fn place(&mut self, vm: Uid, class: u32, slot: u32) -> Option<Decision> {
        let worker = self.fleet.worker(slot)?.uid;
        let class = self.queue.class_mut(class)?;
        class.blocked = None;
        let charge = class.needs.charge.clone();
        self.withdraw(vm);
        self.fleet.place(slot, &charge);
        self.assigned.insert(vm, Assigned { slot, charge: charge.clone() });
        Some(Decision { vm, worker, charge })
    }

    /// The worker is no longer held: others may have its room.
    fn unhold(&mut self, slot: u32) {
        self.fleet.set_hold(slot, None);
        self.grown.insert(slot);
        self.changes += 1;
    }

    fn give_up_stale_holds(&mut self) {
        for slot in self.fleet.stale_holds(self.clock_ms, self.settings.patience_ms) {
            let Some(worker) = self.fleet.worker(slot) else { continue };
            let (uid, vm) = (worker.uid, worker.hold.as_ref().map(|hold| hold.rank.vm));
            self.unhold(slot);
            if let Some(vm) = vm {
                self.queue.unhold(vm, Some((self.clock_ms, uid)));
            }
        }
    }

    /// Holds workers for VMs that others overtook and that have waited long enough.
    fn hold_for_overdue(&mut self) {
        let ripe = self.queue.ripen(self.clock_ms);
        let seen = (self.fleet.placements(), self.changes);
        if self.looked == seen && !ripe {
            return;
        }
        self.looked = seen;
        let limit = self.settings.max_held.min((self.fleet.ready_workers() / 2).max(1));
        for (rank, class) in self.queue.overdue() {
            if self.fleet.held().len() >= limit {
                return;
            }
            self.hold_for(rank, class);
        }
    }

    fn hold_for(&mut self, rank: Rank, index: u32) -> Option<()> {
        let changes = self.changes;
        let tried = self.queue.get(rank.vm)?.tried.clone();
        let class = self.queue.class_mut(index)?;
        self.fleet.refresh(&class.needs, &mut class.matches);
        let overtaken = self.fleet.last_placement(&class.needs, &class.matches) > class.blocked?.placement;
        if !overtaken || class.hopeless == Some(changes) {
            return None;
        }
        let Some(slot) = self.fleet.nearest(&class.needs, &class.matches, &tried) else {
            class.hopeless = Some(changes);
            return None;
        };
        let hold = Hold { rank, needs: class.needs.clone(), progress_ms: self.clock_ms, progressed: false };
        self.fleet.set_hold(slot, Some(hold));
        let start_over = tried.contains(&self.fleet.worker(slot)?.uid);
        self.queue.hold(rank.vm, slot, start_over);
        Some(())
    }
}

/// Drops what says nothing, and gives every macOS guest its slot, so that equal needs are equal.
fn tidy(mut request: Request) -> Request {
    let needs = &mut request.needs;
    needs.charge = without_zeros(std::mem::take(&mut needs.charge));
    if needs.os.as_deref() == Some(crate::MACOS) {
        needs.charge.macos_slots = needs.charge.macos_slots.max(1);
    }
    request
}
