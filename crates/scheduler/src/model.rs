//! What goes into placement and what comes out of it.

use base::Uid;
use std::collections::{BTreeMap, BTreeSet};

/// The OS whose guests are limited per host, by Apple's licence, and so take a slot each.
pub const MACOS: &str = "macos";

/// Amounts of what a worker has and a VM takes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Amounts {
    /// Thousandths of a CPU.
    pub cpu_milli: u64,
    /// Bytes of memory.
    pub memory: u64,
    /// Bytes of disk.
    pub disk: u64,
    /// Named resources such as `gpu`, counted in whole pieces. Zero is the same as absent.
    pub named: BTreeMap<String, u64>,
}

/// What one VM takes from its worker for as long as it is assigned there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Charge {
    /// The amounts; the runtime's own memory overhead is part of `memory` already.
    pub amounts: Amounts,
    /// Slots for macOS guests: 1 for a macOS guest, else 0.
    pub macos_slots: u32,
}

impl Charge {
    /// The charge of a guest with this OS: a macOS guest takes a slot.
    pub fn new(amounts: Amounts, os: Option<&str>) -> Self {
        Charge { amounts, macos_slots: u32::from(os == Some(MACOS)) }
    }
}

/// Whether a worker takes new VMs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Availability {
    /// Online and not cordoned.
    #[default]
    Ready,
    /// An operator wants no new VMs there.
    Cordoned,
    /// It has not been heard of for too long.
    Offline,
}

/// A worker as placement sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerOffer {
    /// Its identity.
    pub uid: Uid,
    /// Its name, for explanations.
    pub name: String,
    /// Its CPU architecture, e.g. `amd64`.
    pub arch: String,
    /// Its OS, e.g. `linux`.
    pub os: String,
    /// The runtimes it can start, e.g. `qemu`.
    pub runtimes: BTreeSet<String>,
    /// What its agent understands; a VM may require some of these.
    pub capabilities: BTreeSet<String>,
    /// What VMs may use: what was detected minus the worker's reserve.
    pub capacity: Amounts,
    /// How many virtual CPUs each CPU may be sold as, in thousandths: 1000 is one to one.
    pub cpu_ratio_permille: u32,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Whether it takes new VMs.
    pub availability: Availability,
    /// The images it holds already.
    pub images: BTreeSet<Uid>,
    /// How many macOS guests it may run at once: 2 on macOS hosts, else 0.
    pub macos_slots: u32,
}

/// What a VM needs from a worker. Requests with equal needs are handled as one class, so keep anything that differs
/// between like VMs out of here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Needs {
    /// What it will be charged.
    pub charge: Charge,
    /// The architecture, or any.
    pub arch: Option<String>,
    /// The worker's OS, or any. For a macOS guest the charge has a slot as well ([`Charge::new`]).
    pub os: Option<String>,
    /// The runtime, or any.
    pub runtime: Option<String>,
    /// Labels the worker must have with exactly these values. An empty value is a value: absence does not match it.
    pub labels: BTreeMap<String, String>,
    /// Capabilities the worker must have.
    pub capabilities: BTreeSet<String>,
    /// The worker that holds the VM's disk: only that one will do.
    pub pinned: Option<Uid>,
    /// The image it starts from; a worker that holds it is preferred among equals.
    pub image: Option<Uid>,
    /// Only a worker that holds the image will do.
    pub image_must_be_present: bool,
}

/// One VM that wants a worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The VM.
    pub vm: Uid,
    /// Its project; explanations count no VMs of other projects.
    pub project: String,
    /// What it needs.
    pub needs: Needs,
    /// Higher goes first.
    pub priority: i32,
    /// When it was created, in milliseconds. Only compared with other requests: the older goes first.
    pub created_ms: u64,
}

/// A placement that was made. The charge is already reserved in memory; if it cannot be made durable, call
/// `Cluster::release` and submit the request again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The VM that was placed.
    pub vm: Uid,
    /// The worker it goes to.
    pub worker: Uid,
    /// What it is charged there.
    pub charge: Charge,
}

/// Which of the workers that fit is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Profile {
    /// The most used one, so that others stay free for large VMs. Workers with named resources that the VM does not
    /// ask for come last, so that those stay free as well.
    #[default]
    Pack,
    /// The least used one, so that load is even.
    Spread,
}

/// How placement behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Which worker is taken.
    pub profile: Profile,
    /// A VM that others overtook and that has waited this long, in milliseconds, gets a worker's room held for it.
    pub reserve_after_ms: u64,
    /// A held worker from which nothing has left for this long, in milliseconds, is given up for another.
    pub patience_ms: u64,
    /// How many workers may be held at once. Never more than half of the workers, but always one.
    pub max_held: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { profile: Profile::Pack, reserve_after_ms: 60_000, patience_ms: 600_000, max_held: 16 }
    }
}

/// What is taken and what there is on one worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Usage {
    /// The sum of the charges of its VMs. More than allocatable only where a worker shrank, or came back smaller.
    pub reserved: Charge,
    /// What may be taken in all; CPU with the ratio applied.
    pub allocatable: Charge,
    /// How many VMs are charged.
    pub vms: usize,
}
