//! Machines run by QEMU, each under a shim of its own.

mod adopt;
mod argv;
mod boot;
mod disk;
mod forward;
mod health;
mod platform;
mod probe;
mod qmp;
mod run;
mod vm;
mod watch;

pub use argv::args;
pub use platform::{Acceleration, Arch, Platform};
pub use qmp::{Event, Qmp};

use super::{ArchCapability, BoxedIo, Capabilities, LogChunk, Machine, Observed, Runtime, Target};
use crate::shim::Dir;
use base::{ByteSize, Code, Error, Result, Uid};
use futures::{FutureExt, future::BoxFuture};
use rt::task;
use std::{
    collections::HashMap,
    ffi::OsString,
    fs,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::sync::{OnceCell, broadcast, oneshot};
use vm::Vm;

/// Events that a slow listener may be behind before it has to take a snapshot.
const EVENTS: usize = 1024;

/// How a [`Qemu`] is set up.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where machines are kept, in `vms/UID`. An absolute path; one process at a time.
    pub state_dir: PathBuf,
    /// The program and first arguments that run a shim; the machine's directory is added.
    pub shim: Vec<OsString>,
    /// Use this acceleration, right or wrong, instead of looking for one.
    pub acceleration: Option<Acceleration>,
    /// Look for QEMU's programs in this directory only, instead of on the PATH.
    pub programs: Option<PathBuf>,
}

impl Settings {
    /// The usual set-up: machines under this directory, shims run by `shim_program shim DIR`.
    pub fn new(state_dir: impl Into<PathBuf>, shim_program: impl Into<OsString>) -> Self {
        Settings {
            state_dir: state_dir.into(),
            shim: vec![shim_program.into(), "shim".into()],
            acceleration: None,
            programs: None,
        }
    }

    fn program(&self, name: &str) -> PathBuf {
        self.programs.as_ref().map_or_else(|| name.into(), |dir| dir.join(name))
    }

    fn vms(&self) -> PathBuf {
        self.state_dir.join("vms")
    }
}

/// What all machines share.
#[derive(Debug)]
struct Shared {
    settings: Settings,
    events: broadcast::Sender<Observed>,
    tasks: task::Group,
}

/// The runtime.
#[derive(Debug)]
pub struct Qemu {
    shared: Arc<Shared>,
    platforms: OnceCell<Vec<Platform>>,
    vms: Mutex<HashMap<Uid, Arc<Vm>>>,
}

impl Qemu {
    /// A runtime that knows no machine yet: see [`Runtime::adopt`].
    pub fn new(settings: Settings) -> Result<Self> {
        rt::files::private_dir(&settings.vms())?;
        let shared = Shared { settings, events: broadcast::Sender::new(EVENTS), tasks: task::Group::new() };
        Ok(Qemu { shared: Arc::new(shared), platforms: OnceCell::new(), vms: Mutex::default() })
    }

    /// The QEMUs of this host, proven once.
    async fn platforms(&self) -> Result<&[Platform]> {
        let found = self.platforms.get_or_try_init(|| async {
            let settings = &self.shared.settings;
            let mut found = Vec::new();
            let mut missing = None;
            for arch in Arch::ALL {
                let program = settings.program(arch.program());
                match probe::probe(arch, program, &settings.state_dir, settings.acceleration).await {
                    Ok(platform) => found.push(platform),
                    Err(e) if arch.as_str() == rt::host::arch() => missing = Some(e),
                    Err(e) => tracing::debug!("no guests of {}: {e}", arch.as_str()),
                }
            }
            match missing {
                Some(e) if found.is_empty() => Err(e),
                _ => {
                    found.sort_by_key(|p| p.arch.as_str() != rt::host::arch());
                    Ok(found)
                }
            }
        });
        found.await.map(Vec::as_slice)
    }

    async fn platform(&self, arch: &str) -> Result<&Platform> {
        self.platforms().await?.iter().find(|p| p.arch.as_str() == arch).ok_or_else(|| {
            let e = Error::unavailable(format!("this host has no QEMU for {arch} guests"));
            match Arch::parse(arch) {
                Some(known) => process_hint(e, known),
                None => e.at("/spec/arch").hint("use amd64 or arm64"),
            }
        })
    }

    fn vms(&self) -> MutexGuard<'_, HashMap<Uid, Arc<Vm>>> {
        self.vms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, uid: Uid) -> Option<Arc<Vm>> {
        self.vms().get(&uid).cloned()
    }

    fn get(&self, uid: Uid) -> Result<Arc<Vm>> {
        self.find(uid).ok_or_else(|| Error::not_found(format!("this worker has no VM {uid}")))
    }

    fn find_or_make(&self, uid: Uid) -> Arc<Vm> {
        let dir = Dir::new(self.shared.settings.vms().join(uid.to_string()));
        self.vms().entry(uid).or_insert_with(|| Arc::new(Vm::new(uid, dir, self.shared.clone()))).clone()
    }

    async fn adopt_all(&self) -> Result<Vec<Observed>> {
        let path = self.shared.settings.vms();
        let doing = |e| Error::io(format_args!("list {}", path.display()), &e);
        for entry in fs::read_dir(&path).map_err(doing)? {
            let entry = entry.map_err(doing)?;
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            if name.starts_with(boot::REMOVED) {
                boot::delete(entry.path()).await?; // the end of a removal that was cut short
            } else if let Ok(uid) = name.parse()
                && let Err(e) = self.adopt_one(uid).await
            {
                // One damaged directory must not hide the others. It is left as it is.
                tracing::error!(%uid, "cannot adopt a VM: {e}");
            }
        }
        Ok(self.list())
    }

    async fn adopt_one(&self, uid: Uid) -> Result<()> {
        let vm = self.find_or_make(uid);
        if !vm.adopt().await? {
            self.vms().remove(&uid);
        }
        Ok(())
    }
}

impl Drop for Qemu {
    /// Ends our tasks, never a machine.
    fn drop(&mut self) {
        self.shared.tasks.token().cancel();
    }
}

fn process_hint(e: Error, arch: Arch) -> Error {
    let missing = std::io::Error::from(std::io::ErrorKind::NotFound);
    match rt::process::cannot_start(arch.program(), &missing).hint {
        Some(hint) => e.hint(hint),
        None => e,
    }
}

impl Runtime for Qemu {
    fn name(&self) -> &'static str {
        "qemu"
    }

    fn probe(&self) -> BoxFuture<'_, Result<Capabilities>> {
        async {
            let platforms = self.platforms().await?;
            let translated = platforms.iter().any(|p| p.acceleration == Acceleration::Tcg);
            let arches = platforms.iter().map(|p| ArchCapability {
                arch: p.arch.as_str().to_owned(),
                acceleration: p.acceleration.as_str().to_owned(),
                message: p.message.clone(),
                version: p.version.clone(),
            });
            // What QEMU, its shim and its screen take, measured; with translation also the translated code.
            let own = ByteSize::mib(96);
            let memory_overhead = if translated { ByteSize(own.0 + argv::TCG_CACHE.0) } else { own };
            Ok(Capabilities { arches: arches.collect(), memory_overhead })
        }
        .boxed()
    }

    fn adopt(&self) -> BoxFuture<'_, Result<Vec<Observed>>> {
        self.adopt_all().boxed()
    }

    fn start(&self, machine: Machine) -> BoxFuture<'_, Result<()>> {
        async move {
            let platform = self.platform(&machine.arch).await?.clone();
            let vm = self.find_or_make(machine.uid);
            let (done, result) = oneshot::channel();
            // A start goes on when the caller gives up: half a start would leave a machine that nobody watches.
            self.shared.tasks.spawn("start", async move {
                let _ = done.send(vm.start(&machine, &platform).await);
            });
            result.await.unwrap_or_else(|_| Err(Error::unavailable("the worker is ending")))
        }
        .boxed()
    }

    fn stop(&self, uid: Uid, grace: Duration) -> BoxFuture<'_, Result<()>> {
        async move {
            match self.find(uid) {
                Some(vm) => vm.stop(grace).await,
                None => Ok(()),
            }
        }
        .boxed()
    }

    fn remove(&self, uid: Uid) -> BoxFuture<'_, Result<()>> {
        async move {
            let Some(vm) = self.find(uid) else { return Ok(()) };
            vm.remove().await?;
            self.vms().remove(&uid);
            Ok(())
        }
        .boxed()
    }

    fn connect(&self, uid: Uid, target: Target) -> BoxFuture<'_, Result<BoxedIo>> {
        async move { self.get(uid)?.connect(target).await }.boxed()
    }

    fn console_log(&self, uid: Uid, from: u64, limit: usize) -> BoxFuture<'_, Result<LogChunk>> {
        async move { self.get(uid)?.console_log(from, limit).await }.boxed()
    }

    fn observe(&self, uid: Uid) -> Option<Observed> {
        self.find(uid).map(|vm| vm.observed())
    }

    fn list(&self) -> Vec<Observed> {
        self.vms().values().map(|vm| vm.observed()).collect()
    }

    fn events(&self) -> broadcast::Receiver<Observed> {
        self.shared.events.subscribe()
    }
}

/// The error for what needs a running machine.
fn not_running(uid: Uid) -> Error {
    Error::new(Code::Conflict, format!("VM {uid} is not running")).hint("start it first")
}
