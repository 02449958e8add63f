//! Workers of one kind, in the order in which they are tried, searchable by what is free on them.
//!
//! A sorted list in chunks of at most [`CHUNK`]. Each chunk knows the most that any of its workers has free of each
//! resource, so a search skips a chunk that cannot help after one comparison, and a change touches one chunk only.

use crate::images::Holders;
use base::Uid;

const CHUNK: usize = 64;

/// Scores within this distance of each other are as good as equal: there, a worker that holds the image wins.
const BUCKET: u32 = 50_000;

/// The place of a worker in the order. Lower is tried first; the uid makes ties the same everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    /// How well its load suits the profile: 0 (best) to 1,000,000.
    pub score: u32,
    /// Its uid.
    pub uid: Uid,
    /// Its slot.
    pub worker: u32,
}

/// A worker that fits. Lower is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Candidate {
    spared: usize,
    bucket: u32,
    lacks_image: bool,
    key: Key,
}

impl Candidate {
    /// Judges a worker that fits.
    pub(crate) fn new(key: Key, spared: usize, images: Option<&Holders>) -> Self {
        let lacks_image = images.is_some_and(|holders| !holders.contains(key.worker));
        Candidate { spared, bucket: key.score / BUCKET, lacks_image, key }
    }

    /// The slot of the worker.
    pub(crate) fn worker(&self) -> u32 {
        self.key.worker
    }
}

/// What a search is for.
pub(crate) struct Wanted<'a> {
    /// What must be free, one number per lane.
    pub need: &'a [u64],
    /// How many named resources these workers have for others: fewer is better.
    pub spared: usize,
    /// Who holds the image; none when it makes no difference.
    pub images: Option<&'a Holders>,
    /// Only workers that hold the image will do.
    pub image_needed: bool,
}

struct Chunk {
    keys: Vec<Key>,
    /// What is free: `width` numbers per key.
    free: Vec<u64>,
    /// The highest of each lane.
    most: Vec<u64>,
}

/// The sorted list.
pub(crate) struct Ranked {
    width: usize,
    chunks: Vec<Chunk>,
}

fn fits(free: &[u64], need: &[u64]) -> bool {
    free.iter().zip(need).all(|(have, want)| have >= want)
}

impl Chunk {
    fn new(width: usize) -> Self {
        Chunk {
            keys: Vec::with_capacity(CHUNK),
            free: Vec::with_capacity(CHUNK * width),
            most: vec![0; width],
        }
    }

    fn raise(&mut self, free: &[u64]) {
        for (most, have) in self.most.iter_mut().zip(free) {
            *most = (*most).max(*have);
        }
    }

    fn measure(&mut self, width: usize) {
        self.most.fill(0);
        let free = std::mem::take(&mut self.free);
        free.chunks_exact(width).for_each(|row| self.raise(row));
        self.free = free;
    }

    fn split(&mut self, width: usize) -> Chunk {
        let half = self.keys.len() / 2;
        let mut upper = Chunk {
            keys: self.keys.split_off(half),
            free: self.free.split_off(half * width),
            most: vec![0; width],
        };
        upper.measure(width);
        self.measure(width);
        upper
    }

    fn last(&self) -> Option<&Key> {
        self.keys.last()
    }
}

impl Ranked {
    /// An empty list whose workers have `width` lanes.
    pub(crate) fn new(width: usize) -> Self {
        Ranked { width, chunks: Vec::new() }
    }

    /// Adds a worker.
    pub(crate) fn insert(&mut self, key: Key, free: &[u64]) {
        let at =
            self.chunks.partition_point(|c| c.last() < Some(&key)).min(self.chunks.len().saturating_sub(1));
        if self.chunks.is_empty() {
            self.chunks.push(Chunk::new(self.width));
        }
        let chunk = &mut self.chunks[at];
        let row = chunk.keys.partition_point(|k| *k < key);
        chunk.keys.insert(row, key);
        let offset = row * self.width;
        chunk.free.splice(offset..offset, free.iter().copied());
        chunk.raise(free);
        if chunk.keys.len() > CHUNK {
            let upper = chunk.split(self.width);
            self.chunks.insert(at + 1, upper);
        }
    }

    /// Takes a worker out.
    pub(crate) fn remove(&mut self, key: &Key) {
        let at = self.chunks.partition_point(|c| c.last() < Some(key));
        let Some(chunk) = self.chunks.get_mut(at) else { return };
        let Ok(row) = chunk.keys.binary_search(key) else { return };
        chunk.keys.remove(row);
        let offset = row * self.width;
        let was_most = {
            let mut gone = chunk.free.drain(offset..offset + self.width).zip(&chunk.most);
            gone.any(|(free, most)| free == *most)
        };
        if chunk.keys.is_empty() {
            self.chunks.remove(at);
            return;
        }
        if was_most {
            chunk.measure(self.width);
        }
        self.join(at);
    }

    /// Joins a chunk with the next one when both are small, so that many removals leave no long tail.
    fn join(&mut self, at: usize) {
        let small = |i: usize| self.chunks.get(i).is_some_and(|c| c.keys.len() < CHUNK / 3);
        if small(at) && small(at + 1) {
            let mut next = self.chunks.remove(at + 1);
            let chunk = &mut self.chunks[at];
            chunk.keys.append(&mut next.keys);
            chunk.free.append(&mut next.free);
            chunk.raise(&next.most);
        }
    }

    /// All workers, in order.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &Key> {
        self.chunks.iter().flat_map(|c| &c.keys)
    }

    /// Improves `best` by the best worker here that has what is wanted.
    pub(crate) fn search(&self, wanted: &Wanted<'_>, best: &mut Option<Candidate>) {
        for chunk in &self.chunks {
            let Some(first) = chunk.keys.first() else { continue };
            if best.is_some_and(|b| (wanted.spared, first.score / BUCKET) > (b.spared, b.bucket)) {
                return;
            }
            if fits(&chunk.most, wanted.need) && self.search_chunk(chunk, wanted, best) {
                return;
            }
        }
    }

    /// True when nothing after this chunk can be better.
    fn search_chunk(&self, chunk: &Chunk, wanted: &Wanted<'_>, best: &mut Option<Candidate>) -> bool {
        for (key, free) in chunk.keys.iter().zip(chunk.free.chunks_exact(self.width)) {
            if !fits(free, wanted.need) {
                continue;
            }
            let found = Candidate::new(*key, wanted.spared, wanted.images);
            if found.lacks_image && wanted.image_needed {
                continue;
            }
            if best.is_some_and(|b| (found.spared, found.bucket) > (b.spared, b.bucket)) {
                return true;
            }
            if best.is_none_or(|b| found < b) {
                *best = Some(found);
            }
            if !found.lacks_image {
                return true;
            }
        }
        false
    }
}
