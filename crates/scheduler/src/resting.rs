//! The classes that fit nowhere now, with what they need in a compact form: each time room grows somewhere, all of them
//! are looked at, and there may be thousands.

use crate::account::Base;
use base::Uid;
use std::collections::HashMap;

struct Row {
    need: Base,
    class: u32,
}

/// Classes by the worker they are pinned to, or none.
#[derive(Default)]
pub(crate) struct Resting {
    rows: HashMap<Option<Uid>, Vec<Row>>,
    /// Where each class stands in its rows.
    places: HashMap<u32, usize>,
}

impl Resting {
    /// Whether no class rests.
    pub(crate) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// All classes that rest, in no order.
    pub(crate) fn classes(&self) -> impl Iterator<Item = u32> {
        self.places.keys().copied()
    }

    /// Lets a class rest.
    pub(crate) fn insert(&mut self, pin: Option<Uid>, class: u32, need: Base) {
        let rows = self.rows.entry(pin).or_default();
        self.places.insert(class, rows.len());
        rows.push(Row { need, class });
    }

    /// Ends the rest of a class.
    pub(crate) fn remove(&mut self, pin: Option<Uid>, class: u32) {
        let Some(rows) = self.rows.get_mut(&pin) else { return };
        let Some(place) = self.places.remove(&class) else { return };
        rows.swap_remove(place);
        if let Some(moved) = rows.get(place) {
            self.places.insert(moved.class, place);
        }
        if rows.is_empty() {
            self.rows.remove(&pin);
        }
    }

    /// The classes for which this worker may have room, when so much is free there. In no order.
    pub(crate) fn fitting(&self, worker: Uid, free: Base) -> impl Iterator<Item = u32> {
        [None, Some(worker)]
            .into_iter()
            .filter_map(|pin| self.rows.get(&pin))
            .flatten()
            .filter(move |row| row.need.iter().zip(free).all(|(want, have)| *want <= have))
            .map(|row| row.class)
    }
}
