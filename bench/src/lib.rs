//! What the benchmarks share: numbers, rows of the report, what the system says of a process.

#![allow(clippy::disallowed_macros, clippy::disallowed_methods)] // tools of their own: they print, and read argv
#![allow(clippy::expect_used)] // what is not as it must be ends the benchmark

mod figures;
mod processes;
mod report;

pub use figures::{Latencies, median, rate};
pub use processes::{Usage, cpu_time, cpu_time_of_children, cpu_time_with_children, rss};
pub use report::{Row, note};

/// Whether the command line has this flag.
pub fn flag(name: &str) -> bool {
    std::env::args().any(|a| a == name)
}

/// Argument `n`, counted from 1, that is not a flag.
pub fn argument(n: usize) -> Option<String> {
    std::env::args().filter(|a| !a.starts_with("--")).nth(n)
}
