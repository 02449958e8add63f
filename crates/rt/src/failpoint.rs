//! Places where tests end the process as `kill -9` would. Armed only by the hidden flag `--failpoint NAME[:N]`, which
//! ends the process at the N-th passage (default the first).

use std::sync::{
    OnceLock,
    atomic::{AtomicU64, Ordering},
};

struct Armed {
    name: String,
    left: AtomicU64,
}

static ARMED: OnceLock<Armed> = OnceLock::new();

/// Arms one point, once per process.
pub fn arm(text: &str) {
    let (name, n) = text.rsplit_once(':').unwrap_or((text, "1"));
    let _ = ARMED.set(Armed { name: name.to_owned(), left: AtomicU64::new(n.parse().unwrap_or(1)) });
}

/// Passes a point. Ends the process with SIGKILL where a test armed it.
pub fn pass(name: &str) {
    let Some(armed) = ARMED.get() else { return };
    if armed.name == name && armed.left.fetch_sub(1, Ordering::SeqCst) == 1 {
        let _ = crate::process::signal(std::process::id(), rustix::process::Signal::KILL);
        loop {
            std::thread::park(); // the signal may arrive on another thread; nothing after this point may happen
        }
    }
}
