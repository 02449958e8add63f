//! Services: what `services/NAME/service.yaml` says, rendered for a node.

mod catalog;
mod context;
mod definition;
mod file;
pub(crate) mod order;
mod read;
mod render;
mod step;
mod text;

pub use catalog::{Catalog, Origin};
pub use context::Shared;
pub use definition::Definition;
pub use file::{Needs, ServiceFile};
pub use read::Read;
pub use step::{Action, Ansible, InRuby, Retry, Script, Service, Step, Upload, Work};
pub use text::{Renderer, Source, Text, environment};
