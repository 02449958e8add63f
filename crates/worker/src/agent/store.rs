//! The desired state as the controller last sent it, kept so that the worker goes on without its controller, and the
//! highest placement of each VM ever seen here.

use super::keeper::Keeper;
use api::assignment::{Assignment, Assignments, Work};
use base::{Result, Revision, Uid};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashSet};

const FILE: &str = "assignments.json";
const VERSION: u32 = 1;
/// Placements remembered of VMs that are no longer here. Uids sort by age; the oldest are forgotten first.
const REMEMBERED: usize = 10_000;

/// What is kept. Holds the keys of guests.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Desires {
    version: u32,
    assignments: Assignments,
    epochs: BTreeMap<Uid, u64>,
    /// What was last said of VMs that are here and of which nothing is said now.
    remembered: BTreeMap<Uid, Assignment>,
}

impl Desires {
    /// What was kept, or nothing.
    pub fn load(keeper: &Keeper) -> Result<Self> {
        Ok(keeper.load(FILE, VERSION)?.unwrap_or_default())
    }

    /// Keeps it: on the disk when this returns.
    pub async fn save(&self, keeper: &Keeper) -> Result<()> {
        keeper.save(FILE, self).await
    }

    /// The revision that is followed.
    pub fn revision(&self) -> Revision {
        self.assignments.revision
    }

    /// Images that are to stay.
    pub fn keep_images(&self) -> &[Uid] {
        &self.assignments.keep_images
    }

    /// A placement was seen on this host.
    pub fn saw(&mut self, uid: Uid, epoch: u64) {
        let highest = self.epochs.entry(uid).or_default();
        *highest = epoch.max(*highest);
    }

    /// Follows a new desired state, unless it is older than this one. What was said of VMs that are still `here` is
    /// remembered: whoever adopts one later gets it back.
    #[must_use]
    pub fn followed_by(&self, next: Assignments, here: impl Fn(&Uid) -> bool) -> Option<Self> {
        if next.revision < self.revision() {
            return None;
        }
        let mut after = Desires { version: VERSION, assignments: next, ..self.clone() };
        after.remembered.extend(self.current().filter(|a| a.work.is_some()).map(|a| (a.uid, a.clone())));
        let current: BTreeMap<Uid, u64> = after.current().map(|a| (a.uid, a.epoch)).collect();
        after.remembered.retain(|uid, _| here(uid) && !current.contains_key(uid));
        for (uid, epoch) in current {
            after.saw(uid, epoch);
        }
        after.trim();
        Some(after)
    }

    /// What is said of a VM, or was last.
    pub fn told(&self, uid: Uid) -> Option<&Assignment> {
        self.current().find(|a| a.uid == uid).or_else(|| self.remembered.get(&uid))
    }

    /// What must not lose its image.
    pub fn works(&self) -> impl Iterator<Item = &Work> {
        self.current().chain(self.remembered.values()).filter_map(|a| a.work.as_deref())
    }

    /// What is to be followed: all but placements older than one that was seen here.
    pub fn current(&self) -> impl Iterator<Item = &Assignment> {
        let seen = |uid| self.epochs.get(uid).copied().unwrap_or(0);
        self.assignments.vms.iter().filter(move |a| a.epoch >= seen(&a.uid))
    }

    fn trim(&mut self) {
        let named: HashSet<Uid> = self.assignments.vms.iter().map(|a| a.uid).collect();
        let excess = self.epochs.len().saturating_sub(named.len() + REMEMBERED);
        let oldest: Vec<Uid> =
            self.epochs.keys().filter(|uid| !named.contains(uid)).take(excess).copied().collect();
        for uid in oldest {
            self.epochs.remove(&uid);
        }
    }
}

#[cfg(test)]
mod tests;
