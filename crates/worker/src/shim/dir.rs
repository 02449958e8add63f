//! The directory of one machine: what is where, and the records in it.

use super::lock::{self, DirInUse};
use crate::runtimes::Exit;
use base::{ByteSize, Error, Name, Result, Uid};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::path::{Path, PathBuf};

/// The version of the records that this release writes.
pub const RECORD_VERSION: u32 = 1;

/// The directory of one machine. The shim and the hypervisor work in it and use relative names, because the address of
/// a socket is short; the agent uses the full paths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dir(PathBuf);

impl Dir {
    /// The log of the serial console: names of its parts start so.
    pub const CONSOLE_LOG: &str = "console";
    /// What the hypervisor wrote to its standard error.
    pub const QEMU_LOG: &str = "qemu";
    /// The machine's disk.
    pub const DISK: &str = "disk.qcow2";
    /// What the guest reads at its first boot.
    pub const SEED: &str = "seed.iso";
    /// The socket of the shim.
    pub const SHIM_SOCKET: &str = "shim.sock";
    /// The socket of QEMU's machine protocol.
    pub const QMP_SOCKET: &str = "qmp.sock";
    /// The socket of the screen.
    pub const VNC_SOCKET: &str = "vnc.sock";
    /// The socket of the serial console; the shim is its one client.
    pub const SERIAL_SOCKET: &str = "serial.sock";
    /// The file of the lock; see [`DirInUse`].
    pub(super) const LOCK: &str = "lock";
    /// All sockets: left over ones are removed before a start.
    pub const SOCKETS: [&str; 4] =
        [Self::SHIM_SOCKET, Self::QMP_SOCKET, Self::VNC_SOCKET, Self::SERIAL_SOCKET];

    const RECORD: &str = "record.json";
    const PIDS: &str = "pids.json";
    const EXIT: &str = "exit.json";

    /// The directory at this path.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Dir(path.into())
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The path of something in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The record of the last start; `None` before the first.
    pub fn record(&self) -> Result<Option<Record>> {
        let record: Option<Record> = self.load(Self::RECORD)?;
        match record {
            Some(r) if r.version > RECORD_VERSION => Err(Error::conflict(format!(
                "{} was written by a newer release (version {})",
                self.file(Self::RECORD).display(),
                r.version
            ))
            .hint("start that release again, or remove the VM with it")),
            other => Ok(other),
        }
    }

    /// Writes the record; on the disk when this returns.
    pub fn save_record(&self, record: &Record) -> Result<()> {
        self.save(Self::RECORD, record)
    }

    /// The processes of a start, if it came that far.
    pub fn pids(&self, run: u64) -> Result<Option<Pids>> {
        Ok(self.load(Self::PIDS)?.filter(|p: &Pids| p.run == run))
    }

    /// Writes the processes.
    pub fn save_pids(&self, pids: &Pids) -> Result<()> {
        self.save(Self::PIDS, pids)
    }

    /// How a start ended, if it has and somebody saw it.
    pub fn exit(&self, run: u64) -> Result<Option<ExitRecord>> {
        Ok(self.load(Self::EXIT)?.filter(|e: &ExitRecord| e.run == run))
    }

    /// Writes how it ended.
    pub fn save_exit(&self, exit: &ExitRecord) -> Result<()> {
        self.save(Self::EXIT, exit)
    }

    /// Takes the lock, or `None` when something runs here or is about to; see [`DirInUse`].
    pub fn lock(&self) -> Result<Option<DirInUse>> {
        lock::take(&self.file(Self::LOCK))
    }

    fn load<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>> {
        let path = self.file(name);
        let Some(bytes) = rt::files::read_optional(&path)? else { return Ok(None) };
        serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|e| Error::internal(format!("{} is damaged", path.display())).because(e))
    }

    fn save(&self, name: &str, value: &impl Serialize) -> Result<()> {
        let json = serde_json::to_vec_pretty(value)
            .map_err(|e| Error::internal(format!("cannot write {name}")).because(e))?;
        rt::files::write_atomic(&self.file(name), &json)
    }
}

/// What is known of a start before it happens. Written by the agent, read by the shim and by later agents.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// See [`RECORD_VERSION`].
    pub version: u32,
    /// The VM.
    pub uid: Uid,
    /// The placement.
    pub epoch: u64,
    /// Counts the starts in this directory.
    pub run: u64,
    /// The name of the VM at this start.
    pub name: Name,
    /// The boot of the host.
    pub boot_id: String,
    /// When the start was asked for.
    pub created: jiff::Timestamp,
    /// `amd64`, `arm64`.
    pub arch: String,
    /// `kvm`, `hvf`, `tcg`.
    pub acceleration: String,
    /// The versioned machine type. Later starts keep it, so that an upgrade of qemu does not change the hardware under
    /// an installed system.
    pub machine_type: String,
    /// The size of the disk; zero for none.
    pub disk: ByteSize,
    /// The hypervisor.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<String>,
}

/// The processes of a start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pids {
    /// See [`RECORD_VERSION`].
    pub version: u32,
    /// The start they belong to.
    pub run: u64,
    /// The shim.
    pub shim: u32,
    /// The hypervisor.
    pub pid: u32,
    /// When the hypervisor started, in clock ticks since boot: with the id it names one process.
    pub start_ticks: Option<u64>,
    /// The same by the wall clock.
    pub started_at: jiff::Timestamp,
}

/// How a start ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitRecord {
    /// See [`RECORD_VERSION`].
    pub version: u32,
    /// The start that ended.
    pub run: u64,
    /// When (wall clock).
    pub at: jiff::Timestamp,
    /// How.
    pub exit: Exit,
}
