//! The clock, child processes, owned tasks, files and the host: all that touches the operating system, and all that
//! differs between Linux and macOS. The only crate that reads clocks or starts tasks, threads and processes.

pub mod clock;
pub mod failpoint;
pub mod files;
pub mod host;
pub mod ids;
pub mod locked;
pub mod process;
pub mod socket;
pub mod task;
