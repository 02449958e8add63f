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

/// User and system time: fields 14 and 15 of `stat`, in hundredths of a second.
pub fn cpu_time(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_ascii_whitespace();
    Duration::from_millis(fields.skip(11).take(2).map(|n| n.parse::<u64>().unwrap_or(0) * 10).sum())
}
