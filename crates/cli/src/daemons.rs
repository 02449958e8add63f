//! What the other crates run for us. The binary implements it, so that this crate knows no server.

use base::{ByteSize, Result};
use futures::future::BoxFuture;
use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf};

/// The long-running parts, and the few things that are done to a store without its controller.
pub trait Daemons: Send + Sync {
    /// Controller and workers in one process, until it is asked to end.
    fn dev(&self, options: DevOptions) -> BoxFuture<'static, Result<()>>;
    /// A controller.
    fn controller(&self, options: ControllerOptions) -> BoxFuture<'static, Result<()>>;
    /// A worker.
    fn worker(&self, options: WorkerOptions) -> BoxFuture<'static, Result<()>>;
    /// The parent of one VM's hypervisor: its directory. The exit code of the process.
    fn shim(&self, dir: PathBuf) -> u8;
    /// Checks a backup file and says what is in it.
    fn verify_backup(&self, file: PathBuf) -> BoxFuture<'static, Result<serde_json::Value>>;
    /// Makes a backup the store of a controller that does not run. Says what it did.
    fn restore_backup(&self, options: RestoreOptions) -> BoxFuture<'static, Result<serde_json::Value>>;
}

/// `hostler dev`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DevOptions {
    /// Where everything is kept.
    pub data_dir: PathBuf,
    /// Where the API listens. Loopback only.
    pub listen: SocketAddr,
    /// Workers that share this host's capacity out.
    pub workers: u32,
    /// No hypervisor: each worker offers 16 CPUs and 64 GiB.
    pub synthetic: bool,
    /// Makes a VM `demo`, waits until it answers SSH, runs `uname -a; uptime` in it, and says what to try next.
    pub demo: bool,
    /// Where the guest image's files are.
    pub guest_image_dir: Option<PathBuf>,
    /// Where the context is written.
    pub config_file: PathBuf,
    /// The context's name.
    pub context: String,
    /// Neither changes the user's contexts nor selects one.
    pub no_context: bool,
    /// Ends the process at a point that a test chose.
    pub failpoint: Option<String>,
}

/// `hostler controller run`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControllerOptions {
    /// Where the store, the CA and the images are kept.
    pub data_dir: PathBuf,
    /// Where it listens.
    pub listen: SocketAddr,
    /// Names and addresses for its certificate, beside the host's own.
    pub tls_names: Vec<String>,
    /// Where the context of the first administrator is written; absent: nowhere.
    pub config_file: Option<PathBuf>,
    /// Ends the process at a point that a test chose.
    pub failpoint: Option<String>,
}

/// `hostler worker run`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerOptions {
    /// The controller. Not needed once it has joined.
    pub url: Option<String>,
    /// The token that lets it join. Not needed once it has joined.
    pub join_token_file: Option<PathBuf>,
    /// Where its key, VMs and images are kept.
    pub data_dir: PathBuf,
    /// Its name; by default the host's.
    pub name: Option<String>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Named resources that it offers.
    pub resources: BTreeMap<String, u64>,
    /// CPUs kept back for the host, in thousandths; by default the program chooses.
    pub reserve_cpu_milli: Option<u64>,
    /// Memory kept back.
    pub reserve_memory: Option<ByteSize>,
    /// Disk kept back.
    pub reserve_disk: Option<ByteSize>,
    /// Offers the synthetic runtime: this many CPUs and this much memory.
    pub synthetic: bool,
    /// Ends the process at a point that a test chose.
    pub failpoint: Option<String>,
}

/// `hostler controller backup restore`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestoreOptions {
    /// The backup.
    pub file: PathBuf,
    /// The controller's directory.
    pub data_dir: PathBuf,
    /// Replaces a store that is there.
    pub replace: bool,
}
