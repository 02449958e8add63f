//! The two clocks. Decisions (leases, backoff, time to live) use the monotonic one; the wall clock is only shown.
#![allow(clippy::disallowed_methods)] // the home of clocks

use std::time::Duration;
pub use tokio::time::Instant;

/// The monotonic clock: pausable in tests, stops while the machine sleeps.
pub fn now() -> Instant {
    Instant::now()
}

/// The wall clock, in UTC, in whole milliseconds. For showing and for ordering uids; never to decide on.
pub fn wall() -> jiff::Timestamp {
    let now = jiff::Timestamp::now();
    jiff::Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now)
}

/// Time since boot, counting sleep (`CLOCK_BOOTTIME`; on macOS `CLOCK_MONOTONIC`, which counts sleep there). Comparable
/// between processes of one boot: leases and persisted elapsed times use it together with [`crate::host::boot_id`].
pub fn since_boot() -> Duration {
    #[cfg(target_os = "linux")]
    let id = rustix::time::ClockId::Boottime;
    #[cfg(not(target_os = "linux"))]
    let id = rustix::time::ClockId::Monotonic;
    let t = rustix::time::clock_gettime(id);
    Duration::new(u64::try_from(t.tv_sec).unwrap_or(0), u32::try_from(t.tv_nsec).unwrap_or(0))
}

/// Sleeps on the monotonic clock.
pub async fn sleep(duration: Duration) {
    tokio::time::sleep(duration).await;
}

/// Ends `future` after `limit` with [`base::Code::Timeout`], saying `what` did not finish.
pub async fn timeout<T>(limit: Duration, what: &str, future: impl Future<Output = T>) -> base::Result<T> {
    tokio::time::timeout(limit, future).await.map_err(|_| {
        base::Error::new(
            base::Code::Timeout,
            format!("{what} did not finish within {} s", limit.as_secs_f32()),
        )
    })
}

/// Delays that double from `first` to `most`, each shortened at random by up to half, so that many clients that lost
/// the same server do not come back in step.
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    most: Duration,
    next: Duration,
}

impl Backoff {
    /// Starts at `first` and never exceeds `most`.
    pub fn new(first: Duration, most: Duration) -> Self {
        Backoff { first, most, next: first }
    }

    /// The delay to wait now.
    pub fn delay(&mut self) -> Duration {
        let delay = self.next;
        self.next = (self.next * 2).min(self.most);
        delay.mul_f64(0.5 + 0.5 * crate::ids::random_unit())
    }

    /// Starts over, after a success.
    pub fn reset(&mut self) {
        self.next = self.first;
    }
}
