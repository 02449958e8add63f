//! Why a worker will not do, and what is said about it.

/// A resource that is counted. `S` is the text of its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Resource<S = String> {
    /// CPU, in thousandths.
    Cpu,
    /// Memory, in bytes.
    Memory,
    /// Disk, in bytes.
    Disk,
    /// A slot for a macOS guest.
    MacosSlot,
    /// A named resource.
    Named(S),
}

impl Resource<&str> {
    /// The same, with a name of its own.
    pub(crate) fn owned(self) -> Resource {
        match self {
            Resource::Cpu => Resource::Cpu,
            Resource::Memory => Resource::Memory,
            Resource::Disk => Resource::Disk,
            Resource::MacosSlot => Resource::MacosSlot,
            Resource::Named(name) => Resource::Named(name.to_string()),
        }
    }
}

/// The first thing that keeps a VM off a worker. Checked in the order of declaration, so that each worker counts once.
/// `S` is the text of what it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason<S = String> {
    /// The VM's disk is on another worker.
    DiskElsewhere,
    /// It has not been heard of for too long.
    Offline,
    /// An operator wants no new VMs there.
    Cordoned,
    /// Its architecture is this one.
    Arch(S),
    /// Its OS is this one.
    Os(S),
    /// It does not have this runtime.
    Runtime(S),
    /// Its agent does not know this capability.
    Capability(S),
    /// It does not have this label with this value.
    Label(S, S),
    /// It has none of this named resource.
    NoResource(S),
    /// It does not hold the image.
    Image,
    /// Even when empty it has less of this than is asked for.
    TooSmall(Resource<S>),
    /// Too much of this is taken now.
    Lacks(Resource<S>),
    /// Its room is held for a VM of the same project that has waited longer.
    Held,
    /// Nothing: the VM fits there now and waits for the next placement.
    Fits,
}

impl Reason<&str> {
    /// The same, with texts of its own.
    pub(crate) fn owned(self) -> Reason {
        match self {
            Reason::DiskElsewhere => Reason::DiskElsewhere,
            Reason::Offline => Reason::Offline,
            Reason::Cordoned => Reason::Cordoned,
            Reason::Arch(arch) => Reason::Arch(arch.to_string()),
            Reason::Os(os) => Reason::Os(os.to_string()),
            Reason::Runtime(runtime) => Reason::Runtime(runtime.to_string()),
            Reason::Capability(capability) => Reason::Capability(capability.to_string()),
            Reason::Label(key, value) => Reason::Label(key.to_string(), value.to_string()),
            Reason::NoResource(name) => Reason::NoResource(name.to_string()),
            Reason::Image => Reason::Image,
            Reason::TooSmall(resource) => Reason::TooSmall(resource.owned()),
            Reason::Lacks(resource) => Reason::Lacks(resource.owned()),
            Reason::Held => Reason::Held,
            Reason::Fits => Reason::Fits,
        }
    }
}

impl<S> Reason<S> {
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
