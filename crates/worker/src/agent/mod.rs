//! The host agent: follows what the controller wants, whether or not the controller is there, and tells what it sees.
//!
//! The controller sends the full desired set of a worker ([`api::assignment::Assignments`]); it is on the disk before
//! it is acknowledged. Each VM has one task ([`drive`]) that compares what is wanted with what the runtime sees and
//! does the next step ([`decide`]). What the controller does not name is reported and left alone; only a tombstone
//! removes a VM. Machines outlive the agent: its end is not theirs.

mod blobs;
mod decide;
mod describe;
mod drive;
mod exec;
mod facts;
mod fleet;
mod guest;
mod host;
mod identity;
mod images;
mod keeper;
mod logs;
mod probe;
mod record;
mod reports;
mod run;
mod script;
mod steps;
mod store;
#[cfg(test)]
mod tests;
mod tunnel;
mod vm;

pub use blobs::HttpSource;
pub use fleet::{Fleet, FleetOptions, Shape};
pub use identity::{Identity, join};
pub use run::{RunOptions, Worker};

use crate::runtimes::{
    Runtime,
    qemu::{Qemu, Settings},
    synthetic::Synthetic,
};
use ::images::Source;
use api::{
    assignment::{Accepted, Assignments},
    meta::Labels,
    worker::Amounts,
};
use base::{ByteSize, Code, Error, Result};
use bytes::Bytes;
use futures::Stream;
use host::Host;
use link::worker_side::{Handler, Offer, TunnelRequest};
use rt::task::Group;
use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

/// The name of the runtime that runs real machines.
pub const QEMU: &str = "qemu";
/// The name of the runtime that only plays.
pub const SYNTHETIC: &str = "synthetic";

/// How an agent is set up.
#[derive(Clone, Debug)]
pub struct AgentOptions {
    /// Where everything is kept; one agent at a time. `None`: nowhere, for synthetic workers.
    pub state_dir: Option<PathBuf>,
    /// Labels that VMs may ask for.
    pub labels: Labels,
    /// What there is; `None`: what is found.
    pub capacity: Option<Amounts>,
    /// What VMs may not have.
    pub reserve: Reserve,
    /// Named resources, e.g. `gpu: 2`.
    pub resources: BTreeMap<String, u64>,
    /// The architecture to claim, for synthetic workers; `None`: this host's.
    pub arch: Option<String>,
    /// The runtimes to offer: [`QEMU`], [`SYNTHETIC`].
    pub runtimes: Vec<String>,
    /// This program: it is started as `PROGRAM shim DIR` for each machine.
    pub shim_program: PathBuf,
    /// How often a silent report says that it lives.
    pub heartbeat: Duration,
    /// The version of this program, for people.
    pub version: String,
}

/// What is kept back for the host. What is `None` is chosen: nothing of a capacity that was given, for who says what there
/// is says what VMs may have; of one that was found, what each field says.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reserve {
    /// Thousandths of a CPU. Nothing, since CPUs are shared by time.
    pub cpu_milli: Option<u64>,
    /// 5 % of the memory, at least 512 MiB.
    pub memory: Option<ByteSize>,
    /// Beside what others use of the file system at the start: 5 % of it, at least 1 and at most 4 GiB, since what a
    /// host needs to go on does not grow with its disk.
    pub disk: Option<ByteSize>,
}

impl AgentOptions {
    /// The usual set-up: real machines, everything found, a heartbeat as often as the controller expects it.
    pub fn new(state_dir: impl Into<PathBuf>, shim_program: impl Into<PathBuf>) -> Self {
        AgentOptions {
            state_dir: Some(state_dir.into()),
            labels: Labels::new(),
            capacity: None,
            reserve: Reserve::default(),
            resources: BTreeMap::new(),
            arch: None,
            runtimes: vec![QEMU.into()],
            shim_program: shim_program.into(),
            heartbeat: api::assignment::HEARTBEAT,
            version: env!("CARGO_PKG_VERSION").into(),
        }
    }

    /// A worker that only plays, with this much to play with, and keeps nothing on the disk.
    pub fn synthetic(capacity: Amounts) -> Self {
        AgentOptions {
            state_dir: None,
            capacity: Some(capacity),
            runtimes: vec![SYNTHETIC.into()],
            ..AgentOptions::new(PathBuf::new(), PathBuf::new())
        }
    }
}

/// A running agent. Cheap to clone; when the last one is dropped, its tasks end and its machines go on.
#[derive(Clone)]
pub struct Agent(Arc<Inner>);

struct Inner {
    host: Arc<Host>,
    tasks: Group,
    /// One set of assignments is taken at a time.
    turn: tokio::sync::Mutex<()>,
}

impl Agent {
    /// Starts an agent: finds out what this host can run, adopts what runs, and goes on with what was wanted last.
    /// Images come from `source`. The caller holds the lock of the state directory.
    pub async fn start(options: AgentOptions, source: Option<Arc<dyn Source>>) -> Result<Self> {
        let runtimes = options.runtimes.iter().map(|name| runtime(&options, name)).collect::<Result<_>>()?;
        Agent::with_runtimes(options, runtimes, source).await
    }

    /// The same with these runtimes.
    pub async fn with_runtimes(
        options: AgentOptions,
        runtimes: Vec<Arc<dyn Runtime>>,
        source: Option<Arc<dyn Source>>,
    ) -> Result<Self> {
        let host = Host::open(options, runtimes, source).await?;
        let agent = Agent(Arc::new(Inner { host, tasks: Group::new(), turn: tokio::sync::Mutex::default() }));
        agent.0.host.adopt(&agent.0.tasks).await?;
        Ok(agent)
    }

    /// Takes a full desired set: on the disk when this returns. An older one than is followed changes nothing; the
    /// answer says which is followed.
    pub async fn assign(&self, assignments: Assignments) -> Result<Accepted> {
        let _turn = self.0.turn.lock().await;
        let host = &self.0.host;
        let Some(next) = host.desires().followed_by(assignments, |uid| host.vm(*uid).is_ok()) else {
            return Ok(Accepted { revision: host.desires().revision() });
        };
        next.save(&host.keeper).await?;
        let revision = next.revision();
        host.follow(next, &self.0.tasks);
        Ok(Accepted { revision })
    }

    /// The report's lines, for one reader.
    pub fn lines(&self) -> impl Stream<Item = Bytes> + Send + 'static {
        self.0.host.reports.lines()
    }

    /// Ends all machines, asking the guests first: a `dev` cluster takes its machines with it. They start again with the
    /// next agent, if they are still wanted. The agent itself does nothing any more.
    pub async fn stop_machines(&self, grace: Duration) {
        self.stop().await;
        let host = &self.0.host;
        let stops = host.runtimes.iter().flat_map(|runtime| {
            let live = runtime.list().into_iter().filter(|m| m.phase.is_live());
            live.map(move |m| async move {
                if let Err(error) = runtime.stop(m.uid, grace).await {
                    tracing::warn!(vm = %m.uid, %error, "a machine could not be stopped");
                }
            })
        });
        futures::future::join_all(stops).await;
    }

    /// Ends the agent's tasks. Machines go on.
    pub async fn stop(&self) {
        self.0.tasks.stop().await;
        self.0.host.keeper.settled().await;
    }
}

fn runtime(options: &AgentOptions, name: &str) -> Result<Arc<dyn Runtime>> {
    match (name, &options.state_dir) {
        (SYNTHETIC, None) => Ok(Arc::new(Synthetic::new())),
        (SYNTHETIC, Some(dir)) => Ok(Arc::new(Synthetic::with_state(dir)?)),
        (QEMU, Some(dir)) => Ok(Arc::new(Qemu::new(Settings::new(dir, &options.shim_program))?)),
        (QEMU, None) => Err(Error::new(Code::Invalid, "the qemu runtime needs a state directory")),
        (other, _) => Err(Error::new(Code::Invalid, format!("there is no runtime '{other}'"))
            .hint(format!("use {QEMU} or {SYNTHETIC}"))),
    }
}

impl Handler for Agent {
    async fn put_assignments(&self, body: Bytes) -> Result<Bytes> {
        let assignments: Assignments = serde_json::from_slice(&body)
            .map_err(|e| Error::new(Code::Invalid, "the assignments are not understood").because(e))?;
        let accepted = self.assign(assignments).await?;
        let answer = serde_json::to_vec(&accepted);
        answer.map(Bytes::from).map_err(|e| Error::internal("cannot write an answer").because(e))
    }

    fn report(&self) -> impl Stream<Item = Bytes> + Send + 'static {
        self.lines()
    }

    async fn tunnel(&self, request: TunnelRequest, offer: Offer) -> Result<()> {
        tunnel::serve(&self.0.host, request, offer).await
    }
}

impl std::fmt::Debug for Agent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Agent").field("revision", &self.0.host.desires().revision()).finish_non_exhaustive()
    }
}
