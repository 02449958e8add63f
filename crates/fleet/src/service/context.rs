//! What names in templates mean.

use inventory::{Inventory, Node};
use minijinja::{Value, context, value::Serde};

/// What is the same on all nodes: all nodes of the inventory by name, and the secrets.
#[derive(Clone, Debug)]
pub struct Shared {
    nodes: Value,
    secrets: Value,
}

impl Shared {
    /// From an inventory and secret values by name.
    pub fn new(inventory: &Inventory, secrets: Value) -> Self {
        let nodes = inventory.nodes.values().map(|n| (n.name.as_str(), own(n)));
        Shared { nodes: Value::from_pairs(nodes), secrets }
    }

    /// What names mean on a node: its metadata, and `node`, `platform`, `services`, `groups`, `nodes`, `secrets`.
    pub fn of(&self, node: &Node) -> Value {
        context! { nodes => self.nodes.clone(), secrets => self.secrets.clone(), ..own(node) }
    }
}

fn own(node: &Node) -> Value {
    let metadata = Value::from(Serde(&node.metadata));
    context! {
        node => node.name.as_str(),
        platform => node.platform.as_str(),
        services => Value::from(Serde(&node.services)),
        groups => Value::from(Serde(&node.groups)),
        ..metadata
    }
}
