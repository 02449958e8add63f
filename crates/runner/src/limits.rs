//! What an operation may use.

use base::ByteSize;
use std::time::Duration;

/// What an operation may use, all its processes together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Memory, with that of its `/tmp`. There is no swap for it.
    pub memory: ByteSize,
    /// Processors that it may keep busy at a time.
    pub cpus: u32,
    /// CPU time.
    pub cpu: Duration,
    /// Processes and threads at a time.
    pub processes: u32,
    /// The largest file that one of its processes may write, and the size of its `/tmp`.
    pub file: ByteSize,
    /// Time in all.
    pub time: Duration,
    /// Bytes of output that are kept.
    pub output: ByteSize,
    /// Bytes of output after which it is ended: whoever says so much never stops.
    pub flood: ByteSize,
}

impl Default for Limits {
    /// 4 GiB, two processors, half an hour of CPU time, 512 processes, files of 1 GiB, two hours, 16 MiB of output that are
    /// kept and 256 MiB in all.
    fn default() -> Self {
        Limits {
            memory: ByteSize::gib(4),
            cpus: 2,
            cpu: Duration::from_mins(30),
            processes: 512,
            file: ByteSize::gib(1),
            time: Duration::from_hours(2),
            output: ByteSize::mib(16),
            flood: ByteSize::mib(256),
        }
    }
}
