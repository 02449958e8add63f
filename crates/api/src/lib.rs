//! What travels: resources, requests, answers, problems, stream messages, and the table of routes.
//!
//! No I/O. `server` mounts [`routes::ROUTES`], `client` calls them, `controller` stores the resources, `worker` is told
//! by [`assignment`] what to run. Unknown fields are refused by the server's extractor, never by these types: stores,
//! links and clients of other versions must be able to ignore them.

pub mod access;
pub mod assignment;
pub mod fleet;
pub mod image;
pub mod meta;
pub mod problem;
pub mod query;
pub mod record;
pub mod routes;
pub mod settings;
pub mod stream;
pub mod strict;
pub mod validate;
pub mod vm;
pub mod worker;

pub use access::{
    JoinToken, JoinTokenSpec, Project, ProjectSpec, Role, RoleBinding, RoleBindingSpec, ServiceAccount,
    ServiceAccountSpec, Verb,
};
pub use fleet::{Credential, CredentialSpec, Fleet, FleetSpec};
pub use image::{Image, ImageSpec, ImageStatus};
pub use meta::{Condition, Empty, List, Metadata, NewObject, Object, Patch};
pub use problem::Problem;
pub use record::{AuditRecord, Event, Operation};
pub use settings::{Settings, SettingsSpec};
pub use vm::{Vm, VmPhase, VmSpec, VmStatus};
pub use worker::{Worker, WorkerSpec, WorkerStatus};
