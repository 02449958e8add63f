//! The agent as a whole, on synthetic machines.

mod guests;
mod images;
mod links;
mod rig;
mod transitions;

/// The work of a VM, for tests of the parts.
pub fn some_work() -> api::assignment::Work {
    rig::work(rig::spec())
}
