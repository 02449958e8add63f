//! What an inventory knows, for Ruby code that asks.

use super::{Answers, Question};
use base::Result;
use futures::future::{BoxFuture, FutureExt};
use inventory::{Inventory, Selection, Selector};
use serde_json::{Value, json};
use tokio::sync::Mutex;

/// Answers from an inventory and the sources of metadata that it has.
#[derive(Debug)]
pub struct Known(Mutex<Inventory>);

impl Known {
    /// Of this inventory, as it is now.
    pub fn new(inventory: Inventory) -> Self {
        Known(Mutex::new(inventory))
    }

    async fn property(&self, name: &str, property: &str) -> Result<Value> {
        let mut inventory = self.0.lock().await;
        inventory.fetch(property, [name]).await?;
        let Some(node) = inventory.nodes.get(name) else { return Ok(Value::Null) };
        Ok(match (node.metadata.get(property), property) {
            (Some(value), _) => value.clone(),
            (None, "services") => json!(node.services),
            (None, _) => Value::Null,
        })
    }

    async fn nodes(&self, selectors: &[String]) -> Result<Value> {
        let include = selectors.iter().map(|s| s.parse::<Selector>()).collect::<Result<_>>()?;
        let selection = Selection { include, ..Selection::all() };
        let nodes = self.0.lock().await.choose(&selection).await?;
        Ok(nodes.into_iter().map(|n| Value::String(n.name)).collect())
    }
}

impl Answers for Known {
    fn answer(&self, question: Question) -> BoxFuture<'_, Result<Value>> {
        async move {
            match question {
                Question::Property { property, node } => self.property(&node, &property).await,
                Question::Nodes { select } => self.nodes(&select).await,
            }
        }
        .boxed()
    }
}
