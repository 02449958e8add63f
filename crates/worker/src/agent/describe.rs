//! How a VM looks from outside.
//!
//! `Failed` and `Stopped` without a process id mean that the worker does not start it again by itself. A VM that fails
//! while its machine runs (its script, its probe) is `Failed` with one: it still takes up what it was given.

use super::{
    Host,
    decide::{Action, View},
    record::Rest,
    vm::Vm,
};
use crate::runtimes::Phase;
use api::{assignment::VmReport, vm::VmPhase};
use base::Error;

/// A phase, its reason in a word, its message.
type Said = (VmPhase, String, String);

impl Vm {
    /// How it looks from outside while `action` is done. `trouble` is what went wrong with it last.
    pub fn report(&self, host: &Host, action: &Action, trouble: Option<&Error>) -> VmReport {
        let (phase, reason, message, machine) = self.view(host, |view| {
            let (phase, reason, message) = self.describe(host, view, action, trouble);
            (phase, reason, message, view.machine.cloned())
        });
        let record = self.record();
        let assignment = self.assignment();
        let live = machine.as_ref().filter(|m| m.phase.is_live());
        let ready = live.is_some_and(|m| m.run == record.ready_run);
        let (name, project, epoch, generation) = match &assignment {
            Some(a) => (&a.name, &a.project, a.epoch, a.generation),
            None => (&record.name, &record.project, record.epoch, record.generation),
        };
        VmReport {
            uid: self.uid,
            epoch: epoch.max(machine.as_ref().map_or(0, |m| m.epoch)),
            name: name.clone(),
            project: project.clone(),
            generation,
            phase,
            message,
            reason,
            unclaimed: assignment.is_none(),
            pid: live.and_then(|m| m.pid),
            acceleration: machine.as_ref().map(|m| m.acceleration.clone()).unwrap_or_default(),
            restart_count: record.restart_count,
            restarts_done: record.restarts_done,
            started_at: machine.as_ref().and_then(|m| m.started_at),
            ready_at: record.ready_at.filter(|_| ready),
        }
    }

    fn describe(&self, host: &Host, view: &View<'_>, action: &Action, trouble: Option<&Error>) -> Said {
        let (phase, reason, message) = self.describe_action(host, view, action);
        match trouble {
            Some(e) => (phase, e.code.to_string(), with_hint(e)),
            None => (phase, reason, message),
        }
    }

    fn describe_action(&self, host: &Host, view: &View<'_>, action: &Action) -> Said {
        let said = |phase, message: &str| (phase, String::new(), message.to_owned());
        match action {
            Action::Fetch => (VmPhase::Assigned, "Fetching".into(), self.describe_fetch(host)),
            Action::Start => said(VmPhase::Assigned, "starting"),
            Action::Delay => {
                let message = format!("{}; starts again soon", self.why_not_before());
                (VmPhase::Assigned, "Backoff".into(), message)
            }
            Action::AwaitReady(run) => match self.silence(*run) {
                Some(why) => (VmPhase::Failed, "ProbeTimeout".into(), why),
                None => said(VmPhase::Starting, "waiting for the guest to answer"),
            },
            Action::RunScript(_) => said(VmPhase::Starting, "the startup script runs"),
            Action::Stop(_) => said(VmPhase::Stopping, "waiting for the guest to power off"),
            Action::Remove | Action::Finish => said(VmPhase::Stopping, "removing the disk"),
            Action::Idle | Action::Settle { .. } => describe_idle(view),
        }
    }

    fn describe_fetch(&self, host: &Host) -> String {
        let Ok((_, work)) = self.work() else { return String::new() };
        let progress = host.images.progress(&work);
        let percent = (progress.done * 100).checked_div(progress.total).unwrap_or(0);
        match progress.trouble {
            Some(e) => format!("fetching the image: {percent} %; trying again after: {e}"),
            None => format!("fetching the image: {percent} %"),
        }
    }
}

fn describe_idle(view: &View<'_>) -> Said {
    if let Some(Rest { phase, reason, message }) = &view.record.rest {
        return (*phase, reason.clone(), message.clone());
    }
    let Some(machine) = view.machine else { return (VmPhase::Stopped, String::new(), String::new()) };
    let ready = view.record.ready_run == machine.run;
    let phase = match &machine.phase {
        Phase::Running if ready => VmPhase::Running,
        Phase::Starting | Phase::Running => VmPhase::Starting,
        Phase::Stopping => VmPhase::Stopping,
        Phase::Exited(_) => VmPhase::Stopped,
    };
    (phase, String::new(), machine.message.clone())
}

/// An error as one message of a VM: a report has no room for its parts.
pub fn with_hint(error: &Error) -> String {
    match &error.hint {
        Some(hint) => format!("{error} ({hint})"),
        None => error.to_string(),
    }
}
