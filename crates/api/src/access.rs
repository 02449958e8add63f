//! Projects, service accounts, roles, join tokens: who may do what. One table says it all: [`Role::allows`].

use crate::meta::{Empty, Object};
use base::{Name, Secret};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What owns VMs. `default` exists from the start.
pub type Project = Object<ProjectSpec, Empty>;

/// What an admin says of a project.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct ProjectSpec {
    /// For people.
    pub description: String,
}

/// The project that exists from the start, and that nobody needs to name.
pub const DEFAULT_PROJECT: &str = "default";

/// A program or person that holds a token.
pub type ServiceAccount = Object<ServiceAccountSpec, ServiceAccountStatus>;

/// What an admin says of a service account.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct ServiceAccountSpec {
    /// For people.
    pub description: String,
    /// Its token is refused.
    pub disabled: bool,
}

/// What is known of a service account.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ServiceAccountStatus {
    /// SHA-256 of its token. Never answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_hash: Option<Secret>,
    /// When the token was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub token_created_at: Option<Timestamp>,
}

/// A token, shown once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NewToken {
    /// The account it belongs to.
    pub account: Name,
    /// The text to send as `Authorization: Bearer ...`.
    pub token: Secret,
}

/// A role that an account has somewhere.
pub type RoleBinding = Object<RoleBindingSpec, Empty>;

/// Which role, whose, where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RoleBindingSpec {
    /// The service account.
    pub account: Name,
    /// Its role.
    pub role: Role,
    /// The project it holds in; absent: in the whole cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<Name>,
}

/// A token with which one host may join as a worker.
pub type JoinToken = Object<JoinTokenSpec, JoinTokenStatus>;

/// What an admin says of a join token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct JoinTokenSpec {
    /// Hosts that may use it.
    pub uses: u32,
    /// Seconds after which nobody may.
    pub ttl_seconds: u64,
}

impl Default for JoinTokenSpec {
    fn default() -> Self {
        JoinTokenSpec { uses: 1, ttl_seconds: 24 * 3600 }
    }
}

/// What is known of a join token.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct JoinTokenStatus {
    /// SHA-256 of its secret part. Never answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_hash: Option<Secret>,
    /// Hosts that have used it.
    pub used: u32,
    /// The token's text: only in the answer that makes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<Secret>,
}

/// Who a request comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WhoAmI {
    /// The service account.
    pub account: Name,
    /// Its roles.
    pub roles: Vec<RoleBindingSpec>,
}

/// What a role says one may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Everything in its scope.
    Admin,
    /// Runs VMs and images.
    Operator,
    /// Gets into VMs that others made.
    Connect,
    /// Looks.
    Viewer,
    /// What a worker needs, and nothing else.
    Worker,
}

impl Role {
    /// Every role.
    pub const ALL: [Role; 5] = [Role::Admin, Role::Operator, Role::Connect, Role::Viewer, Role::Worker];

    /// Its name, as in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Admin => "admin",
            Role::Operator => "operator",
            Role::Connect => "connect",
            Role::Viewer => "viewer",
            Role::Worker => "worker",
        }
    }
}

/// What one does to a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Verb {
    /// Get, list or watch.
    Read,
    /// Make a new one.
    Create,
    /// Change one.
    Update,
    /// Remove one.
    Delete,
    /// Get into one: shell, command, port, screen, console.
    Connect,
}

impl Verb {
    /// Every verb.
    pub const ALL: [Verb; 5] = [Verb::Read, Verb::Create, Verb::Update, Verb::Delete, Verb::Connect];
}

/// What is done to. Those of [`Resource::in_project`] belong to a project, the others to the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum Resource {
    /// VMs.
    Vm,
    /// The logs of VMs.
    VmLog,
    /// Hosts.
    Worker,
    /// Images.
    Image,
    /// The bytes of images.
    Blob,
    /// Projects.
    Project,
    /// Service accounts and their tokens.
    ServiceAccount,
    /// Role bindings.
    RoleBinding,
    /// Join tokens.
    JoinToken,
    /// Cluster settings.
    Settings,
    /// Fleet directories, and what is done with them.
    Fleet,
    /// Credentials for nodes.
    Credential,
    /// Events: those of a project, and those of the cluster.
    Event,
    /// Operations.
    Operation,
    /// Audit records.
    Audit,
    /// Backups of the store.
    Backup,
    /// Metrics.
    Metrics,
}

impl Resource {
    /// Every resource.
    pub const ALL: [Resource; 17] = [
        Resource::Vm,
        Resource::VmLog,
        Resource::Worker,
        Resource::Image,
        Resource::Blob,
        Resource::Project,
        Resource::ServiceAccount,
        Resource::RoleBinding,
        Resource::JoinToken,
        Resource::Settings,
        Resource::Fleet,
        Resource::Credential,
        Resource::Event,
        Resource::Operation,
        Resource::Audit,
        Resource::Backup,
        Resource::Metrics,
    ];

    /// Whether its objects belong to projects.
    pub fn in_project(self) -> bool {
        matches!(
            self,
            Resource::Vm
                | Resource::VmLog
                | Resource::Fleet
                | Resource::Credential
                | Resource::Event
                | Resource::Operation
        )
    }

    /// Whether a role in any one project is enough to read it: what everybody needs in order to use a project.
    pub fn shared(self) -> bool {
        matches!(self, Resource::Image | Resource::Project)
    }
}

impl Role {
    /// The table. Denies by default.
    pub fn allows(self, verb: Verb, resource: Resource) -> bool {
        use Resource as R;
        use Verb as V;
        match self {
            Role::Admin => resource != R::Blob || verb == V::Read,
            Role::Operator => match resource {
                R::Vm | R::Fleet | R::Credential => true,
                R::Image => matches!(verb, V::Read | V::Create | V::Update | V::Delete),
                R::VmLog | R::Event | R::Operation | R::Worker | R::Project | R::Metrics => verb == V::Read,
                _ => false,
            },
            Role::Connect => match resource {
                R::Vm => matches!(verb, V::Read | V::Connect),
                R::VmLog | R::Fleet | R::Event | R::Image | R::Project => verb == V::Read,
                _ => false,
            },
            Role::Viewer => match resource {
                R::Vm
                | R::VmLog
                | R::Fleet
                | R::Event
                | R::Operation
                | R::Worker
                | R::Image
                | R::Project
                | R::Metrics => verb == V::Read,
                _ => false,
            },
            Role::Worker => resource == R::Blob && verb == V::Read,
        }
    }
}
