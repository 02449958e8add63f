//! The search for a worker: which groups admit a request, and which worker in them is the best.

use crate::{
    Needs, WorkerOffer,
    account::lanes,
    fleet::Fleet,
    images::Holders,
    rank::Rank,
    ranked::{Candidate, Wanted},
};
use base::Uid;
use std::collections::BTreeSet;

/// A group that admits a class of requests, and what the class needs there.
struct Match {
    group: u32,
    need: Vec<u64>,
    /// Named resources of the group that the class does not ask for. Packing keeps them for those who do.
    spared: usize,
}

/// The groups that admit a class, remembered until groups come or go.
#[derive(Default)]
pub(crate) struct Matches {
    version: Option<u64>,
    groups: Vec<Match>,
}

impl Fleet {
    /// Brings the remembered groups up to date.
    pub(crate) fn refresh(&self, needs: &Needs, matches: &mut Matches) {
        if needs.pinned.is_some() || matches.version == Some(self.version()) {
            return;
        }
        matches.version = Some(self.version());
        matches.groups.clear();
        for (group, kind) in self.kinds() {
            if kind.admits(needs)
                && let Some(need) = lanes(&needs.charge, kind.names())
            {
                matches.groups.push(Match { group, need, spared: kind.spared(needs) });
            }
        }
        // The best groups first: then the others need no search.
        matches.groups.sort_by_key(|m| m.spared);
    }

    /// The best worker for a request of this rank; without a rank, for one at the end of the queue.
    pub(crate) fn find(&self, needs: &Needs, matches: &Matches, rank: Option<&Rank>) -> Option<u32> {
        if let Some(uid) = needs.pinned {
            return self.slot(uid).filter(|slot| self.has_room(*slot, needs, rank));
        }
        let images = needs.image.and_then(|image| self.images().holders(image));
        if needs.image_must_be_present && images.is_none() {
            return None;
        }
        let mut best = None;
        for m in &matches.groups {
            let spared = if self.packs() { m.spared } else { 0 };
            let wanted = Wanted { need: &m.need, spared, images, image_needed: needs.image_must_be_present };
            self.search_group(m.group, &wanted, &mut best);
        }
        self.search_held(needs, images, rank, &mut best);
        best.map(|b: Candidate| b.worker())
    }

    /// The index shows a held worker without what is held. Whoever has the claim, or comes before it, sees more.
    fn search_held(
        &self,
        needs: &Needs,
        images: Option<&Holders>,
        rank: Option<&Rank>,
        best: &mut Option<Candidate>,
    ) {
        let Some(rank) = rank else { return };
        for slot in self.held() {
            if let Some(worker) = self.worker(*slot)
                && worker.hold.as_ref().is_some_and(|hold| *rank <= hold.rank)
                && self.has_room(*slot, needs, Some(rank))
                && let Some(place) = &worker.place
            {
                let spared =
                    self.kind(place.group).filter(|_| self.packs()).map_or(0, |kind| kind.spared(needs));
                let found = Candidate::new(place.key, spared, images);
                *best = Some(best.map_or(found, |b| b.min(found)));
            }
        }
    }

    /// Whether this one worker will do now for a request of this rank.
    pub(crate) fn has_room(&self, slot: u32, needs: &Needs, rank: Option<&Rank>) -> bool {
        self.worker(slot).is_some_and(|w| w.fits(&needs.charge, rank)) && self.admits(slot, needs)
    }

    /// Whether this one worker would do if it were empty.
    pub(crate) fn could_host(&self, slot: u32, needs: &Needs) -> bool {
        self.worker(slot).is_some_and(|w| w.covers(&needs.charge)) && self.admits(slot, needs)
    }

    /// Whether this one worker takes VMs and will do, but for the numbers.
    fn admits(&self, slot: u32, needs: &Needs) -> bool {
        let Some(worker) = self.worker(slot) else { return false };
        let Some(place) = &worker.place else { return false };
        needs.pinned.is_none_or(|uid| uid == worker.uid)
            && self.kind(place.group).is_some_and(|kind| kind.admits(needs))
            && worker.offer.as_ref().is_some_and(|offer| image_ok(offer, needs))
    }

    /// The number of the last placement on a worker that these needs could have used.
    pub(crate) fn last_placement(&self, needs: &Needs, matches: &Matches) -> u64 {
        match needs.pinned {
            Some(uid) => self.slot(uid).and_then(|slot| self.worker(slot)).map_or(0, |w| w.last_placement),
            None => matches.groups.iter().map(|m| self.last_in_group(m.group)).max().unwrap_or(0),
        }
    }

    /// The worker to hold for these needs: of those that could host them and are held for no one, the one that is
    /// nearest to it. Those in `tried` come only after all others.
    pub(crate) fn nearest(&self, needs: &Needs, matches: &Matches, tried: &BTreeSet<Uid>) -> Option<u32> {
        let pinned = needs.pinned.and_then(|uid| self.slot(uid));
        let members = matches.groups.iter().flat_map(|m| self.members_of(m.group));
        pinned
            .into_iter()
            .chain(members)
            .filter(|slot| !self.held().contains(slot) && self.could_host(*slot, needs))
            .filter_map(|slot| {
                let worker = self.worker(slot)?;
                Some((tried.contains(&worker.uid), worker.shortfall(&needs.charge), worker.uid, slot))
            })
            .min()
            .map(|(.., slot)| slot)
    }
}

/// Whether the image is where it has to be.
pub(crate) fn image_ok(offer: &WorkerOffer, needs: &Needs) -> bool {
    !needs.image_must_be_present || needs.image.is_some_and(|image| offer.images.contains(&image))
}
