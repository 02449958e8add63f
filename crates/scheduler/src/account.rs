//! The books of one worker: what it has, what its VMs take, what is held.
//!
//! Sums are kept in 128 bits, so that no sequence of charges overflows and releasing restores exactly. What is free is
//! a saturating difference: a worker that shrank below its use has nothing free, never "a lot".

use crate::{Amounts, Charge, Needs, Resource, WorkerOffer, rank::Rank, ranked::Key};
use base::Uid;
use std::{collections::BTreeMap, sync::Arc};

/// CPU, memory, disk and macOS slots come first in every row of lanes; named resources follow in the order of names.
pub(crate) const BASE: usize = 4;

/// The lanes that every worker has.
pub(crate) type Base = [u64; BASE];

/// A charge without its named resources.
pub(crate) fn base_lanes(charge: &Charge) -> Base {
    let a = &charge.amounts;
    [a.cpu_milli, a.memory, a.disk, u64::from(charge.macos_slots)]
}

/// A charge as a row of lanes for workers that offer these named resources; none when it names another one.
pub(crate) fn lanes(charge: &Charge, names: &[String]) -> Option<Vec<u64>> {
    let named = &charge.amounts.named;
    let known = named.keys().all(|name| names.binary_search(name).is_ok());
    known.then(|| {
        let extra = names.iter().map(|name| named.get(name).copied().unwrap_or(0));
        base_lanes(charge).into_iter().chain(extra).collect()
    })
}

/// Zero of a named resource is the same as none of it.
pub(crate) fn without_zeros(mut charge: Charge) -> Charge {
    charge.amounts.named.retain(|_, n| *n > 0);
    charge
}

/// The sum of charges.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Sum {
    base: [u128; BASE],
    named: BTreeMap<String, u128>,
}

impl Sum {
    fn add(&mut self, charge: &Charge) {
        for (total, n) in self.base.iter_mut().zip(base_lanes(charge)) {
            *total += u128::from(n);
        }
        for (name, n) in &charge.amounts.named {
            *self.named.entry(name.clone()).or_default() += u128::from(*n);
        }
    }

    fn take(&mut self, charge: &Charge) {
        for (total, n) in self.base.iter_mut().zip(base_lanes(charge)) {
            *total = total.saturating_sub(u128::from(n));
        }
        for (name, n) in &charge.amounts.named {
            if let Some(total) = self.named.get_mut(name) {
                *total = total.saturating_sub(u128::from(*n));
            }
        }
        self.named.retain(|_, total| *total > 0);
    }

    fn named(&self, name: &str) -> u128 {
        self.named.get(name).copied().unwrap_or(0)
    }

    fn charge(&self) -> Charge {
        let narrow = |n: u128| u64::try_from(n).unwrap_or(u64::MAX);
        let [cpu, memory, disk, slots] = self.base.map(narrow);
        let named = self.named.iter().map(|(name, n)| (name.clone(), narrow(*n))).collect();
        Charge {
            amounts: Amounts { cpu_milli: cpu, memory, disk, named },
            macos_slots: u32::try_from(slots).unwrap_or(u32::MAX),
        }
    }
}

/// One resource of one worker, as one VM sees it.
pub(crate) struct Line<'a> {
    /// Which resource.
    pub resource: Resource<&'a str>,
    /// What the VM wants.
    pub want: u64,
    /// What the empty worker has.
    pub capacity: u64,
    /// What the VM may take now.
    pub free: u64,
}

/// A VM's claim on what is or becomes free on a worker.
pub(crate) struct Hold {
    /// Whose claim it is.
    pub rank: Rank,
    /// What that VM needs.
    pub needs: Arc<Needs>,
    /// When something last left the worker, or when the claim was made.
    pub progress_ms: u64,
    /// Something left since `progress_ms` was last set.
    pub progressed: bool,
}

/// Where a worker stands in the index.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    /// Its group.
    pub group: u32,
    /// Its key there.
    pub key: Key,
}

/// One worker.
pub(crate) struct Worker {
    /// Its identity.
    pub uid: Uid,
    /// What it offers; none when it is gone but VMs are still charged to it.
    pub offer: Option<WorkerOffer>,
    /// How many VMs are charged.
    pub vms: usize,
    /// Where it stands in the index, if it takes VMs.
    pub place: Option<Place>,
    /// Whose room it is.
    pub hold: Option<Hold>,
    /// The number of the last placement made here.
    pub last_placement: u64,
    capacity: Charge,
    used: Sum,
}

impl Worker {
    /// A worker that offers nothing yet.
    pub(crate) fn new(uid: Uid) -> Self {
        Worker {
            uid,
            offer: None,
            vms: 0,
            place: None,
            hold: None,
            last_placement: 0,
            capacity: Charge::default(),
            used: Sum::default(),
        }
    }

    /// Takes a new offer, or none.
    pub(crate) fn set_offer(&mut self, offer: Option<WorkerOffer>) {
        self.capacity = offer.as_ref().map(allocatable).unwrap_or_default();
        self.offer = offer;
    }

    /// Charges a VM.
    pub(crate) fn charge(&mut self, charge: &Charge) {
        self.used.add(charge);
        self.vms += 1;
    }

    /// Gives back what a VM was charged.
    pub(crate) fn refund(&mut self, charge: &Charge) {
        self.used.take(charge);
        self.vms -= 1;
    }

    /// What may be taken in all.
    pub(crate) fn capacity(&self) -> &Charge {
        &self.capacity
    }

    /// What is taken.
    pub(crate) fn used(&self) -> Charge {
        self.used.charge()
    }

    /// The named resources it offers.
    pub(crate) fn names(&self) -> Vec<String> {
        self.capacity.amounts.named.keys().cloned().collect()
    }

    /// The claim that keeps a VM of this rank (or any new one) from taking all that is free.
    fn claim_before(&self, rank: Option<&Rank>) -> Option<&Needs> {
        self.hold.as_ref().filter(|hold| rank.is_none_or(|r| *r > hold.rank)).map(|hold| &*hold.needs)
    }

    /// What is free when nobody's claim counts.
    pub(crate) fn free_base(&self) -> Base {
        let cap = base_lanes(&self.capacity);
        std::array::from_fn(|i| left(cap[i], self.used.base[i], 0))
    }

    /// Writes what a VM of this rank may take, lane by lane, into `row`. Without a rank: what the last in the queue may.
    pub(crate) fn free(&self, names: &[String], rank: Option<&Rank>, row: &mut Vec<u64>) {
        let claim = self.claim_before(rank).map(|needs| &needs.charge);
        row.clear();
        let claimed = claim.map(base_lanes).unwrap_or_default();
        let base = base_lanes(&self.capacity).into_iter().zip(self.used.base).zip(claimed);
        row.extend(base.map(|((cap, used), held)| left(cap, used, held)));
        row.extend(names.iter().map(|name| self.free_named(name, claim)));
    }

    fn free_named(&self, name: &str, claim: Option<&Charge>) -> u64 {
        let of = |charge: &Charge| charge.amounts.named.get(name).copied().unwrap_or(0);
        left(of(&self.capacity), self.used.named(name), claim.map_or(0, of))
    }

    /// What a charge wants, line by line, against what there is for a VM of this rank.
    pub(crate) fn lines<'a>(
        &'a self,
        charge: &'a Charge,
        rank: Option<&Rank>,
    ) -> impl Iterator<Item = Line<'a>> {
        const FIRST: [Resource<&str>; BASE] =
            [Resource::Cpu, Resource::Memory, Resource::Disk, Resource::MacosSlot];
        let claim = self.claim_before(rank).map(|needs| &needs.charge);
        let (want, cap) = (base_lanes(charge), base_lanes(&self.capacity));
        let claimed = claim.map(base_lanes).unwrap_or_default();
        let base = (0..BASE).map(move |i| Line {
            resource: FIRST[i],
            want: want[i],
            capacity: cap[i],
            free: left(cap[i], self.used.base[i], claimed[i]),
        });
        let named = charge.amounts.named.iter().map(move |(name, want)| Line {
            resource: Resource::Named(name),
            want: *want,
            capacity: self.capacity.amounts.named.get(name).copied().unwrap_or(0),
            free: self.free_named(name, claim),
        });
        base.chain(named)
    }

    /// Whether a VM of this rank fits now.
    pub(crate) fn fits(&self, charge: &Charge, rank: Option<&Rank>) -> bool {
        self.lines(charge, rank).all(|line| line.free >= line.want)
    }

    /// Whether it would fit if nothing else were here.
    pub(crate) fn covers(&self, charge: &Charge) -> bool {
        self.lines(charge, None).all(|line| line.capacity >= line.want)
    }

    /// What is missing now of what is scarcest, in millionths of what is wanted.
    pub(crate) fn shortfall(&self, charge: &Charge) -> u64 {
        let missing = |line: Line<'_>| {
            let lack = u128::from(line.want.saturating_sub(line.free)) * 1_000_000;
            u64::try_from(lack / u128::from(line.want.max(1))).unwrap_or(u64::MAX)
        };
        self.lines(charge, None).map(missing).max().unwrap_or(0)
    }

    /// How much of it is used, in millionths: the mean of CPU and memory.
    pub(crate) fn load(&self) -> u32 {
        let cap = base_lanes(&self.capacity);
        u32::midpoint(share(self.used.base[0], cap[0]), share(self.used.base[1], cap[1]))
    }
}

/// What may be taken of an offer: CPU with its ratio applied, zeros left out.
fn allocatable(offer: &WorkerOffer) -> Charge {
    let cpu = u128::from(offer.capacity.cpu_milli) * u128::from(offer.cpu_ratio_permille) / 1000;
    let cpu_milli = u64::try_from(cpu).unwrap_or(u64::MAX);
    let amounts = Amounts { cpu_milli, ..offer.capacity.clone() };
    without_zeros(Charge { amounts, macos_slots: offer.macos_slots })
}

fn left(capacity: u64, used: u128, held: u64) -> u64 {
    u64::try_from(used).map_or(0, |used| capacity.saturating_sub(used).saturating_sub(held))
}

fn share(used: u128, capacity: u64) -> u32 {
    const WHOLE: u32 = 1_000_000;
    match u64::try_from(used) {
        Ok(used) if used < capacity => {
            let millionths = u128::from(used) * u128::from(WHOLE) / u128::from(capacity);
            u32::try_from(millionths).unwrap_or(WHOLE)
        }
        _ => WHOLE,
    }
}
