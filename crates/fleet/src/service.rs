//! Services: what `services/NAME/service.yaml` says, rendered for a node.

mod catalog;
mod context;
mod file;
pub(crate) mod order;
mod render;
mod step;
mod text;

pub use catalog::{Catalog, Definition};
pub use context::Shared;
pub use file::{Needs, ServiceFile};
pub use step::{Action, Ansible, InRuby, Retry, Script, Service, Step, Upload, Work};
pub use text::{Renderer, Source, Text, environment};
