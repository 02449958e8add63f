//! Machines that only pretend: scripted delays and failures, thousands in one process, for tests, demos and load.
//!
//! They live in the memory of the agent. With a state directory, a journal (`synthetic.jsonl`) lets them "survive" it as
//! real ones do.

mod echo;
mod journal;
#[cfg(test)]
mod tests;

use super::{
    ArchCapability, BoxedIo, Capabilities, Exit, ExitCause, LogChunk, Machine, Observed, Phase, Runtime,
    SyntheticScript, Target,
};
use base::{ByteSize, Code, Error, Result, Uid};
use futures::{FutureExt, future::BoxFuture};
use journal::{Journal, Saved};
use rt::{clock, host, task};
use std::{
    collections::HashMap,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::sync::{broadcast, oneshot};

/// Events that a slow listener may be behind before it has to take a snapshot. Few: there may be a thousand of these
/// runtimes in a process.
const EVENTS: usize = 64;

/// The runtime.
#[derive(Debug)]
pub struct Synthetic(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    machines: Mutex<HashMap<Uid, Pretended>>,
    events: broadcast::Sender<Observed>,
    journal: Option<Journal>,
    connections: task::Group,
}

/// One machine.
#[derive(Debug)]
struct Pretended {
    observed: Observed,
    script: Arc<SyntheticScript>,
    /// When it began to run, on the clock that counts from boot.
    since: Duration,
    /// Takes it from phase to phase; dropping it ends that.
    life: Option<task::Task<()>>,
    /// Cancelled when the run ends, for its connections.
    over: task::CancellationToken,
}

impl Synthetic {
    /// Machines that end with the process.
    pub fn new() -> Self {
        Synthetic(Shared::new(None))
    }

    /// Machines that a later runtime of the same directory finds again.
    pub fn with_state(dir: &Path) -> Result<Self> {
        rt::files::private_dir(dir)?;
        Ok(Synthetic(Shared::new(Some(Journal::new(dir)))))
    }
}

impl Default for Synthetic {
    fn default() -> Self {
        Self::new()
    }
}

impl Shared {
    fn new(journal: Option<Journal>) -> Arc<Self> {
        Arc::new(Shared {
            machines: Mutex::default(),
            events: broadcast::Sender::new(EVENTS),
            journal,
            connections: task::Group::new(),
        })
    }

    fn machines(&self) -> MutexGuard<'_, HashMap<Uid, Pretended>> {
        self.machines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes a machine, unless another run of it has begun; says so and writes it down.
    fn change(&self, uid: Uid, run: u64, change: impl FnOnce(&mut Pretended)) {
        let mut machines = self.machines();
        let Some(machine) = machines.get_mut(&uid).filter(|m| m.observed.run == run) else { return };
        change(machine);
        self.tell(machine);
    }

    fn tell(&self, machine: &Pretended) {
        if let Some(journal) = &self.journal {
            journal.write(&Saved::of(machine));
        }
        let _ = self.events.send(machine.observed.clone());
    }

    /// Puts a machine into its first phase, or says that it runs already (`None`).
    fn enter(&self, machine: &Machine) -> Result<Option<u64>> {
        let mut machines = self.machines();
        let (uid, epoch) = (machine.uid, machine.epoch);
        let before = machines.get(&uid).map(|m| &m.observed);
        if let Some(before) = before {
            if before.phase.is_live() && before.epoch == epoch {
                return Ok(None);
            }
            if before.phase.is_live() || before.epoch > epoch {
                return Err(Error::conflict(format!("epoch {} of VM {uid} is here", before.epoch)));
            }
        }
        let run = before.map_or(0, |b| b.run) + 1;
        let script = Arc::new(machine.synthetic.clone().unwrap_or_default());
        let entered = Pretended {
            observed: observed(uid, epoch, run),
            script,
            since: clock::since_boot(),
            life: None,
            over: task::CancellationToken::new(),
        };
        self.tell(&entered);
        machines.insert(uid, entered);
        Ok(Some(run))
    }

    fn end(&self, uid: Uid, run: u64, exit: Exit) {
        self.change(uid, run, |m| {
            m.observed.phase = Phase::Exited(exit);
            m.over.cancel();
        });
    }

    /// Gives a machine its life: to running (which `running` hears), and to the end that its script has.
    fn live(self: &Arc<Self>, uid: Uid, run: u64, boot: Duration, running: Option<oneshot::Sender<()>>) {
        let shared = self.clone();
        let life = task::spawn("synthetic", async move {
            if !boot.is_zero() {
                clock::sleep(boot).await;
            }
            let mut exit = None;
            shared.change(uid, run, |m| {
                if m.observed.phase == Phase::Starting {
                    m.observed.phase = Phase::Running;
                    m.observed.started_at = Some(clock::wall());
                    m.since = clock::since_boot();
                }
                exit = m.script.exit_after_ms.map(|ms| {
                    let left =
                        Duration::from_millis(ms).saturating_sub(clock::since_boot().saturating_sub(m.since));
                    (left, m.script.exit_code)
                });
            });
            if let Some(running) = running {
                let _ = running.send(());
            }
            if let Some((left, code)) = exit {
                clock::sleep(left).await;
                shared.end(uid, run, scripted(code));
            }
        });
        if let Some(machine) = self.machines().get_mut(&uid).filter(|m| m.observed.run == run) {
            machine.life = Some(life);
        }
    }

    async fn start(self: Arc<Self>, machine: Machine) -> Result<()> {
        let uid = machine.uid;
        let Some(run) = self.enter(&machine)? else { return Ok(()) };
        let script = machine.synthetic.unwrap_or_default();
        if let Some(message) = script.fail_start {
            let reason = format!("cannot start: {message}");
            self.end(uid, run, Exit { code: None, signal: None, cause: ExitCause::Failed, reason });
            return Err(Error::unavailable(message));
        }
        let (tell, told) = oneshot::channel();
        self.live(uid, run, Duration::from_millis(script.boot_ms), Some(tell));
        told.await.map_err(|_| Error::conflict(format!("VM {uid} was stopped while it started")))
    }

    fn adopt(self: &Arc<Self>) -> Result<Vec<Observed>> {
        let Some(journal) = &self.journal else { return Ok(Vec::new()) };
        for saved in journal.load()? {
            let (uid, run) = (saved.observed.uid, saved.observed.run);
            let live = saved.observed.phase.is_live();
            let restarted = saved.observed.boot_id != host::boot_id();
            let boot = match saved.observed.phase {
                Phase::Starting => Duration::from_millis(saved.script.boot_ms),
                _ => Duration::ZERO,
            };
            self.machines().insert(uid, saved.restore());
            if live && restarted {
                let reason = "the host restarted".to_owned();
                self.end(
                    uid,
                    run,
                    Exit { code: None, signal: None, cause: ExitCause::HostRestarted, reason },
                );
            } else if live {
                self.live(uid, run, boot, None);
            }
        }
        Ok(self.list())
    }

    fn stop(&self, uid: Uid) {
        let mut machines = self.machines();
        let Some(machine) = machines.get_mut(&uid).filter(|m| m.observed.phase.is_live()) else { return };
        machine.life = None;
        machine.over.cancel();
        let reason = "stopped on request".to_owned();
        machine.observed.phase =
            Phase::Exited(Exit { code: Some(0), signal: None, cause: ExitCause::Requested, reason });
        self.tell(machine);
    }

    fn remove(&self, uid: Uid) -> Result<()> {
        let mut machines = self.machines();
        if machines.get(&uid).is_some_and(|m| m.observed.phase.is_live()) {
            return Err(Error::conflict(format!("VM {uid} runs")).hint("stop it first"));
        }
        if let Some(machine) = machines.remove(&uid)
            && let Some(journal) = &self.journal
        {
            journal.write(&Saved { removed: true, ..Saved::of(&machine) });
        }
        Ok(())
    }

    fn connect(&self, uid: Uid, target: Target) -> Result<BoxedIo> {
        let machines = self.machines();
        let machine =
            machines.get(&uid).ok_or_else(|| Error::not_found(format!("this worker has no VM {uid}")))?;
        if !machine.observed.phase.is_live() {
            return Err(Error::new(Code::Conflict, format!("VM {uid} is not running")).hint("start it first"));
        }
        let silent = match target {
            Target::Port(22) => {
                let ready = machine.since + Duration::from_millis(machine.script.ready_ms);
                ready.saturating_sub(clock::since_boot())
            }
            _ => Duration::ZERO,
        };
        let (ours, theirs) = tokio::io::duplex(64 << 10);
        let over = machine.over.clone();
        self.connections.spawn("echo", async move {
            tokio::select! {
                () = over.cancelled() => {}
                () = echo::serve(theirs, target, silent) => {}
            }
        });
        Ok(Box::pin(ours))
    }

    fn list(&self) -> Vec<Observed> {
        self.machines().values().map(|m| m.observed.clone()).collect()
    }
}

fn observed(uid: Uid, epoch: u64, run: u64) -> Observed {
    Observed {
        uid,
        epoch,
        run,
        phase: Phase::Starting,
        pid: None,
        shim_pid: None,
        started_at: None,
        boot_id: host::boot_id(),
        acceleration: "none".to_owned(),
        message: String::new(),
    }
}

fn scripted(code: i32) -> Exit {
    let (cause, reason) = match code {
        0 => (ExitCause::Guest, "the guest powered itself off".to_owned()),
        _ => (ExitCause::Failed, format!("the script ended it with code {code}")),
    };
    Exit { code: Some(code), signal: None, cause, reason }
}

impl Runtime for Synthetic {
    fn name(&self) -> &'static str {
        "synthetic"
    }

    fn probe(&self) -> BoxFuture<'_, Result<Capabilities>> {
        let mut arches = ["amd64", "arm64"];
        arches.sort_by_key(|a| *a != host::arch());
        let arches = arches.map(|arch| ArchCapability {
            arch: arch.to_owned(),
            acceleration: "none".to_owned(),
            message: "synthetic machines run nothing".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        });
        async { Ok(Capabilities { arches: arches.into(), memory_overhead: ByteSize(0) }) }.boxed()
    }

    fn adopt(&self) -> BoxFuture<'_, Result<Vec<Observed>>> {
        async { self.0.adopt() }.boxed()
    }

    fn start(&self, machine: Machine) -> BoxFuture<'_, Result<()>> {
        self.0.clone().start(machine).boxed()
    }

    fn stop(&self, uid: Uid, _grace: Duration) -> BoxFuture<'_, Result<()>> {
        async move {
            self.0.stop(uid);
            Ok(())
        }
        .boxed()
    }

    fn remove(&self, uid: Uid) -> BoxFuture<'_, Result<()>> {
        async move { self.0.remove(uid) }.boxed()
    }

    fn connect(&self, uid: Uid, target: Target) -> BoxFuture<'_, Result<BoxedIo>> {
        async move { self.0.connect(uid, target) }.boxed()
    }

    fn console_log(&self, uid: Uid, from: u64, limit: usize) -> BoxFuture<'_, Result<LogChunk>> {
        async move {
            let Some(o) = self.observe(uid) else {
                return Err(Error::not_found(format!("this worker has no VM {uid}")));
            };
            // One line for each run that began, made when it is read.
            let runs = if o.started_at.is_some() { o.run } else { o.run.saturating_sub(1) };
            let text = "synthetic machine booted\n".repeat(usize::try_from(runs).unwrap_or(0));
            let offset = from.min(text.len() as u64);
            let bytes =
                text.bytes().skip(usize::try_from(offset).unwrap_or(usize::MAX)).take(limit).collect();
            Ok(LogChunk { offset, bytes, end: text.len() as u64 })
        }
        .boxed()
    }

    fn observe(&self, uid: Uid) -> Option<Observed> {
        self.0.machines().get(&uid).map(|m| m.observed.clone())
    }

    fn list(&self) -> Vec<Observed> {
        self.0.list()
    }

    fn events(&self) -> broadcast::Receiver<Observed> {
        self.0.events.subscribe()
    }
}

impl Drop for Synthetic {
    /// The lives hold the shared part: end them, or it would stay for ever.
    fn drop(&mut self) {
        for machine in self.0.machines().values_mut() {
            machine.life = None;
        }
    }
}
