//! Sources of metadata that reach further than the inventory's own.

mod facts;
mod known_hosts;

pub use facts::{Asker, Facts};
pub use known_hosts::KnownHosts;
