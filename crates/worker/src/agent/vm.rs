//! One VM of this host: what is wanted and what was done.

use super::{
    Host, SYNTHETIC,
    decide::{View, Wanted, delays},
    guest::Guest,
    images,
    record::Record,
};
use crate::runtimes::{Machine, Observed, Phase, Runtime, Seed, SyntheticScript};
use api::assignment::{Assignment, Desired, Work};
use base::{Error, Result, Uid};
use parking_lot::Mutex;
use rt::clock::{Backoff, Instant};
use std::{sync::Arc, time::Duration};
use tokio::sync::Notify;

/// A run that lasted so long was a good one: the next start after it waits the shortest time.
const GOOD_RUN: Duration = Duration::from_mins(10);

/// One VM.
pub struct Vm {
    /// Its identity.
    pub uid: Uid,
    /// Connections to its guest.
    pub guest: Guest,
    /// Wakes its task: something it decides on has changed.
    pub wake: Notify,
    assignment: Mutex<Option<Arc<Assignment>>>,
    record: Mutex<Record>,
    pace: Mutex<Pace>,
    /// Why the guest of a run counts as silent.
    silent: Mutex<Option<(u64, String)>>,
}

/// When the next start may be.
struct Pace {
    backoff: Backoff,
    not_before: Option<Instant>,
    running_since: Option<Instant>,
    /// Why the next start has to wait.
    why: String,
    /// The run whose end was counted.
    counted: u64,
}

impl Vm {
    /// A VM with this past.
    pub fn new(record: Record) -> Self {
        Vm {
            uid: record.uid,
            guest: Guest::default(),
            wake: Notify::new(),
            assignment: Mutex::default(),
            pace: Mutex::new(Pace::new()),
            silent: Mutex::default(),
            record: Mutex::new(record),
        }
    }

    /// Says what is wanted from now on; `None`: nobody wants anything.
    pub fn assign(&self, assignment: Option<Arc<Assignment>>) {
        let mut current = self.assignment.lock();
        if *current != assignment {
            *current = assignment;
            self.wake.notify_one();
        }
    }

    /// What is wanted.
    pub fn assignment(&self) -> Option<Arc<Assignment>> {
        self.assignment.lock().clone()
    }

    /// What is wanted, and the work it needs.
    ///
    /// # Errors
    /// [`base::Code::Conflict`] where nobody wants it.
    pub fn work(&self) -> Result<(Arc<Assignment>, Box<Work>)> {
        let assignment = self.assignment().ok_or_else(|| {
            Error::conflict("no object of the controller names this VM")
                .hint("adopt it first: hostler worker unclaimed adopt WORKER UID")
        })?;
        let work = assignment.work.clone().ok_or_else(|| Error::conflict("the VM is being removed"))?;
        Ok((assignment, work))
    }

    /// What was done.
    pub fn record(&self) -> Record {
        self.record.lock().clone()
    }

    /// Changes what was done, in memory.
    pub fn update(&self, edit: impl FnOnce(&mut Record)) -> Record {
        let mut record = self.record.lock();
        edit(&mut record);
        record.clone()
    }

    /// The runtime that has it, or is to have it.
    pub fn runtime<'h>(&self, host: &'h Host) -> Option<&'h Arc<dyn Runtime>> {
        let assignment = self.assignment();
        let wanted = assignment.as_ref().and_then(|a| a.work.as_ref()).map(|w| w.runtime.clone());
        let name = wanted.unwrap_or_else(|| self.record.lock().runtime.clone());
        let named = host.runtimes.iter().find(|r| r.name() == name);
        named.or_else(|| host.runtimes.iter().find(|r| r.observe(self.uid).is_some()))
    }

    /// The same, where there has to be one.
    pub fn need_runtime(&self, host: &Host) -> Result<Arc<dyn Runtime>> {
        self.runtime(host).cloned().ok_or_else(|| {
            let name = self.assignment().and_then(|a| a.work.as_ref().map(|w| w.runtime.clone()));
            Error::conflict(format!("this worker has no runtime '{}'", name.unwrap_or_default()))
                .hint("start the worker with that runtime")
        })
    }

    /// What the runtime sees.
    pub fn observe(&self, host: &Host) -> Option<Observed> {
        self.runtime(host).and_then(|r| r.observe(self.uid))
    }

    /// Calls `look` with all that a decision depends on.
    pub fn view<T>(&self, host: &Host, look: impl FnOnce(&View<'_>) -> T) -> T {
        let machine = self.observe(host).filter(|m| m.run > 0 || m.phase.is_live());
        let assignment = self.assignment();
        let work = assignment.as_ref().and_then(|a| a.work.as_ref());
        let wanted = assignment.as_deref().and_then(wanted);
        let record = self.record();
        let delayed = self.pace.lock().delayed(machine.as_ref(), &record);
        look(&View {
            wanted: wanted.as_ref(),
            machine: machine.as_ref(),
            record: &record,
            image_here: work.is_some_and(|w| host.images.has(w)),
            delayed,
        })
    }

    /// When the next start may be.
    pub fn not_before(&self) -> Option<Instant> {
        self.pace.lock().not_before
    }

    /// Why not before.
    pub fn why_not_before(&self) -> String {
        self.pace.lock().why.clone()
    }

    /// A start has failed because of this: the next one waits.
    pub fn slow_down(&self, why: String) {
        let mut pace = self.pace.lock();
        pace.why = why;
        let delay = pace.backoff.delay();
        pace.not_before = Some(rt::clock::now() + delay);
    }

    /// The next start begins without a past.
    pub fn forgive(&self) {
        let mut pace = self.pace.lock();
        pace.not_before = None;
        pace.backoff.reset();
    }

    /// The guest of this run counts as silent, because of this.
    pub fn is_silent(&self, run: u64, why: String) {
        *self.silent.lock() = Some((run, why));
    }

    /// Why the guest of this run counts as silent, if it does.
    pub fn silence(&self, run: u64) -> Option<String> {
        self.silent.lock().as_ref().filter(|(silent, _)| *silent == run).map(|(_, why)| why.clone())
    }

    /// The machine to start.
    pub fn machine(&self, host: &Host, assignment: &Assignment, work: &Work) -> Result<Machine> {
        let synthetic = work.runtime == SYNTHETIC;
        let image =
            if synthetic { crate::runtimes::ImageFiles::Synthetic } else { host.images.files(work)? };
        let spec = &work.spec;
        let keys = std::iter::once(&work.keys.user_public).chain(&spec.guest.authorized_keys);
        Ok(Machine {
            uid: self.uid,
            epoch: assignment.epoch,
            name: assignment.name.clone(),
            arch: work.arch.clone(),
            cpus: spec.cpus,
            memory: spec.memory,
            disk: spec.disk.max(work.virtual_size),
            ephemeral: spec.ephemeral,
            image,
            seed: Seed {
                hostname: assignment.name.to_string(),
                user: work.user.clone(),
                authorized_keys: keys.cloned().collect(),
                host_key_private: work.keys.host_private.clone(),
                host_key_public: work.keys.host_public.clone(),
            },
            synthetic: spec.synthetic.as_ref().map(|s| SyntheticScript {
                boot_ms: 0,
                ready_ms: s.boot_ms,
                fail_start: s.fail_start.clone(),
                exit_after_ms: s.exit_after_ms,
                exit_code: s.exit_code,
            }),
        })
    }

    /// Writes down, before a start, what it will be a start of.
    pub fn before_start(&self, assignment: &Assignment, work: &Work) -> Record {
        self.update(|r| {
            r.epoch = assignment.epoch;
            r.name = assignment.name.clone();
            r.project = assignment.project.clone();
            r.generation = assignment.generation;
            r.runtime.clone_from(&work.runtime);
            r.parts = images::digests(&work.parts);
            r.restarts_done = work.spec.restarts;
            r.rest = None;
        })
    }
}

/// What matters of an assignment. One without work that is not to be removed says too little to act on.
fn wanted(assignment: &Assignment) -> Option<Wanted> {
    let spec = assignment.work.as_ref().map(|w| &w.spec);
    if spec.is_none() && assignment.desired != Desired::Removed {
        return None;
    }
    Some(Wanted {
        desired: assignment.desired,
        policy: spec.map(|s| s.restart_policy).unwrap_or_default(),
        restarts: spec.map_or(0, |s| s.restarts),
        has_script: spec.is_some_and(|s| s.startup_script.is_some()),
        grace_seconds: spec.map_or(0, |s| s.stop_grace_seconds),
    })
}

impl Pace {
    fn new() -> Self {
        let backoff = Backoff::new(Duration::from_secs(1), Duration::from_mins(5));
        Pace { backoff, not_before: None, running_since: None, why: String::new(), counted: 0 }
    }

    /// Counts what is new, and says whether the next start has to wait.
    fn delayed(&mut self, machine: Option<&Observed>, record: &Record) -> bool {
        match machine.map(|m| (&m.phase, m.run)) {
            Some((Phase::Running, _)) => {
                self.running_since.get_or_insert_with(rt::clock::now);
            }
            Some((Phase::Exited(exit), run)) => self.count(exit, run, record),
            _ => {}
        }
        self.not_before.is_some_and(|at| at > rt::clock::now())
    }

    fn count(&mut self, exit: &crate::runtimes::Exit, run: u64, record: &Record) {
        let lasted = self.running_since.take().map(|since| since.elapsed());
        if lasted.is_some_and(|l| l >= GOOD_RUN) {
            self.backoff.reset();
        }
        if run > self.counted {
            self.counted = run;
            if delays(exit) && run > record.settled_run {
                self.why.clone_from(&exit.reason);
                self.not_before = Some(rt::clock::now() + self.backoff.delay());
            }
        }
    }
}
