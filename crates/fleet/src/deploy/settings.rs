//! How a fleet is deployed: the section `deploy` of `hostler.yaml`.

use super::RetryRule;
use crate::service::Text;
use serde::Deserialize;

/// The section. Paths are templates over the metadata of each node.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Section {
    /// Where a node keeps its logs; `/var/log/deployments` for root.
    pub log_dir: Option<Text>,
    /// Where a node keeps its lock and the handlers it owes; `/var/lib/hostler` for root.
    pub state_dir: Option<Text>,
    /// How long to wait for another deployment of a node, in seconds.
    pub lock_timeout: Option<u64>,
    /// How long a node may take to show what it has, in seconds: a look at a file system whose server is gone has no end.
    pub look_timeout: Option<u64>,
    /// Failures after which a node is done again.
    pub retry: Vec<RetryRule>,
}
