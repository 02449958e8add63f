//! The host agent, the shim of each VM, and the runtimes.

pub mod runtimes;
pub mod shim;
