//! The host agent, the shim of each VM, and the runtimes.

pub mod agent;
pub mod runtimes;
pub mod shim;
