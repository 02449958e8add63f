//! Filter, score, place, explain. Pure: no I/O and no clock; times come in as milliseconds.
//!
//! [`Cluster`] keeps the books: what each worker has, what is taken, and which VMs wait. Changes are told to it one by
//! one, and [`Cluster::schedule`] then places what can be placed.
//!
//! Three structures make it fast. Workers that differ only in numbers form a group, sorted by load and searchable by
//! what is free (`fleet`, `ranked`). Requests with equal needs form a class, which rests as a whole while it fits
//! nowhere (`queue`). A change wakes only the classes that fit on the worker it happened on.
//!
//! A VM that others overtook for too long gets a worker held for it: what is free there, or becomes free, is kept from
//! VMs behind it in the queue. So large VMs do not starve, and nobody waits for a hold but those behind it.

mod account;
mod cluster;
mod explain;
mod fleet;
mod images;
mod model;
mod queue;
mod rank;
mod ranked;
mod reason;
mod resting;
mod search;
mod slots;
#[cfg(test)]
mod tests;
mod words;

pub use cluster::Cluster;
pub use explain::Explainer;
pub use model::{
    Amounts, Availability, Charge, Decision, MACOS, Needs, Profile, Request, Settings, Usage, WorkerOffer,
};
pub use reason::{Count, Explanation, Reason, Resource};
