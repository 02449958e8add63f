//! Logs of deployments: on each node, and on the operator's machine.

mod entry;
mod journal;
mod read;

pub use entry::{Entry, Repository};
pub use journal::{Cut, Event, Journal, cut_off};
pub use read::newest;
pub(crate) use read::script as newest_script;
