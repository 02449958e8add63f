//! What Linux says of a process (proc(5)).

use std::{fs, time::Duration};

/// Memory and processor time of a process.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    /// Resident memory now, in MiB.
    pub rss: u64,
    /// Resident memory at most, in MiB.
    pub peak: u64,
}

/// What a process has in memory.
pub fn rss(pid: u32) -> Usage {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let field = |name: &str| {
        let line = status.lines().find_map(|l| l.strip_prefix(name)).unwrap_or_default();
        line.split_whitespace().next().and_then(|n| n.parse::<u64>().ok()).unwrap_or(0) / 1024
    };
    Usage { rss: field("VmRSS:"), peak: field("VmHWM:") }
}

/// User and system time.
pub fn cpu_time(pid: u32) -> Duration {
    times(&pid.to_string(), 11, 2)
}

/// The same with that of its children which have ended and were waited for.
pub fn cpu_time_with_children(pid: u32) -> Duration {
    times(&pid.to_string(), 11, 4)
}

/// User and system time of our own children which have ended and were waited for, and of theirs.
pub fn cpu_time_of_children() -> Duration {
    times("self", 13, 2)
}

/// Fields of `stat`, in hundredths of a second: user and system time are 14 and 15, those of children 16 and 17.
fn times(pid: &str, skip: usize, take: usize) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_ascii_whitespace();
    Duration::from_millis(fields.skip(skip).take(take).map(|n| n.parse::<u64>().unwrap_or(0) * 10).sum())
}
