//! How a machine runs: the contract between the agent and the things that can run machines.
//!
//! A runtime owns what it needs to start, watch, reach and remove machines. It knows nothing of the controller, of
//! desired state or of restart policies: the agent decides, the runtime does and reports. Machines outlive the agent;
//! [`Runtime::adopt`] finds them again.

pub mod qemu;
pub mod seed;
pub mod synthetic;

use base::{ByteSize, Name, Result, Secret, Uid};
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use std::{path::PathBuf, pin::Pin, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::broadcast,
};

/// Something that runs machines. Each method may be called at any time, from any task; calls for one uid are put in
/// order by the runtime.
pub trait Runtime: Send + Sync {
    /// The name of the runtime as specs write it: `qemu`, `synthetic`.
    fn name(&self) -> &'static str;

    /// Finds out what this host can run, and proves it. Slow (seconds): once at the start of the agent.
    ///
    /// # Errors
    /// When the runtime cannot run anything here: a program is missing, or does not work.
    fn probe(&self) -> BoxFuture<'_, Result<Capabilities>>;

    /// Finds every machine in the state directory again, running or exited, and watches it from now on. Never ends or
    /// removes one. Call it once, before anything else but [`Runtime::probe`].
    fn adopt(&self) -> BoxFuture<'_, Result<Vec<Observed>>>;

    /// Starts a machine: makes its disk if there is none yet (or anew, for an ephemeral one) and its seed, then boots
    /// it. Does nothing when the same uid and epoch run already. Returns when the hypervisor runs, long before the
    /// guest is up.
    ///
    /// # Errors
    /// [`base::Code::Conflict`] when another epoch of this uid still runs, or a newer one was seen here.
    fn start(&self, machine: Machine) -> BoxFuture<'_, Result<()>>;

    /// Asks the guest to power off, and ends it when it has not after `grace` (zero: at once). Returns when it is down.
    /// One that is down already is not an error.
    fn stop(&self, uid: Uid, grace: Duration) -> BoxFuture<'_, Result<()>>;

    /// Deletes all that is kept of a machine that is down. One that is not there is not an error.
    ///
    /// # Errors
    /// [`base::Code::Conflict`] while it runs.
    fn remove(&self, uid: Uid) -> BoxFuture<'_, Result<()>>;

    /// Opens a byte stream into a running machine. For a port, that the stream opens does not mean that anything in
    /// the guest listens.
    ///
    /// # Errors
    /// [`base::Code::NotFound`] for an unknown machine, [`base::Code::Conflict`] for one that is down.
    fn connect(&self, uid: Uid, target: Target) -> BoxFuture<'_, Result<BoxedIo>>;

    /// Reads the serial console's log from an offset, at most `limit` bytes. Offsets count from the first byte that the
    /// machine ever wrote; the oldest part is dropped with time, so the chunk may start later than asked.
    fn console_log(&self, uid: Uid, from: u64, limit: usize) -> BoxFuture<'_, Result<LogChunk>>;

    /// What is known of one machine now.
    fn observe(&self, uid: Uid) -> Option<Observed>;

    /// What is known of all machines now: the snapshot to take after [`Runtime::events`] lagged.
    fn list(&self) -> Vec<Observed>;

    /// Each change of a machine, as its new state. Removal is no event: whoever removes knows.
    fn events(&self) -> broadcast::Receiver<Observed>;
}

/// A byte stream into a machine.
pub type BoxedIo = Pin<Box<dyn Io>>;

/// What a [`BoxedIo`] can do.
pub trait Io: AsyncRead + AsyncWrite + Send {}
impl<T: AsyncRead + AsyncWrite + Send> Io for T {}

/// Everything a runtime needs to start one machine.
#[derive(Clone, Debug)]
pub struct Machine {
    /// The identity of the VM.
    pub uid: Uid,
    /// Which placement of the VM this is. Older ones are refused.
    pub epoch: u64,
    /// The name of the VM, for people who look at the processes of the host.
    pub name: Name,
    /// `amd64` or `arm64`.
    pub arch: String,
    /// Virtual CPUs.
    pub cpus: u32,
    /// Memory of the guest.
    pub memory: ByteSize,
    /// Size of the disk. Zero with a kernel image: no disk.
    pub disk: ByteSize,
    /// Whether each start begins with a fresh disk.
    pub ephemeral: bool,
    /// What it boots.
    pub image: ImageFiles,
    /// What the guest is told at its first boot.
    pub seed: Seed,
    /// What a synthetic machine does; other runtimes ignore it.
    pub synthetic: Option<SyntheticScript>,
}

/// The files of an image on this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImageFiles {
    /// A bootable disk; machines write to an overlay of it.
    Disk {
        /// The file. It must stay for as long as an overlay of it does.
        path: PathBuf,
        /// Its format.
        format: DiskFormat,
    },
    /// A kernel to boot directly; the disk is blank.
    Kernel {
        /// The kernel.
        kernel: PathBuf,
        /// The initial RAM disk.
        initrd: PathBuf,
        /// The kernel's command line.
        command_line: String,
    },
    /// Nothing: for synthetic machines.
    Synthetic,
}

/// The format of a disk image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DiskFormat {
    /// QEMU's copy-on-write format.
    Qcow2,
    /// The plain bytes.
    Raw,
}

impl DiskFormat {
    /// The spelling that qemu uses.
    pub fn as_str(self) -> &'static str {
        match self {
            DiskFormat::Qcow2 => "qcow2",
            DiskFormat::Raw => "raw",
        }
    }
}

/// What a guest learns at boot (cloud-init's NoCloud, and plain files for smaller guests).
#[derive(Clone, Debug)]
pub struct Seed {
    /// The name of the guest.
    pub hostname: String,
    /// The user to log in as. It may use sudo.
    pub user: String,
    /// Public keys of that user, one line each as in `authorized_keys`.
    pub authorized_keys: Vec<String>,
    /// The guest's own Ed25519 key, in OpenSSH's private key format.
    pub host_key_private: Secret,
    /// Its public half, `ssh-ed25519 AAAA...`.
    pub host_key_public: String,
}

/// What a synthetic machine does. All zero and absent: it boots at once and runs until it is stopped.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct SyntheticScript {
    /// Milliseconds from start to running.
    pub boot_ms: u64,
    /// Milliseconds from running to an answer on port 22.
    pub ready_ms: u64,
    /// The start fails with this message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fail_start: Option<String>,
    /// It ends by itself so many milliseconds after it began to run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit_after_ms: Option<u64>,
    /// The exit code of that end.
    pub exit_code: i32,
}

/// What a runtime can do on this host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Capabilities {
    /// The architectures it runs, the host's own first.
    pub arches: Vec<ArchCapability>,
    /// Memory that a machine costs on top of what its guest sees.
    pub memory_overhead: ByteSize,
}

/// What a runtime can do for one architecture.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ArchCapability {
    /// `amd64`, `arm64`.
    pub arch: String,
    /// `kvm`, `hvf`, `tcg`, or `none` for synthetic machines.
    pub acceleration: String,
    /// How that was found, in one sentence: why not something faster.
    pub message: String,
    /// The version of the hypervisor.
    pub version: String,
}

/// Where a machine is in its life.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Its files are being made, or its hypervisor starts.
    Starting,
    /// The hypervisor runs. Says nothing about the guest.
    Running,
    /// It was asked to power off.
    Stopping,
    /// The hypervisor has ended.
    Exited(Exit),
}

impl Phase {
    /// Whether a hypervisor may still exist.
    pub fn is_live(&self) -> bool {
        !matches!(self, Phase::Exited(_))
    }
}

/// How a machine ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Exit {
    /// The exit code of the hypervisor, where it returned.
    pub code: Option<i32>,
    /// The signal that ended it, where one did.
    pub signal: Option<i32>,
    /// Why.
    pub cause: ExitCause,
    /// Why, in one sentence for people.
    pub reason: String,
}

/// Why a machine ended: what restart policies decide on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExitCause {
    /// The guest powered itself off.
    Guest,
    /// It was stopped through [`Runtime::stop`].
    Requested,
    /// The hypervisor failed or was killed by somebody else.
    Failed,
    /// The host has been restarted since.
    HostRestarted,
    /// It was prepared, but never began to run (the agent died in between).
    NeverStarted,
    /// It is gone and nobody saw how: its shim and its hypervisor were killed together.
    Unknown,
}

/// What is known of a machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Observed {
    /// The VM.
    pub uid: Uid,
    /// The placement that was started.
    pub epoch: u64,
    /// Counts the starts of this VM on this host, from 1. A new number is a new boot by us.
    pub run: u64,
    /// Where it is in its life.
    pub phase: Phase,
    /// The process of the hypervisor.
    pub pid: Option<u32>,
    /// The process of the shim. `None` where there is none, or it has died.
    pub shim_pid: Option<u32>,
    /// When the hypervisor began to run (wall clock, for showing).
    pub started_at: Option<jiff::Timestamp>,
    /// The boot of the host under which it was started.
    pub boot_id: String,
    /// `kvm`, `hvf`, `tcg`, `none`.
    pub acceleration: String,
    /// What a person should know: a dead shim, a full disk. Empty when all is well.
    pub message: String,
}

/// Where to connect in a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// A TCP port of the guest.
    Port(u16),
    /// The screen: RFB (RFC 6143).
    Vnc,
    /// The serial console. Several may attach: all see the output, input goes to the guest.
    Console,
}

/// A part of a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogChunk {
    /// The offset of the first byte here.
    pub offset: u64,
    /// The bytes.
    pub bytes: Vec<u8>,
    /// The offset after the last byte of the log. Reading goes on at `offset + bytes.len()`.
    pub end: u64,
}
