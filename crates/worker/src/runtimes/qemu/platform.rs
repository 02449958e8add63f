//! What a host's QEMU is for one architecture.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// How guest code runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Acceleration {
    /// Linux's virtualisation.
    Kvm,
    /// macOS's virtualisation.
    Hvf,
    /// Translation: works everywhere, many times slower.
    Tcg,
}

impl Acceleration {
    /// The spelling that QEMU and our API use.
    pub fn as_str(self) -> &'static str {
        match self {
            Acceleration::Kvm => "kvm",
            Acceleration::Hvf => "hvf",
            Acceleration::Tcg => "tcg",
        }
    }
}

/// One QEMU program and what was found out about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Platform {
    /// `amd64`, `arm64`.
    pub arch: Arch,
    /// The program.
    pub program: PathBuf,
    /// Its version.
    pub version: String,
    /// The proven acceleration.
    pub acceleration: Acceleration,
    /// How that was found.
    pub message: String,
    /// The versioned machine types of our kind, the newest first.
    pub machine_types: Vec<String>,
    /// Whether it can lock itself in (`-sandbox on`: seccomp).
    pub sandbox: bool,
    /// The firmware for disks, where the machine has none of its own.
    pub firmware: Option<PathBuf>,
}

impl Platform {
    /// The machine type for a start: the one that the machine had before, as long as this QEMU still has it, else the
    /// newest.
    ///
    /// # Errors
    /// When this QEMU has none of our kind.
    pub fn machine_type(&self, before: Option<&str>) -> base::Result<&str> {
        let kept = before.and_then(|b| self.machine_types.iter().find(|t| *t == b));
        kept.or(self.machine_types.first()).map(String::as_str).ok_or_else(|| {
            let program = self.program.display();
            base::Error::unavailable(format!("{program} has no machine of type {}", self.arch.machine()))
                .hint("install a QEMU with all machine types")
        })
    }
}

/// The architectures that guests may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Arch {
    /// x86-64.
    Amd64,
    /// AArch64.
    Arm64,
}

impl Arch {
    /// All of them.
    pub const ALL: [Arch; 2] = [Arch::Amd64, Arch::Arm64];

    /// From the spelling of specs.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|a| a.as_str() == text)
    }

    /// The spelling of specs.
    pub fn as_str(self) -> &'static str {
        match self {
            Arch::Amd64 => "amd64",
            Arch::Arm64 => "arm64",
        }
    }

    /// The program.
    pub fn program(self) -> &'static str {
        match self {
            Arch::Amd64 => "qemu-system-x86_64",
            Arch::Arm64 => "qemu-system-aarch64",
        }
    }

    /// The kind of machine: an alias for the newest version of it.
    pub fn machine(self) -> &'static str {
        match self {
            Arch::Amd64 => "q35",
            Arch::Arm64 => "virt",
        }
    }
}
