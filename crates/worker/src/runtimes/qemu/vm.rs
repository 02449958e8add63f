//! One machine as the agent sees it.

use super::{Shared, adopt, boot, health, not_running, platform::Platform, run::Run, watch};
use crate::{
    runtimes::{BoxedIo, Exit, ExitCause, LogChunk, Machine, Observed, Phase, Target},
    shim::{BoundedLog, Dir, Record, Request},
};
use base::{Error, Result, Uid};
use rt::{clock, task};
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::sync::watch as state;

/// A guest that was still booting did not notice the power button: it is pressed again.
const PRESS_AGAIN: Duration = Duration::from_secs(3);
/// How long a hypervisor may take to die.
const DEATH: Duration = Duration::from_secs(20);

/// One machine.
pub(super) struct Vm {
    uid: Uid,
    dir: Dir,
    shared: Arc<Shared>,
    observed: state::Sender<Observed>,
    /// Held by whoever starts, adopts or removes it.
    turn: tokio::sync::Mutex<()>,
    run: Mutex<Option<Arc<Run>>>,
}

impl std::fmt::Debug for Vm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Vm").field("observed", &*self.observed.borrow()).finish_non_exhaustive()
    }
}

impl Vm {
    /// A machine of which nothing is known yet.
    pub(super) fn new(uid: Uid, dir: Dir, shared: Arc<Shared>) -> Self {
        let never = Exit {
            code: None,
            signal: None,
            cause: ExitCause::NeverStarted,
            reason: "it has not been started here".to_owned(),
        };
        let observed = Observed {
            uid,
            epoch: 0,
            run: 0,
            phase: Phase::Exited(never),
            pid: None,
            shim_pid: None,
            started_at: None,
            boot_id: rt::host::boot_id(),
            acceleration: String::new(),
            message: String::new(),
        };
        Vm {
            uid,
            dir,
            shared,
            observed: state::Sender::new(observed),
            turn: tokio::sync::Mutex::default(),
            run: Mutex::default(),
        }
    }

    pub(super) fn dir(&self) -> &Dir {
        &self.dir
    }

    pub(super) fn observed(&self) -> Observed {
        self.observed.borrow().clone()
    }

    /// Changes what is known, and says so. `run` guards against news of a run that is over.
    pub(super) fn update(&self, run: u64, change: impl FnOnce(&mut Observed)) {
        let changed = self.observed.send_if_modified(|now| {
            let before = now.clone();
            if now.run == run {
                change(now);
            }
            *now != before
        });
        if changed {
            let _ = self.shared.events.send(self.observed());
        }
    }

    pub(super) async fn start(self: &Arc<Self>, machine: &Machine, platform: &Platform) -> Result<()> {
        let _turn = self.turn.lock().await;
        let before = self.dir.record()?;
        let (epoch, now) = (machine.epoch, self.observed());
        if now.phase.is_live() && now.epoch == epoch {
            return Ok(());
        }
        if now.phase.is_live() {
            return Err(Error::conflict(format!("epoch {} of VM {} still runs here", now.epoch, self.uid))
                .hint("stop it first"));
        }
        if let Some(newer) = before.as_ref().map(|r| r.epoch).filter(|e| *e > epoch) {
            return Err(Error::conflict(format!("epoch {epoch} of VM {} is older than {newer}", self.uid))
                .hint("ask the controller again: this placement is over"));
        }
        let run = before.as_ref().map_or(0, |r| r.run) + 1;
        self.begin(run, epoch, platform.acceleration.as_str());
        let started = boot::boot(&self.shared.settings, &self.dir, machine, platform, before.as_ref()).await;
        match started {
            Ok(run) => {
                self.running(run, true);
                Ok(())
            }
            Err(e) => {
                let exit = Exit {
                    code: None,
                    signal: None,
                    cause: ExitCause::Failed,
                    reason: format!("cannot start: {e}"),
                };
                self.ended(run, exit);
                Err(e)
            }
        }
    }

    /// Finds out what became of it while no agent was there. False: there is nothing.
    pub(super) async fn adopt(self: &Arc<Self>) -> Result<bool> {
        let _turn = self.turn.lock().await;
        let Some((record, found)) = adopt::find(&self.dir).await? else { return Ok(false) };
        let Record { run, epoch, boot_id, acceleration, .. } = record;
        self.begin(run, epoch, &acceleration);
        let started_at = self.dir.pids(run)?.map(|p| p.started_at);
        self.update(run, |o| {
            o.boot_id = boot_id;
            o.started_at = started_at;
        });
        match found {
            adopt::Found::Ended(exit) => self.ended(run, exit),
            adopt::Found::Running { pids, shim } => {
                self.running(Run::new(self.uid, self.dir.clone(), pids), shim);
            }
        }
        Ok(true)
    }

    fn begin(&self, run: u64, epoch: u64, acceleration: &str) {
        self.observed.send_modify(|o| o.run = run);
        self.update(run, |o| {
            o.epoch = epoch;
            o.phase = Phase::Starting;
            o.boot_id = rt::host::boot_id();
            acceleration.clone_into(&mut o.acceleration);
            o.started_at = None;
            o.message.clear();
        });
    }

    fn running(self: &Arc<Self>, run: Run, shim: bool) {
        let run = Arc::new(run);
        *self.current() = Some(run.clone());
        self.update(run.number, |o| {
            o.phase = Phase::Running;
            o.pid = Some(run.pids.pid);
            o.shim_pid = shim.then_some(run.pids.shim);
            o.started_at = Some(run.pids.started_at);
        });
        let vm = self.clone();
        self.shared.tasks.spawn("vm", async move {
            tokio::select! {
                exit = watch::end(&vm, &run) => vm.ended(run.number, exit),
                () = health::watch(&vm, &run) => {}
            }
        });
    }

    pub(super) fn ended(&self, run: u64, exit: Exit) {
        self.current().take_if(|r| r.number == run);
        self.update(run, |o| {
            o.phase = Phase::Exited(exit);
            o.pid = None;
            o.shim_pid = None;
            o.message.clear();
        });
    }

    pub(super) async fn stop(&self, grace: Duration) -> Result<()> {
        drop(self.turn.lock().await); // a start that is under way comes to its end first
        let Some(run) = self.current().clone() else { return Ok(()) };
        self.update(run.number, |o| o.phase = Phase::Stopping);
        if !grace.is_zero() {
            let reason = "stopped on request".to_owned();
            let _ = run.tell_shim(&Request::Expect { reason }).await;
            tokio::select! {
                () = self.wait_ended(run.number) => return Ok(()),
                () = press(&run) => {}
                () = clock::sleep(grace) => {}
            }
        }
        let reason = match grace.as_secs() {
            _ if grace.is_zero() => "ended on request".to_owned(),
            s => format!("the guest did not power off within {s} s, so it was ended"),
        };
        run.kill(reason).await?;
        clock::timeout(DEATH, "the end of the hypervisor", self.wait_ended(run.number)).await
    }

    async fn wait_ended(&self, run: u64) {
        let over = |o: &Observed| o.run != run || !o.phase.is_live();
        let _ = self.observed.subscribe().wait_for(over).await;
    }

    pub(super) async fn remove(&self) -> Result<()> {
        let _turn = self.turn.lock().await;
        if self.observed().phase.is_live() {
            return Err(Error::conflict(format!("VM {} runs", self.uid)).hint("stop it first"));
        }
        boot::remove(&self.dir).await
    }

    pub(super) async fn connect(&self, target: Target) -> Result<BoxedIo> {
        let run = self.current().clone().ok_or_else(|| not_running(self.uid))?;
        run.connect(target).await
    }

    pub(super) async fn console_log(&self, from: u64, limit: usize) -> Result<LogChunk> {
        let dir = self.dir.clone();
        task::blocking(move || BoundedLog::read(dir.path(), Dir::CONSOLE_LOG, from, limit))
            .await?
            .map_err(|e| Error::io("read the console log", &e))
    }

    fn current(&self) -> MutexGuard<'_, Option<Arc<Run>>> {
        self.run.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Presses the power button until it is over.
async fn press(run: &Run) {
    loop {
        if let Err(e) = run.power_button().await {
            tracing::debug!("the power button: {e}");
        }
        clock::sleep(PRESS_AGAIN).await;
    }
}
