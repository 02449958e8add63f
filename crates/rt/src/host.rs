//! What this machine is.

use std::fs;

/// `amd64`, `arm64`, or what Rust calls it.
pub fn arch() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// `linux` or `macos`.
pub fn os() -> &'static str {
    std::env::consts::OS
}

/// Logical CPUs this process may use.
pub fn cpus() -> u32 {
    std::thread::available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(u32::MAX))
}

/// Bytes of memory of the machine.
pub fn memory() -> u64 {
    #[cfg(target_os = "linux")]
    {
        let info = rustix::system::sysinfo();
        info.totalram * u64::from(info.mem_unit)
    }
    #[cfg(not(target_os = "linux"))]
    {
        0
    }
}

/// The machine's name, up to the first dot.
pub fn hostname() -> String {
    let name = rustix::system::uname();
    name.nodename().to_string_lossy().split('.').next().unwrap_or("host").to_lowercase()
}

/// What differs after each boot. Without one (macOS, a container without /proc), the same text always: nothing is then
/// taken for dead merely because of it.
pub fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map_or_else(|_| "unknown".into(), |s| s.trim().into())
}
