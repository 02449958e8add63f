//! After a restore the store may know less than the workers do: a VM that waits in it may have been placed since, and
//! run. So nothing is placed until every worker that the store knows has told what it has, or was silent for longer than
//! the offline limit. A worker's report then claims what it has ([`claims`]).

use crate::placement;
use api::{Vm, VmPhase, Worker, assignment::VmReport};
use base::{Error, Result, Uid};
use parking_lot::Mutex;
use scheduler::Explanation;
use serde::{Deserialize, Serialize};
use std::{collections::HashSet, sync::Arc};
use store::{Commit, Store};
use tokio::sync::watch;

/// Beside the objects: the incarnation that has been through this.
const KEY: &str = "/recovered/incarnation";

#[derive(Serialize, Deserialize)]
struct Recovered {
    v: u32,
    incarnation: u32,
}

/// How far the recovery of this incarnation is. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Recovery(Arc<Inner>);

struct Inner {
    store: Arc<dyn Store>,
    told: Mutex<HashSet<Uid>>,
    over: watch::Sender<bool>,
}

impl Recovery {
    /// Begins, or goes on, where the store was restored. A store in its first incarnation never was.
    pub(crate) async fn open(store: Arc<dyn Store>) -> Result<Self> {
        let done = match store.get(KEY).await? {
            Some(entry) => {
                let unreadable = |e| Error::internal(format!("{KEY} cannot be read")).because(e);
                serde_json::from_slice::<Recovered>(&entry.value).map_err(unreadable)?.incarnation
            }
            None => 1,
        };
        let over = watch::Sender::new(store.revision().incarnation <= done);
        Ok(Recovery(Arc::new(Inner { store, told: Mutex::default(), over })))
    }

    /// Whether placement goes on.
    pub(crate) fn is_over(&self) -> bool {
        *self.0.over.borrow()
    }

    /// Waits until placement goes on.
    pub(crate) async fn over(&self) {
        // The sender lives as long as we do.
        let _ = self.0.over.subscribe().wait_for(|over| *over).await;
    }

    /// A worker has told all that it has, and its claims are written down.
    pub(crate) fn told(&self, worker: Uid) {
        self.0.told.lock().insert(worker);
    }

    /// Whether a worker has told what it has.
    pub(crate) fn has_told(&self, worker: Uid) -> bool {
        self.0.told.lock().contains(&worker)
    }

    /// Ends it, for this incarnation.
    pub(crate) async fn end(&self) -> Result<()> {
        let incarnation = self.0.store.revision().incarnation;
        let value = serde_json::to_vec(&Recovered { v: 1, incarnation })
            .map_err(|e| Error::internal(format!("{KEY} cannot be written")).because(e))?;
        self.0.store.commit(Commit::new().put(KEY, value)).await?;
        tracing::info!(incarnation, "the workers have told what they run; placement goes on");
        self.0.over.send_replace(true);
        Ok(())
    }

    /// Why nothing is placed, while that is so.
    pub(crate) fn explain(&self) -> Option<Explanation> {
        (!self.is_over()).then(|| Explanation {
            sentence: "the store was restored: nothing is placed until all workers have told what they run"
                .into(),
            fix: "bring offline workers back, or wait until the offline limit has passed".into(),
            counts: Vec::new(),
        })
    }
}

/// Whether a report is of a VM whose object belongs on this worker, though the object does not say so. Only a restored
/// store can be so far behind: it hands an epoch out before any worker hears of it, and gives CPU and memory back only
/// when the worker has said that the VM is stopped.
///
/// What the store believes on another worker is claimed during a recovery only (`recovering`): a worker that lies must
/// not get at the VMs of others at any time it likes.
pub(crate) fn claims(vm: &Vm, worker: Uid, report: &VmReport, recovering: bool) -> bool {
    let holder = vm.status.worker.as_ref().map(|w| w.uid);
    let ours = holder == Some(worker);
    let is_behind = report.epoch > vm.status.epoch && (ours || holder.is_none() || recovering);
    let there = !matches!(report.phase, VmPhase::Deleting | VmPhase::Unknown);
    let has_started = ours
        && report.epoch == vm.status.epoch
        && matches!(report.phase, VmPhase::Starting | VmPhase::Running)
        && placement::waits(vm);
    vm.metadata.deleted_at.is_none() && ((is_behind && there) || has_started)
}

/// Places a VM where it is already.
pub(crate) fn claim(vm: &mut Vm, worker: &Worker, report: &VmReport) {
    placement::place(vm, worker);
    vm.status.epoch = report.epoch;
    // A stopped one holds its disk only, and waits for the rest.
    vm.status.admitted = vm.spec.power == api::vm::Power::Running && report.phase != VmPhase::Stopped;
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::{
        VmSpec, VmStatus,
        vm::{Power, WorkerRef},
    };
    use base::Name;

    fn name(text: &str) -> Name {
        Name::new(text).unwrap()
    }

    fn vm(worker: Option<Uid>, epoch: u64, admitted: bool) -> Vm {
        let worker = worker.map(|uid| WorkerRef { uid, name: name("w") });
        Vm {
            metadata: crate::resources::new_metadata(name("web"), Some(name("default")), [].into()),
            spec: VmSpec::new(name("tiny")),
            status: VmStatus { worker, epoch, admitted, ..VmStatus::default() },
        }
    }

    fn report(vm: &Vm, epoch: u64, phase: VmPhase) -> VmReport {
        serde_json::from_value(serde_json::json!({
            "uid": vm.metadata.uid, "epoch": epoch, "project": "default", "name": "web",
            "phase": phase, "generation": 1,
        }))
        .unwrap()
    }

    #[test]
    fn only_what_the_store_is_behind_of_is_claimed() {
        let (ours, other) = (rt::ids::uid(), rt::ids::uid());
        let claimed = |vm: &Vm, epoch, phase| claims(vm, ours, &report(vm, epoch, phase), true);
        let pending = vm(None, 0, false);
        for phase in
            [VmPhase::Assigned, VmPhase::Starting, VmPhase::Running, VmPhase::Stopped, VmPhase::Failed]
        {
            assert!(claimed(&pending, 1, phase), "{phase:?}");
        }
        assert!(!claimed(&pending, 1, VmPhase::Deleting), "it is about to go");
        assert!(!claimed(&pending, 0, VmPhase::Running), "no worker is ever told epoch 0");
        // It has moved since the backup, or before it.
        let moved = vm(Some(other), 1, true);
        assert!(claimed(&moved, 2, VmPhase::Running));
        assert!(!claims(&moved, ours, &report(&moved, 2, VmPhase::Running), false), "not at any time");
        assert!(claims(&pending, ours, &report(&pending, 1, VmPhase::Running), false), "a late worker");
        assert!(!claimed(&vm(Some(other), 2, true), 1, VmPhase::Running));
        assert!(!claimed(&vm(Some(other), 2, true), 2, VmPhase::Running));
        // Where it belongs: only one that has been started since is claimed.
        assert!(!claimed(&vm(Some(ours), 1, true), 1, VmPhase::Running));
        assert!(claimed(&vm(Some(ours), 1, false), 1, VmPhase::Running));
        assert!(!claimed(&vm(Some(ours), 1, false), 1, VmPhase::Stopped));
        let mut stopped = vm(Some(ours), 1, false);
        stopped.spec.power = Power::Stopped;
        assert!(!claimed(&stopped, 1, VmPhase::Running), "it is to be stopped");
        let mut going = vm(None, 0, false);
        going.metadata.deleted_at = Some(rt::clock::wall());
        assert!(!claimed(&going, 1, VmPhase::Running));
    }
}
