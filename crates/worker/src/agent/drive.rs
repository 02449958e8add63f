//! The task of one VM: looks, decides, acts, and looks again when something has changed.

use super::{
    Host,
    decide::{Action, decide},
    steps,
    vm::Vm,
};
use base::{Error, Result};
use futures::future::BoxFuture;
use rt::clock::{Backoff, Instant};
use std::{sync::Arc, time::Duration};

/// An action that runs, or will when its pause is over.
struct Step {
    action: Action,
    pause: Option<Instant>,
    work: BoxFuture<'static, Result<()>>,
}

struct Driver {
    host: Arc<Host>,
    vm: Arc<Vm>,
    /// What ended last, and how often in a row.
    ended: Option<Action>,
    again: Backoff,
    /// What went wrong last, until something goes well.
    trouble: Option<Error>,
}

/// Drives a VM until nothing is left of it.
pub async fn drive(host: Arc<Host>, vm: Arc<Vm>) {
    let again = Backoff::new(Duration::from_millis(100), Duration::from_secs(30));
    let mut driver = Driver { host, vm, ended: None, again, trouble: None };
    let mut step: Option<Step> = None;
    loop {
        let action = driver.look();
        let mut current = match step.take() {
            Some(step) if step.action == action => step,
            _ => driver.begin(action),
        };
        if let Some(until) = current.pause {
            tokio::select! {
                () = driver.vm.wake.notified() => {}
                () = rt::clock::sleep(until.saturating_duration_since(rt::clock::now())) => current.pause = None,
            }
            step = Some(current);
            continue;
        }
        // A start or a removal is not left half done. Everything else ends when it is no longer wanted.
        let whole = matches!(current.action, Action::Start | Action::Remove | Action::Finish);
        let fetching = current.action == Action::Fetch;
        let result = tokio::select! {
            result = &mut current.work => Some(result),
            () = driver.vm.wake.notified(), if !whole => None,
            () = rt::clock::sleep(Duration::from_secs(1)), if fetching => None, // shows the progress
        };
        match result {
            None => step = Some(current),
            Some(Ok(())) if driver.is_done() => return,
            Some(result) => driver.ended(current.action, result),
        }
    }
}

impl Driver {
    /// Decides, and tells how it looks.
    fn look(&mut self) -> Action {
        let action = self.vm.view(&self.host, decide);
        if self.ended.as_ref() != Some(&action) {
            self.trouble = None;
        }
        if action != Action::Finish {
            self.host.reports.vm(&self.vm.report(&self.host, &action, self.trouble.as_ref()));
        }
        action
    }

    /// Begins an action. One that has just ended and is named again waits a little: something does not do what it says.
    fn begin(&mut self, action: Action) -> Step {
        let pause = if self.ended.as_ref() == Some(&action) {
            Some(rt::clock::now() + self.again.delay())
        } else {
            self.again.reset();
            None
        };
        let (host, vm, next) = (self.host.clone(), self.vm.clone(), action.clone());
        let work = Box::pin(async move { steps::perform(&host, &vm, next).await });
        Step { action, pause, work }
    }

    /// Whether nothing is left to drive.
    fn is_done(&self) -> bool {
        self.host.vm(self.vm.uid).is_err()
    }

    fn ended(&mut self, action: Action, result: Result<()>) {
        match result {
            Ok(()) => self.trouble = None,
            Err(error) => {
                tracing::warn!(vm = %self.vm.uid, ?action, %error, "a step failed");
                self.trouble = Some(error);
            }
        }
        self.ended = Some(action);
    }
}
