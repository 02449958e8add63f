//! Logs of deployments: on each node, and on the operator's machine.

mod entry;

pub use entry::{Entry, Repository};
