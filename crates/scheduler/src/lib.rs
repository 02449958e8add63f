//! Filter, score, place, explain. Pure: no I/O and no clock; times come in as milliseconds.
//!
//! `Cluster` keeps the books: what each worker has, what is taken, and which VMs wait. Changes are told to it one by
//! one, and `schedule` then places what can be placed:
//!
//! ```text
//! Cluster::new(Settings) -> Cluster
//! set_settings(&mut self, Settings)
//! upsert_worker(&mut self, WorkerOffer)            the whole offer, new or changed
//! remove_worker(&mut self, Uid)                    its VMs stay charged until released
//! reserve(&mut self, worker: Uid, vm: Uid, Charge) what is assigned already; replaces an earlier one of that VM
//! release(&mut self, vm: Uid) -> Option<Uid>       frees it; the worker it was on
//! submit(&mut self, Request) -> bool               false: it is assigned already; replaces an earlier request
//! withdraw(&mut self, vm: Uid) -> bool             takes it out of the queue
//! schedule(&mut self, now_ms, max) -> Vec<Decision>
//! next_wake(&self, now_ms) -> Option<u64>          when schedule has something to do without any change
//! explain(&self, vm: Uid, viewer: Option<&str>) -> Option<Explanation>   viewer: a project, None sees all
//! preview(&self, &Request, now_ms) -> Result<Uid, Explanation>           changes nothing
//! usage(&self, worker: Uid) -> Option<Usage>
//! assigned(&self, vm: Uid) -> Option<Uid>
//! waiting(&self) -> usize
//! ```

mod model;
mod reason;

pub use model::{
    Amounts, Availability, Charge, Decision, MACOS, Needs, Profile, Request, Settings, Usage, WorkerOffer,
};
pub use reason::{Count, Explanation, Reason, Resource};
