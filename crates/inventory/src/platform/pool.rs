//! The VMs of a controller.

use super::Found;
use crate::{Metadata, Node};
use api::Vm;
use base::Result;
use futures::future::BoxFuture;
use serde_json::{Value, json};

/// Whoever can ask the controller.
pub trait Pool: Send + Sync {
    /// All VMs of a project; without one, of the project that is meant where none is named.
    fn vms<'a>(&'a self, project: Option<&'a str>) -> BoxFuture<'a, Result<Vec<Vm>>>;
}

/// Asks for the VMs. `vm` (`name.project`) says how they are reached: through the controller.
pub async fn read(pool: &dyn Pool, project: Option<&str>) -> Result<Found> {
    let vms = pool.vms(project).await?;
    Ok(Found { nodes: vms.iter().map(node).collect(), ..Found::default() })
}

fn node(vm: &Vm) -> Node {
    let name = vm.metadata.name.to_string();
    let project = vm.metadata.project.as_ref().map_or_else(String::new, ToString::to_string);
    let mut metadata = Metadata::new();
    let mut say = |key: &str, value: Value| drop(metadata.insert(key.to_owned(), value));
    say("vm", format!("{name}.{project}").into());
    say("project", project.clone().into());
    say("image", vm.spec.image.as_str().into());
    say("cpus", vm.spec.cpus.into());
    say("phase", json!(vm.status.phase));
    say("labels", json!(vm.metadata.labels));
    if let Some(worker) = &vm.status.worker {
        say("worker", worker.name.as_str().into());
    }
    Node { origin: format!("the VM {name} of the project {project}"), name, metadata, ..Node::default() }
}
