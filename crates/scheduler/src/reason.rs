//! Why a worker will not do, and what is said about it.

/// A resource that is counted.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Resource {
    /// CPU, in thousandths.
    Cpu,
    /// Memory, in bytes.
    Memory,
    /// Disk, in bytes.
    Disk,
    /// A slot for a macOS guest.
    MacosSlot,
    /// A named resource.
    Named(String),
}

/// The first thing that keeps a VM off a worker. Checked in the order of declaration, so that each worker counts once.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// The VM's disk is on another worker.
    DiskElsewhere,
    /// It has not been heard of for too long.
    Offline,
    /// An operator wants no new VMs there.
    Cordoned,
    /// Its architecture is this one.
    Arch(String),
    /// Its OS is this one.
    Os(String),
    /// It does not have this runtime.
    Runtime(String),
    /// Its agent does not know this capability.
    Capability(String),
    /// It does not have this label with this value.
    Label(String, String),
    /// It has none of this named resource.
    NoResource(String),
    /// It does not hold the image.
    Image,
    /// Even when empty it has less of this than is asked for.
    TooSmall(Resource),
    /// Too much of this is taken now.
    Lacks(Resource),
    /// Its room is held for a VM of the same project that has waited longer.
    Held,
    /// Nothing: the VM fits there now and waits for the next placement.
    Fits,
}

impl Reason {
    /// The stable spelling for data, e.g. `too_small`.
    pub fn code(&self) -> &'static str {
        match self {
            Reason::DiskElsewhere => "disk_elsewhere",
            Reason::Offline => "offline",
            Reason::Cordoned => "cordoned",
            Reason::Arch(_) => "arch",
            Reason::Os(_) => "os",
            Reason::Runtime(_) => "runtime",
            Reason::Capability(_) => "capability",
            Reason::Label(..) => "label",
            Reason::NoResource(_) => "no_resource",
            Reason::Image => "image",
            Reason::TooSmall(_) => "too_small",
            Reason::Lacks(_) => "lacks",
            Reason::Held => "held",
            Reason::Fits => "fits",
        }
    }
}

/// How many workers have one reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Count {
    /// The reason.
    pub reason: Reason,
    /// The number of workers it holds for.
    pub workers: usize,
}

/// Why a VM has no worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// One sentence without a full stop: "3 of 5 workers lack 4 GiB of memory, 2 are arm64; first in the queue".
    pub sentence: String,
    /// What would help, as an instruction.
    pub fix: String,
    /// The counts, most workers first; they add up to the number of workers.
    pub counts: Vec<Count>,
}
