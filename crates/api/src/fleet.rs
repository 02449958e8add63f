//! Fleet directories that the controller knows, what is done with them, and the credentials for their nodes.

use crate::meta::{Empty, Object};
use base::{Error, Name, Secret};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A registered fleet directory.
pub type Fleet = Object<FleetSpec, FleetStatus>;

/// Where a fleet directory is, and what its operations are given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FleetSpec {
    /// Where the directory comes from, anew for each operation.
    pub source: FleetSource,
    /// The host keys of its nodes, and of the host that its repository is on: lines of `known_hosts`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub known_hosts: String,
    /// The credentials of its project that its operations may use.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub credentials: Vec<Name>,
    /// Seconds between two checks of all nodes that the controller makes by itself; absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check_every_seconds: Option<u64>,
}

/// Where a fleet directory comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum FleetSource {
    /// A git repository.
    Git(GitSource),
    /// A directory of the controller's host. It is copied before anything of it runs. Only a cluster's admin says so.
    Path(String),
}

/// A git repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct GitSource {
    /// `https://...`, `ssh://...` or `user@host:path`.
    pub url: String,
    /// The branch or tag; absent: the repository's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// The directory in it; absent: its root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory: Option<String>,
}

/// What is known of a fleet directory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct FleetStatus {
    /// The last check of all nodes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_check: Option<FleetCheck>,
    /// Milliseconds of the time until the next check by the schedule that are used up; kept over controller restarts.
    #[serde(skip_serializing_if = "crate::vm::is_default")]
    pub elapsed_ms: u64,
}

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FleetCheck {
    /// When it ended.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// The operation with all of it.
    pub operation: Name,
    /// What it came to.
    pub drift: Drift,
}

/// Whether nodes are as they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub enum Drift {
    /// They are.
    None,
    /// A deploy would change something.
    Pending,
    /// Not all nodes could be checked.
    Unknown,
}

/// What to do with a fleet directory: one of the fleet verbs of the command line, with its arguments.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FleetRequest {
    /// The verb.
    pub verb: FleetVerb,
    /// Its arguments, as on a command line: `["--all", "--command", "uptime"]`.
    #[serde(default)]
    pub arguments: Vec<String>,
}

/// What can be done with a fleet directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum FleetVerb {
    /// Runs commands.
    Run,
    /// Shows what a deploy would change.
    Check,
    /// Makes nodes as they should be.
    Deploy,
}

impl FleetVerb {
    /// As on a command line, and as the kind of its operations.
    pub fn as_str(self) -> &'static str {
        match self {
            FleetVerb::Run => "run",
            FleetVerb::Check => "check",
            FleetVerb::Deploy => "deploy",
        }
    }

    /// Whether it may be begun again after it was cut off: what converges may, commands may not.
    pub fn repeats(self) -> bool {
        !matches!(self, FleetVerb::Run)
    }
}

/// The input of a fleet operation, kept with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FleetInput {
    /// The fleet directory.
    pub fleet: Name,
    /// What it was then.
    pub source: FleetSource,
    /// What was asked.
    pub request: FleetRequest,
}

/// A secret of a project for the operations of its fleet directories.
pub type Credential = Object<CredentialSpec, Empty>;

/// A secret. Its value is never answered, nor does a private key ever enter the place where a directory's code runs: that
/// can only ask for signatures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CredentialSpec {
    /// What it is.
    pub kind: CredentialKind,
    /// For people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// The value. Write-only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(write_only)]
    pub value: Option<Secret>,
}

/// What a credential is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum CredentialKind {
    /// A private key for SSH, without a passphrase.
    SshKey,
    /// A text that a directory asks for by name.
    Text,
}

/// What happens on the nodes of an operation: a line of JSON each, as it happens. Outputs are in the log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "event", rename_all = "camelCase")]
pub enum NodeEvent {
    /// A node waits for its turn.
    Queued {
        /// The node.
        node: String,
    },
    /// A node has begun.
    Started {
        /// The node.
        node: String,
    },
    /// A node could not be reached, and is tried again.
    Again {
        /// The node.
        node: String,
        /// Why it could not be reached.
        #[schema(value_type = Object)]
        error: Error,
    },
    /// A step of a node has begun or ended.
    Step {
        /// The node.
        node: String,
        /// The step.
        #[serde(flatten)]
        step: NodeStep,
    },
    /// A node has ended.
    Finished {
        /// The node.
        node: String,
        /// How it went.
        #[serde(flatten)]
        outcome: NodeOutcome,
    },
}

/// A step of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeStep {
    /// Its service; commands of a run have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// What it is called.
    pub step: String,
    /// How far it is.
    pub state: NodeStepState,
}

/// How far a step of a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum NodeStepState {
    /// It runs.
    Started,
    /// It ended well.
    Done,
    /// It did not.
    Failed,
}

/// How it went on a node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeOutcome {
    /// `ok`, `failed`, `unreachable`, `timeout`, `cancelled` or `skipped`; empty before its end.
    pub status: String,
    /// The exit code of the command that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<u32>,
    /// From its start to its end, in seconds.
    pub seconds: f64,
    /// Why it is not well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub error: Option<Error>,
}

/// What became of a node, in the result of an operation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeResult {
    /// How it went.
    #[serde(flatten)]
    pub outcome: NodeOutcome,
    /// Its steps that were begun, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<NodeStep>,
}
