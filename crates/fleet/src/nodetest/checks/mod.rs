//! What each test asks a node, and what the answer must be.

mod connection;
mod disks;
mod files;
mod freshness;
mod hostname;
mod ip;
mod listening;
mod mounts;
mod orphans;
mod users;

pub use files::Files;
pub use orphans::Orphans;

use super::{Kind, ports, probe::Probe, wanted::Wanted};
use inventory::Node;

/// The questions that the tests of one kind ask a node; `None` where there is nothing to ask.
pub fn probe(kind: Kind, node: &Node, wanted: &Wanted) -> Option<Box<dyn Probe>> {
    match kind {
        Kind::Connection => Some(Box::new(connection::Connection)),
        Kind::Hostname => hostname::Hostname::of(node).map(|p| Box::new(p) as Box<dyn Probe>),
        Kind::Ip => ip::Ip::of(node).map(|p| Box::new(p) as Box<dyn Probe>),
        Kind::Mounts if !wanted.mounts.is_empty() => Some(Box::new(mounts::Mounts(wanted.mounts.clone()))),
        Kind::LocalUsers if !wanted.users.is_empty() => Some(Box::new(users::Users(wanted.users.clone()))),
        Kind::Files if !wanted.files.is_empty() => Some(Box::new(Files::new(&wanted.files))),
        Kind::DiskSpace => Some(Box::new(disks::Disks { used_at_most: wanted.used_at_most })),
        Kind::DeployFreshness if !node.services.is_empty() => {
            let (days, log_dir) = (wanted.deployed_within, wanted.log_dir.clone());
            Some(Box::new(freshness::Freshness { days, now: rt::clock::wall(), log_dir }))
        }
        Kind::Ports if !wanted.ports.is_empty() && ports::address(node).is_none() => {
            Some(Box::new(listening::Listening(wanted.ports.clone())))
        }
        _ => None,
    }
}
