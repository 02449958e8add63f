//! How many nodes at once, and how many failures are too many: the same flags for every verb that runs something.

use clap::Args;
use fleet::engine::{Limits, Share};
use std::num::NonZeroUsize;

/// How many nodes at once.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Limits")]
pub struct Forks {
    /// Nodes at once
    #[arg(long, short = 'm', value_name = "N", default_value = "32", visible_alias = "max-threads")]
    forks: NonZeroUsize,
}

impl Forks {
    /// As a number.
    pub fn number(&self) -> usize {
        self.forks.get()
    }
}

/// The limits of a run.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Limits")]
pub struct LimitArgs {
    /// How many at once
    #[command(flatten)]
    forks: Forks,
    /// Nodes per batch, a number or a percentage; all of a batch end before the next begins
    #[arg(long, value_name = "N|N%", value_parser = batch)]
    pub serial: Option<Share>,
    /// Failures that are borne, of the whole run; with one more no new node starts
    #[arg(long, value_name = "N|N%", value_parser = share)]
    pub max_fail: Option<Share>,
    /// How often a node that cannot be reached is tried again
    #[arg(long, value_name = "N", default_value = "0")]
    pub retry: u32,
}

impl LimitArgs {
    /// As the engine takes them.
    pub fn limits(&self) -> Limits {
        Limits {
            forks: self.forks.number(),
            serial: self.serial,
            max_fail: self.max_fail,
            retry: self.retry,
            ..Limits::default()
        }
    }
}

fn share(text: &str) -> Result<Share, String> {
    text.parse()
        .map_err(|e: base::Error| e.hint.map_or(e.message.clone(), |hint| format!("{}: {hint}", e.message)))
}

fn batch(text: &str) -> Result<Share, String> {
    match share(text)? {
        Share::Nodes(0) | Share::Percent(0) => Err("a batch has at least one node".into()),
        batch => Ok(batch),
    }
}
