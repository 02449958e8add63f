//! Orders that follow needs.

use std::collections::BTreeMap;

/// The places of all items, each after those that it needs; among the rest the given order stays. Needs of items that
/// are not there count for nothing.
///
/// # Errors
/// A cycle, as `a -> b -> a`.
pub fn sorted<'a>(items: impl Iterator<Item = (&'a str, Vec<String>)>) -> Result<Vec<usize>, String> {
    let items: Vec<(&str, Vec<String>)> = items.collect();
    let places: BTreeMap<&str, usize> = items.iter().enumerate().map(|(i, (name, _))| (*name, i)).collect();
    let needs: Vec<Vec<usize>> = items
        .iter()
        .map(|(_, needs)| needs.iter().filter_map(|n| places.get(n.as_str()).copied()).collect())
        .collect();
    let mut visit =
        Visit { needs: &needs, state: vec![State::New; items.len()], path: Vec::new(), order: Vec::new() };
    for place in 0..items.len() {
        if let Err(cycle) = visit.item(place) {
            let names: Vec<&str> = cycle.into_iter().map(|i| items[i].0).collect();
            return Err(names.join(" -> "));
        }
    }
    Ok(visit.order)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    New,
    Open,
    Done,
}

struct Visit<'a> {
    needs: &'a [Vec<usize>],
    state: Vec<State>,
    path: Vec<usize>,
    order: Vec<usize>,
}

impl Visit<'_> {
    /// An item after all that it needs.
    fn item(&mut self, place: usize) -> Result<(), Vec<usize>> {
        match self.state[place] {
            State::Done => return Ok(()),
            State::Open => {
                let first = self.path.iter().position(|p| *p == place).unwrap_or(0);
                let mut cycle = self.path[first..].to_vec();
                cycle.push(place);
                return Err(cycle);
            }
            State::New => {}
        }
        self.state[place] = State::Open;
        self.path.push(place);
        for need in &self.needs[place] {
            self.item(*need)?;
        }
        self.path.pop();
        self.state[place] = State::Done;
        self.order.push(place);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(items: &[(&'static str, &[&str])]) -> Result<Vec<usize>, String> {
        sorted(items.iter().map(|(name, needs)| (*name, needs.iter().map(|n| (*n).to_owned()).collect())))
    }

    #[test]
    fn needs_come_first_and_the_rest_stays() {
        assert_eq!(
            of(&[("a", &[]), ("b", &["d", "elsewhere"]), ("c", &[]), ("d", &[])]),
            Ok(vec![0, 3, 1, 2])
        );
    }

    #[test]
    fn a_cycle_is_named() {
        assert_eq!(of(&[("x", &["a"]), ("a", &["b"]), ("b", &["a"])]).unwrap_err(), "a -> b -> a");
        assert_eq!(of(&[("a", &["a"])]).unwrap_err(), "a -> a");
    }

    proptest! {
        #[test]
        fn every_item_comes_once_and_after_its_needs(edges in prop::collection::vec((0_usize..8, 0_usize..8), 0..20)) {
            let names = ["0", "1", "2", "3", "4", "5", "6", "7"];
            // Edges to smaller numbers only have no cycle.
            let needs = |i: usize| -> Vec<String> {
                edges.iter().filter(|(a, b)| *a == i && b < a).map(|(_, b)| names[*b].to_owned()).collect()
            };
            let items: Vec<_> = (0..8).rev().map(|i| (names[i], needs(i))).collect();
            let order = sorted(items.clone().into_iter()).unwrap();
            let at = |name: &str| order.iter().position(|i| items[*i].0 == name).unwrap();
            prop_assert_eq!(order.len(), 8);
            for (name, needs) in &items {
                prop_assert!(needs.iter().all(|n| at(n) < at(name)));
            }
        }
    }
}
