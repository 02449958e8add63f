//! Waits for the end of a run.

use super::{run::Run, vm::Vm};
use crate::{
    runtimes::{Exit, ExitCause, Phase},
    shim::{Client, Dir, ExitRecord, Pids, RECORD_VERSION, Request},
};
use base::Result;
use rt::{clock, process};

/// What to tell of a machine whose shim has died.
const NO_SHIM: &str = "its shim has died: it runs on, but its serial console is not logged and its exit code will not be \
                       known";

/// Resolves when the hypervisor has ended: by the word of its shim, and without one by watching the process.
pub(super) async fn end(vm: &Vm, run: &Run) -> Exit {
    if let Ok(exit) = by_shim(vm.dir(), run.number).await {
        return exit;
    }
    let Pids { pid, start_ticks, .. } = run.pids;
    if process::running(pid, start_ticks) {
        vm.update(run.number, |o| {
            o.shim_pid = None;
            NO_SHIM.clone_into(&mut o.message);
        });
    }
    process::gone(pid, start_ticks).await;
    if let Ok(Some(seen)) = vm.dir().exit(run.number) {
        return seen.exit;
    }
    let exit = unseen(vm.observed().phase == Phase::Stopping);
    let record =
        ExitRecord { version: RECORD_VERSION, run: run.number, at: clock::wall(), exit: exit.clone() };
    if let Err(e) = vm.dir().save_exit(&record) {
        tracing::warn!("{e}");
    }
    exit
}

/// Waits for the word of the shim, spoken or written.
///
/// # Errors
/// When it has none: it is dead, or dies before the hypervisor.
pub(super) async fn by_shim(dir: &Dir, run: u64) -> Result<Exit> {
    match spoken(dir).await {
        Ok(exit) => Ok(exit),
        // It may have been about to leave when we came.
        Err(e) => dir.exit(run)?.map(|written| written.exit).ok_or(e),
    }
}

async fn spoken(dir: &Dir) -> Result<Exit> {
    let mut shim = Client::connect(&dir.file(Dir::SHIM_SOCKET)).await?;
    let mut status = shim.ask(&Request::Wait).await?;
    loop {
        if let Some(exit) = status.exit {
            return Ok(exit);
        }
        status = shim.next().await?;
    }
}

/// An end that only the agent saw.
fn unseen(stopping: bool) -> Exit {
    let (cause, reason) = if stopping {
        (ExitCause::Requested, "stopped on request")
    } else {
        (ExitCause::Unknown, "the hypervisor ended after its shim had died; why is not known")
    };
    Exit { code: None, signal: None, cause, reason: reason.to_owned() }
}
