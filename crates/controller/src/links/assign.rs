//! What a worker is told: its full desired set.

use super::Links;
use crate::{codec, placement::has_outgrown};
use api::{
    Image, Vm,
    assignment::{Assignment, Assignments, Desired, VERSION, Work},
    vm::Power,
};
use base::{Name, Revision, Uid};
use bytes::Bytes;

/// The parts of a VM that its worker must know of: only a change of these is told.
pub(super) fn concerns(vm: &Vm) -> (Option<Uid>, u64, u64, bool, bool) {
    let worker = vm.status.worker.as_ref().map(|w| w.uid);
    let may_run = vm.status.admitted && !has_outgrown(vm);
    (worker, vm.status.epoch, vm.metadata.generation, may_run, vm.metadata.deleted_at.is_some())
}

impl Links {
    /// The desired set of a worker as bytes to send, and as bytes to compare (without the revision).
    pub(super) fn assignments(&self, worker: Uid) -> (Bytes, Bytes) {
        let mut set = self.0.view.read(|t| {
            let vms = t.vms_of(worker).filter_map(|vm| {
                let image = vm.status.image_uid.and_then(|uid| t.images.by_uid(uid));
                self.assignment(vm, image.map(|i| &**i), t.vm_keys(vm.metadata.uid).map(|k| &**k))
            });
            Assignments {
                version: VERSION,
                revision: t.revision(),
                vms: vms.collect(),
                keep_images: t.images.iter().map(|i| i.metadata.uid).collect(),
            }
        });
        set.vms.extend(self.tombstones(worker));
        let bytes = encode(&set);
        set.revision = Revision::default();
        (bytes, encode(&set))
    }

    fn assignment(&self, vm: &Vm, image: Option<&Image>, keys: Option<&str>) -> Option<Assignment> {
        let uid = vm.metadata.uid;
        let desired = if vm.metadata.deleted_at.is_some() {
            Desired::Removed
        } else if vm.status.admitted && vm.spec.power == Power::Running && !has_outgrown(vm) {
            Desired::Running
        } else {
            Desired::Stopped
        };
        let work = if desired == Desired::Removed {
            None
        } else {
            match self.work(vm, image?, keys?) {
                Ok(work) => Some(Box::new(work)),
                Err(e) => {
                    tracing::error!(error = %e, vm = %uid, "a VM cannot be assigned");
                    return None;
                }
            }
        };
        Some(Assignment {
            uid,
            epoch: vm.status.epoch,
            project: vm.metadata.project.clone()?,
            name: vm.metadata.name.clone(),
            generation: told_generation(vm),
            desired,
            work,
        })
    }

    fn work(&self, vm: &Vm, image: &Image, keys: &str) -> base::Result<Work> {
        let mut spec = vm.spec.clone();
        // A changed size counts from the next admission on: until then the worker gets what is charged.
        if let Some(charged) = &vm.status.charged
            && let Ok(cpus) = u32::try_from(charged.cpu_milli / 1000)
            && cpus > 0
            && vm.status.admitted
        {
            let overhead = crate::placement::charge_of(&spec, &vm.status.runtime).memory.0 - spec.memory.0;
            spec.cpus = cpus;
            spec.memory = base::ByteSize(charged.memory.0.saturating_sub(overhead));
        }
        Ok(Work {
            runtime: vm.status.runtime.clone(),
            arch: image.spec.arch.clone(),
            user: spec.guest.user.clone().unwrap_or_else(|| image.spec.user.clone()),
            spec,
            image_uid: image.metadata.uid,
            image: image.spec.clone(),
            parts: image.status.parts.clone(),
            virtual_size: image.status.virtual_size,
            keys: codec::open_keys(self.0.writer.seal(), vm.metadata.uid, keys)?,
        })
    }

    /// Unclaimed VMs that an operator wants removed.
    fn tombstones(&self, worker: Uid) -> Vec<Assignment> {
        let workers = self.0.workers.lock();
        let buried = workers.get(&worker).map(|p| p.buried.clone()).unwrap_or_default();
        buried
            .into_iter()
            .filter_map(|u| {
                Some(Assignment {
                    uid: u.uid,
                    epoch: u.epoch,
                    project: u.project.or_else(|| Name::new(api::access::DEFAULT_PROJECT).ok())?,
                    name: u.name,
                    generation: 0,
                    desired: Desired::Removed,
                    work: None,
                })
            })
            .collect()
    }
}

/// The generation that a worker is told. While a start still waits for CPU and memory the worker cannot act on it, and what
/// it reports until then must not look like an answer to it.
fn told_generation(vm: &Vm) -> u64 {
    let waits = vm.spec.power == Power::Running && (!vm.status.admitted || has_outgrown(vm));
    vm.metadata.generation - u64::from(waits && vm.metadata.generation > 0)
}

fn encode(set: &Assignments) -> Bytes {
    match serde_json::to_vec(set) {
        Ok(bytes) => bytes.into(),
        Err(e) => {
            tracing::error!(error = %e, "assignments cannot be encoded");
            Bytes::new()
        }
    }
}
