//! Tests of nodes, platforms and services: `hostler test`.
//!
//! What a node should be like is declared by [`Declared`], the section `tests` of `hostler.yaml`. The small questions of
//! all tests of a node travel as one script in one session; what may take long has commands of its own beside it.
//! Services are checked there, and tried on throw-away containers that stand for nodes.
//! Results are judged at the end, with the failures that are expected in mind.

mod checks;
mod container;
mod declared;
mod expected;
mod files;
mod kind;
mod outcome;
mod plan;
mod platform;
mod ports;
mod probe;
mod report;
mod rollout;
mod runner;
mod script;
mod trial;
mod visit;
mod wanted;
mod way;

pub use declared::{Containers, Declared, Disk, ExpectedFailure, Mount, On, Rule, ScriptRule, Where};
pub use kind::Kind;
pub use outcome::{Outcome, Status, Subject};
pub use report::{Counts, Report};
pub use runner::{Chosen, Runner};
pub use script::Script;
