//! The section `tests` of `hostler.yaml`.

use base::{Error, Result};
use inventory::{Inventory, Selection, Selector};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

/// The section `tests`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Declared {
    /// What nodes should be like. A node has what all rules say that mean it.
    pub rules: Vec<Rule>,
    /// Tests of one's own, in `tests/`, that are not as all others are.
    pub scripts: Vec<ScriptRule>,
    /// Tests that are known to fail.
    pub expected_failures: Vec<ExpectedFailure>,
    /// The throw-away containers that stand for nodes.
    pub containers: Containers,
}

/// Throw-away containers: each stands for a node while its services are tried on it.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Containers {
    /// What they are made of, where no rule says otherwise.
    pub image: Option<String>,
    /// The engine, as in `DOCKER_HOST`; that of the Docker client.
    pub docker_host: Option<String>,
    /// More flags of `docker run`.
    pub options: Vec<String>,
    /// Directories in which a second deployment may change files.
    pub ignore_changes: Vec<String>,
    /// How long the start and each deployment may take, in seconds.
    pub timeout: u64,
}

impl Default for Containers {
    fn default() -> Self {
        Containers {
            image: None,
            docker_host: None,
            options: Vec::new(),
            ignore_changes: Vec::new(),
            timeout: 600,
        }
    }
}

/// Which nodes something is for: selectors, none of them for all nodes.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(transparent)]
pub struct Where(Vec<Selector>);

/// What the nodes that it is `for` should be like.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rule {
    /// Which nodes.
    pub r#for: Where,
    /// TCP ports that must answer.
    pub opened_ports: Vec<u16>,
    /// TCP ports that must not.
    pub closed_ports: Vec<u16>,
    /// What must be mounted.
    pub mounts: Vec<Mount>,
    /// What must not be mounted.
    pub no_mounts: Vec<Mount>,
    /// Users that must be in `/etc/passwd`.
    pub users: Vec<String>,
    /// Users that must not.
    pub no_users: Vec<String>,
    /// Paths that must exist.
    pub files: Vec<String>,
    /// Paths that must not.
    pub no_files: Vec<String>,
    /// Directories in which files may belong to nobody.
    pub ignore_orphans: Vec<String>,
    /// How full disks may be.
    pub disk: Option<Disk>,
    /// How long ago the last deployment may be, in days.
    pub deployed_within: Option<u16>,
    /// The image of the containers that stand for them.
    pub image: Option<String>,
}

/// A mount. What is not given does not matter.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(deny_unknown_fields)]
pub struct Mount {
    /// Where.
    pub target: String,
    /// What: a device, `server:/path`.
    pub source: Option<String>,
    /// Which kind of file system.
    pub r#type: Option<String>,
}

/// How full disks may be.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Disk {
    /// Percent of space, and of inodes.
    pub used_at_most: u8,
}

/// How a script of `tests/` is run.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScriptRule {
    /// The file's name without `.sh`.
    pub name: String,
    /// For which nodes.
    #[serde(default)]
    pub r#for: Where,
    /// Where it runs.
    #[serde(default)]
    pub on: On,
    /// What it is run with.
    #[serde(default)]
    pub args: Vec<String>,
    /// Variables for it.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Variables for it that are secrets: `TOKEN: web.token`.
    #[serde(default)]
    pub secrets: BTreeMap<String, String>,
    /// How long it may take, in seconds.
    #[serde(default = "a_minute")]
    pub timeout: u64,
}

/// Where a script runs.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum On {
    /// On each node.
    #[default]
    Node,
    /// On this host, once for each node.
    Controller,
}

pub(super) fn a_minute() -> u64 {
    60
}

/// Tests that are known to fail. One that passes all the same is an error, and so is one that does not exist.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExpectedFailure {
    /// Their names.
    pub tests: Vec<String>,
    /// On which nodes. A platform is meant where all its nodes are.
    #[serde(default)]
    pub r#for: Where,
    /// Why.
    pub reason: String,
}

impl Where {
    /// The names of the nodes.
    ///
    /// # Errors
    /// It names what does not exist.
    pub async fn names(&self, inventory: &Inventory) -> Result<BTreeSet<String>> {
        let selection = match self.0.as_slice() {
            [] => Selection::all(),
            some => Selection { include: some.to_vec(), allow_empty: true, ..Selection::default() },
        };
        let nodes = selection
            .select(inventory)
            .await
            .map_err(|e: Error| if e.field.is_none() { e.at("tests") } else { e });
        Ok(nodes?.into_iter().map(|n| n.name.clone()).collect())
    }
}
