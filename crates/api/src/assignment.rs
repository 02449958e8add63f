//! What the controller tells a worker, and what the worker tells back: the bodies of the link.
//!
//! Every message has a version; unknown fields are ignored, so that old and new programs understand each other.

use crate::{image::ImageSpec, meta::Condition, vm::VmSpec, worker::HostFacts};
use base::{ByteSize, Name, Secret, Uid};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The version of these messages.
pub const VERSION: u32 = 1;

/// How often a worker with nothing to report says that it is there. A thousand of them cost the controller about one
/// percent of a core.
pub const HEARTBEAT: Duration = Duration::from_secs(10);

/// All that a worker should hold. A VM that is missing here is reported as unclaimed and kept: only
/// [`Desired::Removed`] removes one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Assignments {
    /// [`VERSION`].
    pub version: u32,
    /// Ordered per store: the store's incarnation first, then a counter. A worker ignores an older one.
    pub revision: base::Revision,
    /// The VMs.
    pub vms: Vec<Assignment>,
    /// Images to keep although no VM here uses them; others may be collected.
    pub keep_images: Vec<Uid>,
}

/// One VM of a worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Assignment {
    /// The VM's uid.
    pub uid: Uid,
    /// The placement. A worker refuses one below the highest it has seen for this uid.
    pub epoch: u64,
    /// The project.
    pub project: Name,
    /// The name, also the guest's host name.
    pub name: Name,
    /// The spec's generation, to be told back.
    pub generation: u64,
    /// What should be.
    pub desired: Desired,
    /// Everything needed to run it; absent for [`Desired::Removed`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub work: Option<Box<Work>>,
}

/// What should be of a VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Desired {
    /// It should run.
    Running,
    /// It should not; its disk is kept.
    Stopped,
    /// It should be gone, disk and all: a tombstone.
    Removed,
}

/// What a worker needs to run a VM.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Work {
    /// The spec, with its secrets.
    pub spec: VmSpec,
    /// The runtime to use.
    pub runtime: String,
    /// The guest's architecture.
    pub arch: String,
    /// The login name.
    pub user: String,
    /// The image's uid.
    pub image_uid: Uid,
    /// The image.
    pub image: ImageSpec,
    /// Its files.
    pub parts: Vec<crate::image::ImagePart>,
    /// Size of the image's own disk.
    pub virtual_size: ByteSize,
    /// The keys of this VM.
    pub keys: GuestKeys,
}

/// The keys that the controller makes for each VM, OpenSSH format, ed25519.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GuestKeys {
    /// With this one the worker logs in.
    pub user_private: Secret,
    /// Its public half, for the guest.
    pub user_public: String,
    /// The guest's host key.
    pub host_private: Secret,
    /// Its public half: what the worker, and whoever connects, expects to see.
    pub host_public: String,
}

/// The worker's answer to assignments: it has them durably.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Accepted {
    /// The revision it now follows: a higher one than was sent means the sender is outdated.
    pub revision: base::Revision,
}

/// One line of a worker's report: a snapshot first, then what changes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Report {
    /// Everything, first on each connection.
    Snapshot {
        /// [`VERSION`].
        version: u32,
        /// The host.
        host: Box<HostFacts>,
        /// All VMs on this host.
        vms: Vec<VmReport>,
        /// All images on this host.
        images: Vec<Uid>,
        /// What is wrong with the host.
        conditions: Vec<Condition>,
    },
    /// One VM changed.
    Vm {
        /// As it is now.
        vm: Box<VmReport>,
    },
    /// A VM is gone, disk and all.
    Gone {
        /// Its uid.
        uid: Uid,
        /// Its epoch.
        epoch: u64,
    },
    /// The images on this host changed.
    Images {
        /// All of them.
        images: Vec<Uid>,
    },
    /// The host changed (free disk, a missing program).
    Host {
        /// As it is now.
        host: Box<HostFacts>,
        /// What is wrong with it.
        conditions: Vec<Condition>,
    },
    /// Nothing changed; the worker is there. Every [`HEARTBEAT`].
    Heartbeat {},
    /// What this program does not know yet.
    #[serde(other)]
    Unknown,
}

/// What a worker sees of one VM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VmReport {
    /// The VM's uid.
    pub uid: Uid,
    /// The placement that it runs by.
    pub epoch: u64,
    /// Its name.
    pub name: Name,
    /// Its project.
    pub project: Name,
    /// The generation last acted on.
    #[serde(default)]
    pub generation: u64,
    /// Where it stands: `Assigned` (fetching, preparing), `Starting`, `Running`, `Stopping`, `Stopped` or `Failed`.
    pub phase: crate::vm::VmPhase,
    /// In words.
    #[serde(default)]
    pub message: String,
    /// Why it ended or failed, in one word.
    #[serde(default)]
    pub reason: String,
    /// No assignment names it.
    #[serde(default)]
    pub unclaimed: bool,
    /// The hypervisor's process.
    #[serde(default)]
    pub pid: Option<u32>,
    /// `kvm`, `hvf` or `tcg`.
    #[serde(default)]
    pub acceleration: String,
    /// Starts after the first.
    #[serde(default)]
    pub restart_count: u64,
    /// The last `spec.restarts` carried out.
    #[serde(default)]
    pub restarts_done: u64,
    /// When the hypervisor started.
    #[serde(default)]
    pub started_at: Option<Timestamp>,
    /// When the guest answered.
    #[serde(default)]
    pub ready_at: Option<Timestamp>,
}
