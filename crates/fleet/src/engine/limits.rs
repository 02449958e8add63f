//! How many nodes at once, and how many failures are too many.

use base::{Error, Result};
use std::{str::FromStr, time::Duration};

/// A number of nodes, or a part of them all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// So many.
    Nodes(usize),
    /// So many of a hundred.
    Percent(u8),
}

impl Share {
    /// How many of `total` that is, rounded down.
    pub fn of(self, total: usize) -> usize {
        match self {
            Share::Nodes(n) => n,
            Share::Percent(p) => total * usize::from(p) / 100,
        }
    }
}

impl FromStr for Share {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let share = match text.strip_suffix('%') {
            Some(percent) => percent.parse().ok().filter(|p| *p <= 100).map(Share::Percent),
            None => text.parse().ok().map(Share::Nodes),
        };
        share.ok_or_else(|| {
            Error::new(
                base::Code::Invalid,
                format!("'{text}' is neither a number of nodes nor a part of them"),
            )
            .hint("write 3, or 25%")
        })
    }
}

/// The limits of one run over nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Nodes at once.
    pub forks: usize,
    /// Nodes per batch, at least one; the next batch starts when all of the one before have ended. Without it all
    /// nodes are one batch.
    pub serial: Option<Share>,
    /// The failures that are borne, counted over the whole run. With one more no new node starts.
    pub max_fail: Option<Share>,
    /// How often a node that could not be reached is tried again.
    pub retry: u32,
    /// The delay before the first of these, which doubles from one to the next.
    pub pause: Duration,
}

impl Limits {
    /// The longest delay before a node is tried again.
    pub const LONGEST_PAUSE: Duration = Duration::from_secs(30);

    /// Nodes per batch, of so many.
    pub(super) fn batch(&self, total: usize) -> usize {
        self.serial.map_or(total, |share| share.of(total)).max(1)
    }

    /// Whether so many failures of so many nodes are too many.
    pub(super) fn exceeded(&self, failed: usize, total: usize) -> bool {
        self.max_fail.is_some_and(|share| failed > share.of(total))
    }
}

impl Default for Limits {
    /// 32 nodes at once, everybody is tried, nobody again.
    fn default() -> Self {
        Limits { forks: 32, serial: None, max_fail: None, retry: 0, pause: Duration::from_secs(1) }
    }
}
