//! What a worker reports becomes the status of its VMs and of itself.

use super::Links;
use crate::{placement, recovery};
use api::{
    Condition, Vm, VmPhase, Worker,
    assignment::{Report, VmReport},
    vm::Power,
    worker::{Amounts, HostFacts, Unclaimed},
};
use base::{ByteSize, Code, Error, Result, Uid};
use std::collections::BTreeSet;

impl Links {
    /// Takes one line. An error ends the link: it can then be tried again from a snapshot.
    pub(super) async fn take_report(&self, worker: Uid, line: &[u8]) -> Result<()> {
        let report: Report = serde_json::from_slice(line)
            .map_err(|e| Error::internal("a worker's report cannot be read").because(e))?;
        let taken = match report {
            Report::Snapshot { host, vms, images, conditions, .. } => {
                self.take_host(worker, &host, Some(&images), conditions, Some(&vms)).await?;
                for vm in &vms {
                    self.take_vm(worker, vm).await?;
                }
                self.0.recovery.told(worker);
                Ok(())
            }
            Report::Vm { vm } => {
                self.note_unclaimed(worker, &vm).await?;
                self.take_vm(worker, &vm).await
            }
            Report::Gone { uid, epoch } => self.take_gone(worker, uid, epoch).await,
            Report::Images { images } => self.take_images(worker, &images).await,
            Report::Host { host, conditions } => self.take_host(worker, &host, None, conditions, None).await,
            Report::Heartbeat {} => self.take_heartbeat(worker).await,
            Report::Unknown => Ok(()),
        };
        match taken {
            Err(e) if e.code == Code::NotFound => Ok(()), // deleted meanwhile
            other => other,
        }
    }

    async fn take_host(
        &self,
        worker: Uid,
        host: &HostFacts,
        images: Option<&[Uid]>,
        conditions: Vec<Condition>,
        vms: Option<&[VmReport]>,
    ) -> Result<()> {
        let update = self.0.writer.update::<Worker>(worker, |worker, change| {
            let before = worker.status.clone();
            let status = &mut worker.status;
            let came = !status.online;
            status.online = true;
            status.host = host.clone();
            status.allocatable = allocatable(host);
            status.conditions = keep_times(&before.conditions, conditions.clone());
            if let Some(images) = images {
                status.images = images.to_vec();
                status.images.sort_unstable();
            }
            if let Some(vms) = vms {
                status.unclaimed = vms
                    .iter()
                    .filter(|vm| self.is_unclaimed(worker.metadata.uid, vm))
                    .map(unclaimed)
                    .collect();
            }
            if *status == before {
                return Ok(false);
            }
            if came {
                change.event("worker", &worker.metadata, "Online", format!("version {}", host.version))?;
            }
            if before.host.boot_id != host.boot_id && !before.host.boot_id.is_empty() {
                change.warning("worker", &worker.metadata, "Rebooted", "the host has started anew")?;
            }
            Ok(true)
        });
        update.await.map(|_| ())
    }

    /// A worker that was silent for long without losing its link is there again.
    async fn take_heartbeat(&self, worker: Uid) -> Result<()> {
        if self.0.view.by_uid::<Worker>(worker).is_none_or(|w| w.status.online) {
            return Ok(());
        }
        let update = self.0.writer.update::<Worker>(worker, |worker, change| {
            if worker.status.online {
                return Ok(false);
            }
            worker.status.online = true;
            change.event("worker", &worker.metadata, "Online", "it speaks again")?;
            Ok(true)
        });
        update.await.map(|_| ())
    }

    async fn take_images(&self, worker: Uid, images: &[Uid]) -> Result<()> {
        let mut sorted = images.to_vec();
        sorted.sort_unstable();
        let update = self.0.writer.update::<Worker>(worker, |worker, _| {
            if worker.status.images == sorted {
                return Ok(false);
            }
            worker.status.images.clone_from(&sorted);
            Ok(true)
        });
        update.await.map(|_| ())
    }

    /// Whether a VM on a worker belongs to no object, or to an object that is somewhere else.
    fn is_unclaimed(&self, worker: Uid, vm: &VmReport) -> bool {
        let belongs = |object: &Vm| {
            object.status.worker.as_ref().is_some_and(|w| w.uid == worker) || self.claims(object, worker, vm)
        };
        vm.unclaimed && !self.0.view.by_uid::<Vm>(vm.uid).is_some_and(|object| belongs(&object))
    }

    fn claims(&self, object: &Vm, worker: Uid, report: &VmReport) -> bool {
        recovery::claims(object, worker, report, !self.0.recovery.is_over())
    }

    async fn note_unclaimed(&self, worker: Uid, vm: &VmReport) -> Result<()> {
        let now = self.is_unclaimed(worker, vm);
        let update = self.0.writer.update::<Worker>(worker, |worker, change| {
            let known = worker.status.unclaimed.iter().position(|u| u.uid == vm.uid);
            match (known, now) {
                (None, false) => return Ok(false),
                (Some(i), true) if worker.status.unclaimed[i] == unclaimed(vm) => return Ok(false),
                (Some(i), true) => worker.status.unclaimed[i] = unclaimed(vm),
                (Some(i), false) => drop(worker.status.unclaimed.remove(i)),
                (None, true) => {
                    worker.status.unclaimed.push(unclaimed(vm));
                    let message = format!("the VM {} ({}) is kept", vm.uid, vm.name);
                    change.warning("worker", &worker.metadata, "Unclaimed", message)?;
                }
            }
            Ok(true)
        });
        update.await.map(|_| ())
    }

    async fn take_vm(&self, worker: Uid, report: &VmReport) -> Result<()> {
        let holder = self.0.view.by_uid::<Worker>(worker);
        let update = self.0.writer.update::<Vm>(report.uid, |vm, change| {
            let before = vm.status.clone();
            let here = vm.status.worker.as_ref().is_some_and(|w| w.uid == worker);
            if let Some(holder) = holder.as_deref().filter(|_| self.claims(vm, worker, report)) {
                recovery::claim(vm, holder, report);
                let message = format!("the worker '{}' has it already", holder.metadata.name);
                change.event("vm", &vm.metadata, "Claimed", message)?;
            } else if !here || vm.status.epoch != report.epoch || report.unclaimed || is_overtaken(vm, report)
            {
                return Ok(false);
            }
            apply(vm, report);
            if vm.status == before {
                return Ok(false);
            }
            if vm.status.phase != before.phase {
                let reason = if report.reason.is_empty() { vm.status.phase.as_str() } else { &report.reason };
                let message = vm.status.message.clone();
                if vm.status.phase == VmPhase::Failed {
                    change.warning("vm", &vm.metadata, reason, message)?;
                } else {
                    change.event("vm", &vm.metadata, reason, message)?;
                }
            }
            Ok(true)
        });
        match update.await {
            Err(e) if e.code == Code::NotFound => Ok(()),
            other => other.map(|_| ()),
        }
    }

    /// A VM is gone from its worker, disk and all. Only where that was asked for does the object go as well.
    async fn take_gone(&self, worker: Uid, uid: Uid, epoch: u64) -> Result<()> {
        if let Some(presence) = self.0.workers.lock().get_mut(&worker) {
            presence.buried.retain(|u| u.uid != uid);
        }
        self.forget_unclaimed(worker, uid).await?;
        loop {
            let Some(vm) = self.0.view.by_uid::<Vm>(uid) else { return Ok(()) };
            let here = vm.status.worker.as_ref().is_some_and(|w| w.uid == worker) && vm.status.epoch == epoch;
            if !here || vm.metadata.deleted_at.is_none() {
                return Ok(());
            }
            let mut change = self.0.writer.change();
            change.delete(&*vm);
            change.event("vm", &vm.metadata, "Deleted", "its worker has removed it")?;
            match change.commit().await {
                Ok(_) => return Ok(()),
                Err(e) => self.0.writer.catch_up(e).await?,
            }
        }
    }

    async fn forget_unclaimed(&self, worker: Uid, vm: Uid) -> Result<()> {
        let update = self.0.writer.update::<Worker>(worker, |worker, _| {
            let before = worker.status.unclaimed.len();
            worker.status.unclaimed.retain(|u| u.uid != vm);
            Ok(worker.status.unclaimed.len() != before)
        });
        update.await.map(|_| ())
    }
}

fn unclaimed(vm: &VmReport) -> Unclaimed {
    let running = matches!(vm.phase, VmPhase::Starting | VmPhase::Running | VmPhase::Stopping);
    Unclaimed {
        uid: vm.uid,
        epoch: vm.epoch,
        name: vm.name.clone(),
        project: Some(vm.project.clone()),
        running,
    }
}

/// What VMs may use: detected minus the reserve, never below zero.
fn allocatable(host: &HostFacts) -> Amounts {
    let (c, r) = (&host.capacity, &host.reserve);
    Amounts {
        cpu_milli: c.cpu_milli.saturating_sub(r.cpu_milli),
        memory: ByteSize(c.memory.0.saturating_sub(r.memory.0)),
        disk: ByteSize(c.disk.0.saturating_sub(r.disk.0)),
        named: c.named.clone(),
    }
}

/// Conditions that still hold began when they began, not when they were last reported.
fn keep_times(before: &[Condition], mut now: Vec<Condition>) -> Vec<Condition> {
    for condition in &mut now {
        let was = before.iter().find(|c| c.kind == condition.kind && c.status == condition.status);
        if let Some(was) = was {
            condition.since = was.since;
        }
    }
    now
}

/// Whether a report says "stopped" of a VM that has been told to start since. It would undo the start for those who wait
/// for it. Where it stays stopped, the worker reports that again with the new generation.
fn is_overtaken(vm: &Vm, report: &VmReport) -> bool {
    let starts = vm.spec.power == Power::Running && vm.status.admitted && !placement::has_outgrown(vm);
    starts && report.phase == VmPhase::Stopped && report.generation < vm.metadata.generation
}

fn apply(vm: &mut Vm, report: &VmReport) {
    let deleting = vm.metadata.deleted_at.is_some();
    let gives_back = vm.spec.power == Power::Stopped || placement::has_outgrown(vm);
    let status = &mut vm.status;
    if !deleting {
        status.phase = report.phase;
        status.message.clone_from(&report.message);
        status.fix = None;
    }
    status.observed_generation = report.generation;
    status.pid = report.pid;
    status.acceleration.clone_from(&report.acceleration);
    status.restart_count = report.restart_count;
    status.restarts_done = report.restarts_done;
    status.started_at = report.started_at;
    status.ready_at = report.ready_at;
    if gives_back && report.phase == VmPhase::Stopped {
        // CPU and memory are free again; the disk stays where it is.
        status.admitted = false;
    }
    placement::rest(vm);
    set_ready(vm, report);
}

fn set_ready(vm: &mut Vm, report: &VmReport) {
    let ready = report.phase == VmPhase::Running;
    let known: BTreeSet<bool> =
        vm.status.conditions.iter().filter(|c| c.kind == "Ready").map(|c| c.status).collect();
    if known.contains(&ready) {
        return;
    }
    vm.status.conditions.retain(|c| c.kind != "Ready");
    vm.status.conditions.push(Condition {
        kind: "Ready".into(),
        status: ready,
        reason: if ready { "Answered" } else { "NotAnswered" }.into(),
        message: if ready { "the guest has answered" } else { "the guest has not answered since its start" }
            .into(),
        since: rt::clock::wall(),
    });
}
