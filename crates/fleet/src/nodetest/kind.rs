//! The tests that are built in.

use base::{Code, Error, Result};
use std::{fmt, str::FromStr};

/// A test that is built in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A command can be run.
    Connection,
    /// The node calls itself as the inventory does.
    Hostname,
    /// The node has the addresses that the inventory gives it.
    Ip,
    /// Ports that must be open are, and those that must be closed are not.
    Ports,
    /// Mounts.
    Mounts,
    /// Users in the node's own files.
    LocalUsers,
    /// Files that must be there, or must not.
    Files,
    /// No disk is full.
    DiskSpace,
    /// No file belongs to a user or a group that does not exist.
    OrphanFiles,
    /// The last deployment is not too long ago, and went well.
    DeployFreshness,
    /// A check of the node runs through.
    CanBeChecked,
    /// A check finds nothing that a deployment would change.
    Divergence,
    /// A deployment on a fresh container goes well.
    DeployFromScratch,
    /// A second deployment there changes nothing.
    Idempotence,
    /// The history of a platform's repository is a line.
    LinearHistory,
    /// No two nodes have the same address.
    UniqueAddresses,
}

impl Kind {
    /// Those that a check answers.
    pub(super) const BY_CHECK: [Kind; 2] = [Kind::CanBeChecked, Kind::Divergence];
    /// Those that need a container, in the order in which they come to pass.
    pub(super) const ON_CONTAINER: [Kind; 2] = [Kind::DeployFromScratch, Kind::Idempotence];

    /// All of them, in the order in which results are shown.
    pub const ALL: [Kind; 16] = [
        Kind::Connection,
        Kind::Hostname,
        Kind::Ip,
        Kind::Ports,
        Kind::Mounts,
        Kind::LocalUsers,
        Kind::Files,
        Kind::DiskSpace,
        Kind::OrphanFiles,
        Kind::DeployFreshness,
        Kind::CanBeChecked,
        Kind::Divergence,
        Kind::DeployFromScratch,
        Kind::Idempotence,
        Kind::LinearHistory,
        Kind::UniqueAddresses,
    ];

    /// Its name, as `--test` takes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Connection => "connection",
            Kind::Hostname => "hostname",
            Kind::Ip => "ip",
            Kind::Ports => "ports",
            Kind::Mounts => "mounts",
            Kind::LocalUsers => "local_users",
            Kind::Files => "files",
            Kind::DiskSpace => "disk_space",
            Kind::OrphanFiles => "orphan_files",
            Kind::DeployFreshness => "deploy_freshness",
            Kind::CanBeChecked => "can_be_checked",
            Kind::Divergence => "divergence",
            Kind::DeployFromScratch => "deploy_from_scratch",
            Kind::Idempotence => "idempotence",
            Kind::LinearHistory => "linear_history",
            Kind::UniqueAddresses => "unique_addresses",
        }
    }

    /// What it says, in one line.
    pub fn summary(self) -> &'static str {
        match self {
            Kind::Connection => "a command can be run",
            Kind::Hostname => "the node calls itself as the inventory does",
            Kind::Ip => "the node has its private addresses",
            Kind::Ports => "opened_ports answer, closed_ports do not",
            Kind::Mounts => "mounts are there, no_mounts are not",
            Kind::LocalUsers => "users exist, no_users do not",
            Kind::Files => "files exist, no_files do not",
            Kind::DiskSpace => "no disk is fuller than disk.used_at_most percent",
            Kind::OrphanFiles => "every file belongs to a user and a group that exist",
            Kind::DeployFreshness => "the last deployment went well, at most deployed_within days ago",
            Kind::CanBeChecked => "a check of the node runs through",
            Kind::Divergence => "a check finds nothing that a deployment would change",
            Kind::DeployFromScratch => "a deployment on a throw-away container goes well",
            Kind::Idempotence => "a second deployment there changes nothing",
            Kind::LinearHistory => {
                "the platform's repository had no merges that are not linear in six months"
            }
            Kind::UniqueAddresses => "no two nodes have the same address",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Kind {
    type Err = Error;

    /// With dashes for underscores too, and by the names that Hybrid Platforms Conductor has for them.
    fn from_str(text: &str) -> Result<Self> {
        let name = text.replace('-', "_");
        let name = match name.as_str() {
            "file_system" => "files",
            "linear_strategy" => "linear_history",
            "private_ips" => "unique_addresses",
            "check_deploy_and_idempotence" => "idempotence",
            other => other,
        };
        let known = Kind::ALL.into_iter().find(|kind| kind.as_str() == name);
        known.ok_or_else(|| Error::new(Code::NotFound, format!("there is no test '{text}'")))
    }
}
