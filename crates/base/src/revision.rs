//! The store's clock.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::{fmt, str::FromStr};

/// A point in the history of a store, ordered by the store's incarnation first. A restore raises the incarnation, so
/// that nothing handed out before it is ever mistaken for something newer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Revision {
    /// Raised by each restore.
    pub incarnation: u32,
    /// Raised by each commit.
    pub seq: u64,
}

impl Revision {
    /// A revision from its two parts.
    pub fn new(incarnation: u32, seq: u64) -> Self {
        Revision { incarnation, seq }
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.incarnation, self.seq)
    }
}

impl FromStr for Revision {
    type Err = crate::Error;
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let wrong =
            || crate::Error::new(crate::Code::Invalid, format!("'{s}' is not a revision such as 1-42"));
        let (i, n) = s.split_once('-').ok_or_else(wrong)?;
        Ok(Revision { incarnation: i.parse().map_err(|_| wrong())?, seq: n.parse().map_err(|_| wrong())? })
    }
}

impl Serialize for Revision {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Revision {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restore_is_newer_than_anything_before_it() {
        assert!(Revision::new(2, 1) > Revision::new(1, 1_000));
        assert_eq!("1-42".parse::<Revision>().unwrap(), Revision::new(1, 42));
        assert!("42".parse::<Revision>().is_err());
    }
}
