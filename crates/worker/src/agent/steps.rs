//! What is done about a VM: one function for each action that takes time.

use super::{
    Host, SYNTHETIC,
    decide::{Action, decide},
    describe::with_hint,
    probe,
    record::{Record, Rest},
    script,
    vm::Vm,
};
use api::vm::{RestartPolicy, VmPhase};
use base::{Error, Result};
use std::{sync::Arc, time::Duration};

/// Does it. Dropped where it is no longer wanted; what it has written down stays true then.
pub async fn perform(host: &Arc<Host>, vm: &Arc<Vm>, action: Action) -> Result<()> {
    match action {
        Action::Idle => std::future::pending().await,
        Action::Fetch => fetch(host, vm).await,
        Action::Delay => {
            if let Some(at) = vm.not_before() {
                rt::clock::sleep(at.saturating_duration_since(rt::clock::now())).await;
            }
            Ok(())
        }
        Action::Start => start(host, vm).await,
        Action::AwaitReady(run) => await_ready(host, vm, run).await,
        Action::RunScript(run) => run_script(host, vm, run).await,
        Action::Stop(grace) => {
            vm.guest.forget();
            vm.need_runtime(host)?.stop(vm.uid, Duration::from_secs(grace)).await
        }
        Action::Remove => remove(host, vm).await,
        Action::Finish => finish(host, vm).await,
        Action::Settle { run, rest } => {
            if rest.is_none() {
                vm.forgive();
            }
            settle(host, vm, run, rest).await
        }
    }
}

async fn fetch(host: &Arc<Host>, vm: &Arc<Vm>) -> Result<()> {
    let (_, work) = vm.work()?;
    let fetched = host.images.fetch(&work).await;
    host.reports.images(host.images.held());
    fetched.map_err(|e| Error { message: format!("cannot fetch the image: {}", e.message), ..e })
}

async fn start(host: &Arc<Host>, vm: &Arc<Vm>) -> Result<()> {
    let (assignment, work) = vm.work()?;
    let runtime = vm.need_runtime(host)?;
    let machine = vm.machine(host, &assignment, &work)?;
    vm.before_start(&assignment, &work).save(&host.keeper).await?;
    host.saw(vm.uid, assignment.epoch);
    match runtime.start(machine).await {
        Ok(()) => {
            let record = vm.update(|r| {
                r.restart_count += u64::from(r.started);
                r.started = true;
            });
            // The machine runs: a disk that is full now is no reason to start it again.
            keep(host, &record).await;
            Ok(())
        }
        Err(e) => {
            tracing::warn!(vm = %vm.uid, error = %e, "a start failed");
            vm.slow_down(with_hint(&e));
            let rest = Rest { phase: VmPhase::Failed, reason: "StartFailed".into(), message: with_hint(&e) };
            let rests = work.spec.restart_policy == RestartPolicy::Never;
            // What the attempt left is dealt with here, not by the policy for machines that ran.
            let run = runtime.observe(vm.uid).map_or(0, |m| m.run);
            settle(host, vm, run, rests.then_some(rest)).await
        }
    }
}

async fn await_ready(host: &Arc<Host>, vm: &Arc<Vm>, run: u64) -> Result<()> {
    probe::answered(host, vm, run).await?;
    let record = vm.update(|r| {
        r.ready_run = run;
        r.ready_at = Some(rt::clock::wall());
    });
    // Told before it is kept: people wait for this.
    host.reports.vm(&vm.report(host, &vm.view(host, decide), None));
    keep(host, &record).await;
    Ok(())
}

async fn run_script(host: &Arc<Host>, vm: &Arc<Vm>, run: u64) -> Result<()> {
    let (_, work) = vm.work()?;
    let Some(script) = &work.spec.startup_script else { return Ok(()) };
    let failure = match work.runtime.as_str() {
        SYNTHETIC => None, // a synthetic guest plays everything well
        _ => script::run(host, vm, script).await?,
    };
    let record = vm.update(|r| match failure {
        None => r.script_run = run,
        Some(message) => {
            let reason = "StartupScriptFailed".into();
            r.rest = Some(Rest { phase: VmPhase::Failed, reason, message });
        }
    });
    keep(host, &record).await;
    Ok(())
}

async fn remove(host: &Arc<Host>, vm: &Arc<Vm>) -> Result<()> {
    vm.need_runtime(host)?.remove(vm.uid).await
}

async fn finish(host: &Arc<Host>, vm: &Arc<Vm>) -> Result<()> {
    if vm.record().started {
        vm.need_runtime(host)?; // without it nobody knows what is left
    }
    host.finish(vm).await
}

async fn settle(host: &Arc<Host>, vm: &Arc<Vm>, run: u64, rest: Option<Rest>) -> Result<()> {
    let record = vm.update(|r| {
        r.settled_run = run.max(r.settled_run);
        r.rest = rest;
    });
    record.save(&host.keeper).await
}

/// Keeps what is true already. Where it cannot be kept, it is true all the same.
async fn keep(host: &Host, record: &Record) {
    if let Err(error) = record.save(&host.keeper).await {
        tracing::error!(vm = %record.uid, %error, "the record of a VM could not be written");
    }
}
