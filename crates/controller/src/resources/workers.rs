//! Workers: cordon, forget, and the VMs on them that nobody claims.

use super::{
    generic::{Page, PageQuery, if_match, missing},
    new_metadata,
};
use crate::{
    caller::{Caller, Sees},
    change::Change,
    codec::seal_keys,
    controller::Controller,
    kind::Kind,
    placement,
};
use api::{
    Metadata, Patch, Verb, Vm, VmPhase, Worker,
    vm::{Power, WorkerRef},
    worker::{AdoptRequest, Unclaimed},
};
use base::{Error, Result, Uid};
use std::sync::Arc;

/// VMs of a dead worker that are taken off it in one commit: the store bounds commits.
const DEAD_AT_ONCE: usize = 32;

impl Controller {
    /// One worker, with what is charged to it.
    pub fn get_worker(&self, name: &str) -> Result<Worker> {
        self.get::<Worker>(None, name).map(|w| self.with_use(w))
    }

    /// A page of workers.
    pub fn list_workers(&self, sees: &Sees, query: &PageQuery) -> Page<Worker> {
        let mut page = self.list::<Worker>(None, sees, query);
        page.items = page.items.into_iter().map(|w| self.with_use(w)).collect();
        page
    }

    /// A worker with what only memory knows: what is charged, and when it was last heard of.
    pub fn with_use(&self, mut worker: Worker) -> Worker {
        if let Some(used) = self.placer().reserved(worker.metadata.uid) {
            worker.status.reserved = used;
        }
        if let Some(seen) = self.links().last_seen(worker.metadata.uid) {
            worker.status.last_seen = Some(seen);
        }
        worker
    }

    /// Changes a worker's labels and spec.
    pub async fn patch_worker(&self, caller: &Caller, name: &str, patch: &Patch) -> Result<Worker> {
        self.patch_simple::<Worker>(caller, None, name, patch, |_, _| Ok(())).await.map(|w| self.with_use(w))
    }

    /// Forgets a worker. One that holds VMs only when the operator says that they are dead: those VMs then start from
    /// their images elsewhere, or go when they were being deleted.
    pub async fn delete_worker(&self, caller: &Caller, name: &str, confirm_dead: bool) -> Result<()> {
        if_match(caller, &self.find::<Worker>(None, name)?.metadata)?;
        loop {
            let worker = self.find::<Worker>(None, name)?;
            let uid = worker.metadata.uid;
            let held: Vec<Arc<Vm>> = self.read(|t| t.vms_of(uid).cloned().collect());
            self.check_forgettable(&worker, held.len(), confirm_dead)?;
            let mut change = self.writer().change();
            if held.is_empty() {
                change.delete(&*worker);
                let message = format!("deleted by {}", caller.principal.name);
                change.event(Worker::KIND, &worker.metadata, "Deleted", message)?;
                change.audit(caller, Verb::Delete, None, "ok")?;
            } else if worker.spec.cordoned {
                held.iter().take(DEAD_AT_ONCE).try_for_each(|vm| declare_dead(&mut change, vm, name))?;
            } else {
                // Placement must not bring its VMs back to it while they are taken off, some at a time.
                let mut cordoned = Worker::clone(&worker);
                cordoned.spec.cordoned = true;
                cordoned.metadata.generation += 1;
                change.put(&cordoned)?;
            }
            match change.commit().await {
                Ok(_) if held.is_empty() => {
                    self.links().forget(uid);
                    return Ok(());
                }
                Ok(_) => {}
                Err(e) => self.writer().catch_up(e).await?,
            }
        }
    }

    fn check_forgettable(&self, worker: &Worker, held: usize, confirm_dead: bool) -> Result<()> {
        let name = &worker.metadata.name;
        if held > 0 && !confirm_dead {
            return Err(Error::conflict(format!("the worker '{name}' holds {held} VMs"))
                .hint(format!("delete them first, or, when the host is certainly dead: hostler worker delete {name} --confirm-dead")));
        }
        if self.links().is_connected(worker.metadata.uid) && confirm_dead {
            return Err(Error::conflict(format!("the worker '{name}' is connected: it is not dead"))
                .hint("stop the worker program on that host first, or delete its VMs"));
        }
        Ok(())
    }

    fn unclaimed(&self, worker: &str, vm: Uid) -> Result<(Worker, Unclaimed)> {
        let worker = self.find::<Worker>(None, worker)?;
        let found = worker.status.unclaimed.iter().find(|u| u.uid == vm).cloned();
        let found = found.ok_or_else(|| {
            Error::not_found(format!("the worker '{}' has no unclaimed VM {vm}", worker.metadata.name))
                .hint(format!("see: hostler worker unclaimed list {}", worker.metadata.name))
        })?;
        Ok((Worker::clone(&worker), found))
    }

    /// Makes an object again of a VM that runs on a worker and that the store does not know (after a restore). The
    /// guest is not touched; what its spec was, the worker remembers.
    pub async fn adopt_vm(
        &self,
        caller: &Caller,
        worker: &str,
        vm: Uid,
        request: AdoptRequest,
    ) -> Result<Vm> {
        let (worker, found) = self.unclaimed(worker, vm)?;
        let held = self.links().ask_for_assignment(worker.metadata.uid, vm).await?;
        let work =
            held.work.ok_or_else(|| Error::conflict("the worker knows too little of this VM to adopt it"))?;
        let project = request.project.unwrap_or(held.project);
        self.existing_project(&project)?;
        let name = request.name.unwrap_or(found.name);
        let metadata =
            Metadata { uid: vm, ..new_metadata(name, Some(project), std::collections::BTreeMap::new()) };
        let mut object = Vm { metadata, spec: work.spec.clone(), status: api::VmStatus::default() };
        object.spec.power = if found.running { Power::Running } else { Power::Stopped };
        object.status.phase = VmPhase::Unknown;
        object.status.message = "adopted; waiting for its worker to tell of it".into();
        object.status.worker =
            Some(WorkerRef { uid: worker.metadata.uid, name: worker.metadata.name.clone() });
        object.status.epoch = found.epoch;
        object.status.admitted = found.running;
        object.status.image_uid = Some(work.image_uid);
        object.status.runtime.clone_from(&work.runtime);
        object.status.restarts_done = work.spec.restarts;
        object.status.charged = Some(placement::charge_of(&object.spec, &work.runtime));
        let keys = seal_keys(self.writer().seal(), vm, &work.keys)?;
        self.commit_new(caller, object, Some(&keys), |_| Ok(())).await
    }

    /// Removes an unclaimed VM, disk and all.
    pub async fn remove_unclaimed(&self, caller: &Caller, worker: &str, vm: Uid) -> Result<()> {
        let (worker, found) = self.unclaimed(worker, vm)?;
        let mut change = self.writer().change();
        let message =
            format!("removal of the unclaimed VM {vm} ({}) asked by {}", found.name, caller.principal.name);
        change.warning("worker", &worker.metadata, "UnclaimedRemoved", message)?;
        change.audit(caller, Verb::Delete, found.project.as_ref(), "ok")?;
        change.commit().await?;
        self.links().bury(worker.metadata.uid, &found);
        Ok(())
    }

    /// The worker that a name means.
    pub fn worker_uid(&self, name: &str) -> Result<Uid> {
        self.find::<Worker>(None, name).map(|w| w.metadata.uid).map_err(|_| missing::<Worker>(name))
    }
}

fn declare_dead(change: &mut Change<'_>, vm: &Vm, worker: &str) -> Result<()> {
    let message = format!("declared dead with the worker '{worker}'");
    change.warning("vm", &vm.metadata, "DeclaredDead", message)?;
    if vm.metadata.deleted_at.is_none() {
        return change.put(&placement::unplaced(vm));
    }
    change.delete(vm);
    Ok(())
}
