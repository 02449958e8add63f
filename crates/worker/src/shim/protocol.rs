//! What the agent and the shim say to each other: lines of JSON over the shim's socket. A shim may be older or newer
//! than the agent, so unknown fields are ignored and the words only grow.

use crate::runtimes::Exit;
use base::Uid;
use serde::{Deserialize, Serialize};

/// What the agent asks. Each is answered with a [`Status`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum Request {
    /// How is it?
    Status,
    /// An end is asked for by other means (the guest's power button): when it comes, this is why.
    Expect {
        /// For [`Exit::reason`].
        reason: String,
    },
    /// End the hypervisor at once.
    Kill {
        /// For [`Exit::reason`].
        reason: String,
    },
    /// Answered at once, and a second time when the hypervisor has ended.
    Wait,
    /// Sets the time at which the machine may no longer run, in milliseconds of the clock that counts from boot.
    /// Kept and shown; this release does not act on it.
    Lease {
        /// The time; `None` ends the lease.
        until_ms: Option<u64>,
    },
    /// After the answer, the connection is the serial console: output of the guest, and input to it.
    Console,
}

/// How it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The version of the shim's words; 1.
    pub version: u32,
    /// The VM.
    pub uid: Uid,
    /// The placement.
    pub epoch: u64,
    /// The start.
    pub run: u64,
    /// The process of the shim.
    pub shim_pid: u32,
    /// The process of the hypervisor.
    pub pid: u32,
    /// When it started.
    pub started_at: jiff::Timestamp,
    /// The lease, if any.
    #[serde(default)]
    pub lease_until_ms: Option<u64>,
    /// Whether an end was asked for.
    #[serde(default)]
    pub stopping: bool,
    /// How it ended.
    #[serde(default)]
    pub exit: Option<Exit>,
}
