//! Nodes, their metadata and services, from platforms of several kinds; selectors.

mod node;
mod selection;

pub use node::{Inventory, Metadata, Node};
pub use selection::{Selection, Selector};
