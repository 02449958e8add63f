//! Which workers hold which images.

use base::Uid;
use std::collections::HashMap;

/// The workers that hold one image, a bit per slot.
#[derive(Default)]
pub(crate) struct Holders {
    bits: Vec<u64>,
    count: usize,
}

impl Holders {
    /// Whether the worker in this slot holds it.
    pub(crate) fn contains(&self, worker: u32) -> bool {
        self.bits.get(worker as usize / 64).is_some_and(|word| word >> (worker % 64) & 1 == 1)
    }

    fn add(&mut self, worker: u32) {
        let word = worker as usize / 64;
        if self.bits.len() <= word {
            self.bits.resize(word + 1, 0);
        }
        if !self.contains(worker) {
            self.bits[word] |= 1 << (worker % 64);
            self.count += 1;
        }
    }

    fn remove(&mut self, worker: u32) {
        if self.contains(worker) {
            self.bits[worker as usize / 64] &= !(1 << (worker % 64));
            self.count -= 1;
        }
    }
}

/// All images that some worker holds.
#[derive(Default)]
pub(crate) struct Images {
    holders: HashMap<Uid, Holders>,
}

impl Images {
    /// Who holds it; none when nobody does.
    pub(crate) fn holders(&self, image: Uid) -> Option<&Holders> {
        self.holders.get(&image)
    }

    /// The worker in this slot holds these.
    pub(crate) fn add<'a>(&mut self, worker: u32, images: impl IntoIterator<Item = &'a Uid>) {
        for image in images {
            self.holders.entry(*image).or_default().add(worker);
        }
    }

    /// The worker in this slot holds these no longer.
    pub(crate) fn remove<'a>(&mut self, worker: u32, images: impl IntoIterator<Item = &'a Uid>) {
        for image in images {
            if let Some(holders) = self.holders.get_mut(image) {
                holders.remove(worker);
                if holders.count == 0 {
                    self.holders.remove(image);
                }
            }
        }
    }
}
