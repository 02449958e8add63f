//! Virtual machines.

use crate::meta::{Condition, Labels, Object};
use base::{ByteSize, Name, Secret, Uid};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// A virtual machine.
pub type Vm = Object<VmSpec, VmStatus>;

/// What is wanted of a VM. Each field says when a change of it takes effect: *live*, at the *next start*, or *never*
/// (such a change is refused).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct VmSpec {
    /// The image it starts from. Never changes.
    pub image: Name,
    /// Whether it should run. Live.
    #[serde(default)]
    pub power: Power,
    /// Virtual CPUs. Next start.
    #[serde(default = "defaults::cpus")]
    pub cpus: u32,
    /// Memory, in bytes. Next start.
    #[serde(default = "defaults::memory")]
    pub memory: ByteSize,
    /// The disk, in bytes: the image's size where it is larger. Never changes.
    #[serde(default = "defaults::disk")]
    pub disk: ByteSize,
    /// How it runs: `qemu` or `synthetic`; by default what the image needs. Never changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime: Option<String>,
    /// `amd64` or `arm64`; by default the image's. Never changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arch: Option<String>,
    /// `linux` or `macos`; by default the image's. Never changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub os: Option<String>,
    /// Named resources the worker must have free, e.g. `gpu: 1`. Next start.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub resources: BTreeMap<String, u64>,
    /// Labels the worker must have. Next placement.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub worker_labels: Labels,
    /// Higher is placed first. Live while pending.
    #[serde(default, skip_serializing_if = "is_default")]
    pub priority: i32,
    /// Seconds after which a VM that found no place fails instead of waiting on. Live.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending_timeout_seconds: Option<u64>,
    /// Raised to restart once. Live.
    #[serde(default, skip_serializing_if = "is_default")]
    pub restarts: u64,
    /// Start from the image again each time. Next start.
    #[serde(default, skip_serializing_if = "is_default")]
    pub ephemeral: bool,
    /// What happens when the guest ends by itself. Live.
    #[serde(default)]
    pub restart_policy: RestartPolicy,
    /// What happens when its worker is lost. Live.
    #[serde(default, skip_serializing_if = "is_default")]
    pub on_worker_lost: OnWorkerLost,
    /// Seconds after its creation at which it is deleted. Live.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_seconds: Option<u64>,
    /// Seconds a stop waits for the guest before it is cut off. Live.
    #[serde(default = "defaults::stop_grace", skip_serializing_if = "defaults::is_stop_grace")]
    pub stop_grace_seconds: u64,
    /// Who logs in. Next start.
    #[serde(default)]
    pub guest: Guest,
    /// A script that runs in the guest after each start. Next start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub startup_script: Option<StartupScript>,
    /// What counts as an answer of the guest. Next start.
    #[serde(default)]
    pub probe: Probe,
    /// Its networks. Never changes.
    #[serde(default = "defaults::networks")]
    pub networks: Vec<Network>,
    /// What a VM of the synthetic runtime plays. Next start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub synthetic: Option<SyntheticScript>,
}

/// The values of fields that a request leaves out.
pub mod defaults {
    use super::{ByteSize, Network, NetworkKind};

    pub(super) fn cpus() -> u32 {
        1
    }
    pub(super) fn memory() -> ByteSize {
        ByteSize::mib(512)
    }
    pub(super) fn disk() -> ByteSize {
        ByteSize::gib(2)
    }
    pub(super) fn stop_grace() -> u64 {
        30
    }
    #[allow(clippy::trivially_copy_pass_by_ref)] // serde's signature
    pub(super) fn is_stop_grace(n: &u64) -> bool {
        *n == stop_grace()
    }
    pub(super) fn networks() -> Vec<Network> {
        vec![Network { kind: NetworkKind::User }]
    }
    pub(super) fn probe_timeout() -> u64 {
        600
    }
}

pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl VmSpec {
    /// A spec with all defaults.
    pub fn new(image: Name) -> Self {
        VmSpec {
            image,
            power: Power::default(),
            cpus: defaults::cpus(),
            memory: defaults::memory(),
            disk: defaults::disk(),
            runtime: None,
            arch: None,
            os: None,
            resources: BTreeMap::new(),
            worker_labels: BTreeMap::new(),
            priority: 0,
            pending_timeout_seconds: None,
            restarts: 0,
            ephemeral: false,
            restart_policy: RestartPolicy::default(),
            on_worker_lost: OnWorkerLost::default(),
            ttl_seconds: None,
            stop_grace_seconds: defaults::stop_grace(),
            guest: Guest::default(),
            startup_script: None,
            probe: Probe::default(),
            networks: defaults::networks(),
            synthetic: None,
        }
    }
}

/// Whether a VM should run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub enum Power {
    /// It should run.
    #[default]
    Running,
    /// It should not; its disk is kept.
    Stopped,
}

/// What happens when a guest ends by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub enum RestartPolicy {
    /// It stays ended.
    #[default]
    Never,
    /// It starts again, with growing delays, unless it was powered off from inside.
    OnFailure,
    /// It starts again in every case.
    Always,
}

/// What happens to a VM when its worker is lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum OnWorkerLost {
    /// It becomes `Unknown` and is never started elsewhere until the worker is back or an operator says it is dead.
    #[default]
    Keep,
}

/// Who logs in to the guest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Guest {
    /// The login name; by default the image's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Public keys that may log in, beside the one the controller makes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub authorized_keys: Vec<String>,
    /// The password of an image that takes no seed. Write-only: absent in every answer; absent in a change keeps it, an
    /// empty one removes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<Secret>,
}

/// A script for the guest. Its output is a log; its failure is the VM's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct StartupScript {
    /// Given to the login shell on its standard input.
    pub script: String,
    /// Its environment. The values are write-only: answers show `null`, and `null` in a PUT keeps the value. In a PATCH, what
    /// is left out stays, and `null` removes a variable (RFC 7396).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(value_type = BTreeMap<String, Option<String>>)]
    pub env: BTreeMap<String, Option<Secret>>,
    /// Seconds after which it has failed.
    #[serde(default = "defaults::probe_timeout")]
    pub timeout_seconds: u64,
}

/// What counts as an answer of the guest. A running process or an accepted connection never does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Probe {
    /// How the guest is asked.
    pub kind: ProbeKind,
    /// For `exec`: the command, for the login shell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// For `tcp`: the port in the guest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Seconds from the start after which a guest that has not answered has failed.
    pub timeout_seconds: u64,
}

impl Default for Probe {
    fn default() -> Self {
        let timeout_seconds = defaults::probe_timeout();
        Probe { kind: ProbeKind::Ssh, command: None, port: None, timeout_seconds }
    }
}

/// How a guest is asked whether it is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum ProbeKind {
    /// An SSH identification line (RFC 4253, 4.2) was read from port 22.
    #[default]
    Ssh,
    /// A command, run over SSH, ended with 0.
    Exec,
    /// The first bytes that a TCP port sends were read.
    Tcp,
}

/// A network of a VM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Network {
    /// Its kind.
    #[serde(rename = "type")]
    pub kind: NetworkKind,
}

/// Kinds of networks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum NetworkKind {
    /// The hypervisor's own network: outgoing connections, and ports forwarded on demand. Needs no root.
    User,
}

/// What a VM of the synthetic runtime plays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct SyntheticScript {
    /// Milliseconds from the start until it answers.
    pub boot_ms: u64,
    /// Why each start fails.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fail_start: Option<String>,
    /// Milliseconds after which it ends by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit_after_ms: Option<u64>,
    /// With which code it then ends.
    pub exit_code: i32,
}

/// Where a VM stands.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema,
)]
pub enum VmPhase {
    /// It waits for a place; `message` says why.
    #[default]
    Pending,
    /// It has a worker, which has not started it yet (it may fetch the image).
    Assigned,
    /// Its hypervisor runs; the guest has not answered yet.
    Starting,
    /// The guest has answered.
    Running,
    /// It was told to end.
    Stopping,
    /// It does not run; its disk is kept.
    Stopped,
    /// It cannot run or has ended badly; `message` says why.
    Failed,
    /// Its worker has not been heard of: it may run or not.
    Unknown,
    /// It is being removed.
    Deleting,
}

impl VmPhase {
    /// Every phase.
    pub const ALL: [VmPhase; 9] = [
        VmPhase::Pending,
        VmPhase::Assigned,
        VmPhase::Starting,
        VmPhase::Running,
        VmPhase::Stopping,
        VmPhase::Stopped,
        VmPhase::Failed,
        VmPhase::Unknown,
        VmPhase::Deleting,
    ];

    /// Its name, as in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            VmPhase::Pending => "Pending",
            VmPhase::Assigned => "Assigned",
            VmPhase::Starting => "Starting",
            VmPhase::Running => "Running",
            VmPhase::Stopping => "Stopping",
            VmPhase::Stopped => "Stopped",
            VmPhase::Failed => "Failed",
            VmPhase::Unknown => "Unknown",
            VmPhase::Deleting => "Deleting",
        }
    }
}

/// What was seen of a VM.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct VmStatus {
    /// Where it stands.
    pub phase: VmPhase,
    /// One sentence: why it is pending, failed or unknown, or what it is doing.
    pub message: String,
    /// What would let a pending or failed VM go on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
    /// The generation of the spec that the worker last acted on.
    pub observed_generation: u64,
    /// The worker that holds it (also while it is stopped, because its disk is there).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worker: Option<WorkerRef>,
    /// Raised by each placement; a worker refuses an older one.
    pub epoch: u64,
    /// Whether CPU and memory are charged to the worker now (the disk always is).
    pub admitted: bool,
    /// What was charged when it was last admitted: a changed size counts from the next start on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub charged: Option<crate::worker::Amounts>,
    /// The image it was made from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_uid: Option<Uid>,
    /// The runtime that was chosen.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub runtime: String,
    /// `kvm`, `hvf` or `tcg` (software emulation).
    #[serde(skip_serializing_if = "String::is_empty")]
    pub acceleration: String,
    /// The hypervisor's process id on the worker.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// How often the worker has started it again, by policy or on request.
    pub restart_count: u64,
    /// The last value of `spec.restarts` that was carried out.
    pub restarts_done: u64,
    /// When it got its worker.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub assigned_at: Option<Timestamp>,
    /// When its hypervisor last started.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub started_at: Option<Timestamp>,
    /// When the guest last answered for the first time after a start.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub ready_at: Option<Timestamp>,
    /// Milliseconds of its time to live, or of its pending time, that are used up; kept over controller restarts.
    #[serde(skip_serializing_if = "is_default")]
    pub elapsed_ms: u64,
    /// The aspects of its state: `Placed`, `Ready`.
    pub conditions: Vec<Condition>,
}

/// A worker, as a VM names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WorkerRef {
    /// Its uid.
    pub uid: Uid,
    /// Its name.
    pub name: Name,
}

/// Where a VM would go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlacementPreview {
    /// The worker it would get now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<Name>,
    /// Otherwise why it would wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending: Option<String>,
    /// What would change that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}
