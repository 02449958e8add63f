//! What to do about one VM: a pure function of what is wanted, what is there, and what was done before.
//!
//! It names one action at a time. The action runs until it ends or until this function names another one; what came of
//! it shows in the next view. So nothing here waits, and every state can be written down in a test.

use super::record::{Record, Rest};
use crate::runtimes::{Exit, ExitCause, Observed, Phase};
use api::{
    assignment::Desired,
    vm::{RestartPolicy, VmPhase},
};

/// What is wanted of a VM, as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Its power.
    pub desired: Desired,
    /// What happens when it ends by itself.
    pub policy: RestartPolicy,
    /// The counter of restarts on request.
    pub restarts: u64,
    /// Whether a script follows readiness.
    pub has_script: bool,
    /// Seconds of patience for a guest that is asked to power off.
    pub grace_seconds: u64,
}

/// All that a decision depends on.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// `None` where no assignment names this VM.
    pub wanted: Option<&'a Wanted>,
    /// What the runtime sees; `None` where it has nothing.
    pub machine: Option<&'a Observed>,
    /// What was done before.
    pub record: &'a Record,
    /// Whether the image is on this host.
    pub image_here: bool,
    /// Whether the next start has to wait.
    pub delayed: bool,
}

/// The next thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// All is as it should be, or somebody else has to act.
    Idle,
    /// Get the image.
    Fetch,
    /// Wait before the next start.
    Delay,
    /// Start the machine.
    Start,
    /// Wait until the guest of this run answers.
    AwaitReady(u64),
    /// Run the startup script in the guest of this run.
    RunScript(u64),
    /// Ask the guest to power off, and end it after so many seconds.
    Stop(u64),
    /// Delete all that is kept.
    Remove,
    /// Nothing is left of a VM that was to be removed.
    Finish,
    /// Take note of how a run ended: no start follows by itself.
    Settle {
        /// The run.
        run: u64,
        /// How it is shown; `None` where it was wanted so.
        rest: Option<Rest>,
    },
}

/// Decides.
pub fn decide(view: &View<'_>) -> Action {
    let Some(wanted) = view.wanted else {
        // Nobody asks for it: it is kept. One that was never started has nothing that could be kept.
        let nothing = view.machine.is_none() && !view.record.started;
        return if nothing { Action::Finish } else { Action::Idle };
    };
    match wanted.desired {
        Desired::Removed => match view.machine {
            Some(m) if m.phase.is_live() => Action::Stop(0),
            Some(_) => Action::Remove,
            None => Action::Finish,
        },
        Desired::Stopped => stopped(view, wanted),
        Desired::Running => running(view, wanted),
    }
}

fn stopped(view: &View<'_>, wanted: &Wanted) -> Action {
    let run = view.machine.map_or(0, |m| m.run);
    match view.machine {
        Some(m) if m.phase.is_live() => Action::Stop(wanted.grace_seconds),
        // Whatever it was, the next start begins without a past.
        _ if view.record.rest.is_some() || run > view.record.settled_run => {
            Action::Settle { run, rest: None }
        }
        _ => Action::Idle,
    }
}

fn running(view: &View<'_>, wanted: &Wanted) -> Action {
    let record = view.record;
    let restart = wanted.restarts > record.restarts_done;
    let start = |again: bool| start(view, restart, again);
    match view.machine {
        None => start(false),
        Some(m) => match &m.phase {
            Phase::Starting => Action::Idle,
            // A stop of ours that is no longer wanted cannot be taken back: the machine starts again when it is down.
            Phase::Stopping => Action::Stop(wanted.grace_seconds),
            Phase::Running if restart => Action::Stop(wanted.grace_seconds),
            Phase::Running => after_start(view, wanted, m.run),
            Phase::Exited(_) if restart || m.run <= record.settled_run => start(false),
            Phase::Exited(exit) => match verdict(wanted.policy, exit) {
                Some(rest) => Action::Settle { run: m.run, rest: Some(rest) },
                None => start(true),
            },
        },
    }
}

/// What follows once the hypervisor runs.
fn after_start(view: &View<'_>, wanted: &Wanted, run: u64) -> Action {
    let record = view.record;
    if record.rest.is_some() {
        Action::Idle // its script failed: the machine is kept as it is, for whoever wants to look
    } else if record.ready_run != run {
        Action::AwaitReady(run)
    } else if wanted.has_script && record.script_run != run {
        Action::RunScript(run)
    } else {
        Action::Idle
    }
}

/// The way to a start. A VM that rests starts only on request (`restart`) or because its policy says so (`again`); a
/// request need not wait.
fn start(view: &View<'_>, restart: bool, again: bool) -> Action {
    if view.record.rest.is_some() && !restart && !again {
        Action::Idle
    } else if view.delayed && !restart {
        Action::Delay
    } else if !view.image_here {
        Action::Fetch
    } else {
        Action::Start
    }
}

/// Whether a machine that has ended stays so, and how that is shown.
#[allow(clippy::match_same_arms)] // read from the top: each line is a rule
fn verdict(policy: RestartPolicy, exit: &Exit) -> Option<Rest> {
    use RestartPolicy::{Always, Never, OnFailure};
    let rest =
        |phase, reason: &str| Some(Rest { phase, reason: reason.into(), message: exit.reason.clone() });
    match (exit.cause, policy) {
        (_, Always) => None,
        // We stopped it and want it again, or it never ran at all.
        (ExitCause::Requested | ExitCause::NeverStarted, _) => None,
        (ExitCause::Guest, _) => rest(VmPhase::Stopped, "PoweredOff"),
        (_, OnFailure) => None,
        (ExitCause::HostRestarted, Never) => rest(VmPhase::Failed, "HostRestarted"),
        (ExitCause::Failed, Never) => rest(VmPhase::Failed, "HypervisorFailed"),
        (ExitCause::Unknown, Never) => rest(VmPhase::Failed, "Lost"),
    }
}

/// Whether an end by itself costs a delay before the next start.
pub fn delays(exit: &Exit) -> bool {
    !matches!(exit.cause, ExitCause::Requested | ExitCause::NeverStarted)
}

#[cfg(test)]
mod tests;
