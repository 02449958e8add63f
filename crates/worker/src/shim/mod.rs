//! The shim: the parent of one hypervisor, a small process that outlives the agent.
//!
//! It keeps what only a parent can: the exit status. It keeps what must not stop when the agent does: the serial log.
//! It is a session of its own, so that no signal meant for the agent reaches the guest. If the shim itself is killed,
//! the hypervisor runs on and the agent watches it by its process id.
//!
//! `hostler shim DIR` runs it; [`Dir`] says what is in that directory.

mod client;
mod console;
mod dir;
mod lock;
mod log;
mod protocol;
mod serve;

pub use client::Client;
pub use dir::{Dir, ExitRecord, Pids, RECORD_VERSION, Record};
pub use lock::DirInUse;
pub use log::BoundedLog;
pub use protocol::{Request, Status};

use base::{Error, Result};
use std::{io::Write, os::fd::AsFd, path::Path};

/// Runs the shim of the machine whose directory this is, until its hypervisor has ended. Writes one line of JSON (a
/// [`Status`], or an [`Error`]) to standard output as soon as the hypervisor runs or has failed, and nothing after.
/// Returns the exit code of the process.
pub fn run(dir: &Path) -> u8 {
    match prepare(dir).and_then(|runtime| runtime.block_on(serve::serve())) {
        Ok(()) => 0,
        Err(e) => {
            say(&e);
            1
        }
    }
}

/// Leaves the agent's session and enters the directory. A single thread keeps the process small.
fn prepare(dir: &Path) -> Result<tokio::runtime::Runtime> {
    std::env::set_current_dir(dir).map_err(|e| Error::io(format_args!("enter {}", dir.display()), &e))?;
    let _ = rt::process::new_session(); // fails only where we lead one already
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Error::io("start the shim", &e))
}

/// Says the one line that the agent waits for, then closes standard output. An agent that died meanwhile is no
/// problem: the next one asks through the socket.
fn say(line: &impl serde::Serialize) {
    let mut stdout = std::io::stdout();
    if let Ok(text) = serde_json::to_string(line) {
        let _ = writeln!(stdout, "{text}").and_then(|()| stdout.flush());
    }
    if let Ok(null) = std::fs::File::options().write(true).open("/dev/null") {
        let _ = rustix::stdio::dup2_stdout(null.as_fd());
    }
}
