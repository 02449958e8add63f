//! What several sources say of one property of one node, made one. Pure.
//!
//! A source claims that the value is one of a few. What all claims have in common is what is so; where that is nothing,
//! they disagree. Nothing depends on who was asked first.

use super::{ASSIGN, INVENTORY};
use serde_json::Value;

/// What a source says of a property of a node.
#[derive(Clone, Debug, PartialEq)]
pub struct Claim {
    /// The source.
    pub source: &'static str,
    /// What the value may be, the best first. Nothing here means that the source knows nothing.
    pub values: Vec<Value>,
}

/// How claims about a property become its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// The best of what they have in common.
    Best,
    /// All that they have in common: host keys, of which a machine has several.
    Keys,
}

/// Two claims with nothing in common.
#[derive(Clone, Debug, PartialEq)]
pub struct Disagreement(pub Claim, pub Claim);

impl Shape {
    /// That of a property.
    pub fn of(property: &str) -> Self {
        if property == "host_keys" { Shape::Keys } else { Shape::Best }
    }

    /// What a value in an inventory claims.
    pub fn values(self, given: &Value) -> Vec<Value> {
        match (self, given) {
            (Shape::Best, value) => vec![value.clone()],
            (Shape::Keys, Value::Array(keys)) => keys.iter().map(without_comment).collect(),
            (Shape::Keys, key) => vec![without_comment(key)],
        }
    }

    /// The value that these claims come to, none where nobody knows any. A master that knows one is believed alone.
    pub fn settle(self, claims: &[Claim], master: Option<&str>) -> Result<Option<Value>, Disagreement> {
        let mut claims: Vec<&Claim> = claims.iter().filter(|claim| !claim.values.is_empty()).collect();
        claims.sort_by_key(|claim| rank(claim.source));
        if let Some(believed) = claims.iter().find(|claim| Some(claim.source) == master) {
            return Ok(self.value(believed.values.clone()));
        }
        let Some((first, others)) = claims.split_first() else { return Ok(None) };
        let mut common = first.values.clone();
        for other in others {
            common.retain(|value| other.values.contains(value));
            if common.is_empty() {
                return Err(Disagreement((*first).clone(), (*other).clone()));
            }
        }
        Ok(self.value(common))
    }

    fn value(self, values: Vec<Value>) -> Option<Value> {
        match self {
            Shape::Best => values.into_iter().next(),
            Shape::Keys => Some(Value::Array(values)),
        }
    }
}

/// What people wrote counts before what was found out.
fn rank(source: &str) -> (bool, bool, &str) {
    (source != INVENTORY, source != ASSIGN, source)
}

/// `TYPE KEY`: what is said behind them does not tell one key from another.
fn without_comment(key: &Value) -> Value {
    let Some(text) = key.as_str() else { return key.clone() };
    text.split_ascii_whitespace().take(2).collect::<Vec<_>>().join(" ").into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{collection::vec, prelude::*, sample::subsequence};
    use serde_json::json;

    const SOURCES: [&str; 5] = ["resolver", INVENTORY, "facts", ASSIGN, "known_hosts"];

    /// Claims of some sources, in any order; values in any order too.
    fn claims() -> impl Strategy<Value = Vec<Claim>> {
        let values = || subsequence(vec![1, 2, 3, 4], 0..=4).prop_shuffle();
        (subsequence(SOURCES.to_vec(), 0..=5).prop_shuffle(), vec(values(), 5)).prop_map(
            |(sources, values)| {
                let claim = |(source, values): (_, Vec<i32>)| Claim {
                    source,
                    values: values.into_iter().map(Value::from).collect(),
                };
                sources.into_iter().zip(values).map(claim).collect()
            },
        )
    }

    proptest! {
        #[test]
        fn the_order_of_asking_does_not_matter(claims in claims(), turn in 0..5_usize) {
            let mut turned = claims.clone();
            let by = turn.min(turned.len());
            turned.rotate_left(by);
            for shape in [Shape::Best, Shape::Keys] {
                prop_assert_eq!(shape.settle(&claims, None), shape.settle(&turned, None));
            }
            turned.reverse();
            prop_assert_eq!(Shape::Best.settle(&claims, None), Shape::Best.settle(&turned, None));
        }

        #[test]
        fn what_some_came_to_is_as_good_as_what_they_said(claims in claims(), at in 0..5_usize) {
            let mut sorted = claims.clone();
            sorted.sort_by_key(|claim| rank(claim.source));
            let (some, rest) = sorted.split_at(at.min(sorted.len()));
            let together = Shape::Keys.settle(&sorted, None);
            if let Ok(Some(Value::Array(values))) = Shape::Keys.settle(some, None) {
                let first = Claim { source: INVENTORY, values };
                let all: Vec<Claim> = std::iter::once(first).chain(rest.iter().cloned()).collect();
                prop_assert_eq!(together.is_ok(), Shape::Keys.settle(&all, None).is_ok());
                if let Ok(value) = together {
                    prop_assert_eq!(value, Shape::Keys.settle(&all, None).unwrap());
                }
            }
        }

        #[test]
        fn nobody_is_contradicted_but_by_a_master(claims in claims(), master in subsequence(SOURCES.to_vec(), 1)) {
            let said = |value: &Value| claims.iter().filter(|c| !c.values.is_empty()).all(|c| c.values.contains(value));
            if let Ok(Some(value)) = Shape::Best.settle(&claims, None) {
                prop_assert!(said(&value));
            }
            let believed = claims.iter().find(|c| c.source == master[0]).and_then(|c| c.values.first());
            if let Some(value) = believed {
                prop_assert_eq!(Shape::Best.settle(&claims, Some(master[0])), Ok(Some(value.clone())));
            }
        }
    }

    #[test]
    fn host_keys_agree_in_what_is_common_and_comments_are_none_of_them() {
        let inventory = Claim {
            source: INVENTORY,
            values: Shape::Keys.values(&json!(["ssh-ed25519 AAAA root@web1", "ssh-rsa BBBB"])),
        };
        let known = |keys: &[&str]| Claim {
            source: "known_hosts",
            values: keys.iter().map(|key| json!(key)).collect(),
        };
        let both = Shape::Keys.settle(&[known(&["ssh-ed25519 AAAA"]), inventory.clone()], None);
        assert_eq!(both, Ok(Some(json!(["ssh-ed25519 AAAA"]))));
        let other = known(&["ssh-ed25519 CCCC"]);
        let both = Shape::Keys.settle(&[other.clone(), inventory.clone()], None);
        assert_eq!(both, Err(Disagreement(inventory, other)));
    }
}
