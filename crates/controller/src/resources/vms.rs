//! VMs: make, change, restart, delete, and where one would go.

use super::{
    generic::{Page, PageQuery, if_match, missing, patched},
    new_metadata,
};
use crate::{
    caller::{Caller, Sees, no_project},
    codec::{redacted, seal_keys},
    controller::Controller,
    kind,
    placement::{self, Needed},
};
use api::{
    Image, NewObject, Patch, Project, Verb, Vm, VmPhase, VmSpec, VmStatus,
    assignment::GuestKeys,
    image::ImageFormat,
    validate::{self, Validate},
    vm::PlacementPreview,
};
use base::{Code, Error, Name, Result, Uid};
use scheduler::Explanation;
use std::sync::Arc;

/// What a create or replace did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Made {
    /// It is new.
    Created,
    /// It was there and has changed.
    Changed,
    /// It was there and is the same.
    Unchanged,
}

impl Controller {
    /// One VM; a pending one says why now.
    pub fn get_vm(&self, project: &Name, name: &str) -> Result<Vm> {
        self.get::<Vm>(Some(project), name).map(|vm| self.with_reason(vm, Some(project)))
    }

    /// A page of VMs; pending ones say why now.
    pub fn list_vms(&self, project: Option<&Name>, sees: &Sees, query: &PageQuery) -> Result<Page<Vm>> {
        if let Some(project) = project {
            self.existing_project(project)?;
        }
        let mut page = self.list::<Vm>(project, sees, query);
        self.give_reasons(&mut page.items, sees);
        Ok(page)
    }

    /// A VM as someone with this view of the cluster sees it.
    pub fn explained(&self, mut vm: Vm, sees: &Sees) -> Vm {
        self.give_reasons(std::slice::from_mut(&mut vm), sees);
        vm
    }

    /// Says of those that wait why they do.
    fn give_reasons(&self, vms: &mut [Vm], sees: &Sees) {
        let waiting: Vec<usize> = (0..vms.len()).filter(|i| placement::waits(&vms[*i])).collect();
        let viewer = |vm: &'_ Vm| vm.metadata.project.clone().filter(|_| *sees != Sees::Everything);
        let viewers: Vec<Option<Name>> = waiting.iter().map(|i| viewer(&vms[*i])).collect();
        let asked: Vec<(Uid, Option<&Name>)> =
            waiting.iter().zip(&viewers).map(|(i, viewer)| (vms[*i].metadata.uid, viewer.as_ref())).collect();
        for (i, reason) in waiting.iter().zip(self.placer().explain_all(&asked)) {
            give_reason(&mut vms[*i], reason);
        }
    }

    fn with_reason(&self, mut vm: Vm, viewer: Option<&Name>) -> Vm {
        if placement::waits(&vm) {
            let reason = self.placer().explain(vm.metadata.uid, viewer);
            give_reason(&mut vm, reason);
        }
        vm
    }

    /// The VM's uid and its worker, for streams into it.
    pub fn vm_address(&self, project: &Name, name: &str) -> Result<(Uid, Uid)> {
        let vm = self.find::<Vm>(Some(project), name)?;
        let worker = vm.status.worker.as_ref().ok_or_else(|| not_placed(&vm))?;
        Ok((vm.metadata.uid, worker.uid))
    }

    /// Where a VM of this spec would go now. Makes nothing.
    pub fn preview_vm(&self, project: &Name, new: NewObject<VmSpec>) -> Result<PlacementPreview> {
        let (vm, image) = self.new_vm(project, new)?;
        Ok(self.foresee(&vm, &image))
    }

    fn foresee(&self, vm: &Vm, image: &Image) -> PlacementPreview {
        match self.placer().preview(vm, &Needed::of(vm, image)) {
            Ok(worker) => {
                let name = self.view().by_uid::<api::Worker>(worker).map(|w| w.metadata.name.clone());
                PlacementPreview { worker: name, pending: None, fix: None }
            }
            Err(reason) => PlacementPreview {
                worker: None,
                pending: Some(reason.sentence),
                fix: Some(reason.fix).filter(|f| !f.is_empty()),
            },
        }
    }

    /// Makes a VM. The answer says why it waits as far as that was known before it was made: a repeated request gets
    /// the same one.
    pub async fn create_vm(&self, caller: &Caller, project: &Name, new: NewObject<VmSpec>) -> Result<Vm> {
        if let Some(answer) = self.writer().replay(caller).await? {
            return Ok(answer);
        }
        let (mut vm, image) = self.new_vm(project, new)?;
        if placement::waits(&vm) {
            let foreseen = self.foresee(&vm, &image);
            vm.status.message = foreseen.pending.unwrap_or_else(|| placement::HAS_ROOM.into());
            vm.status.fix = foreseen.fix;
        }
        let keys = seal_keys(self.writer().seal(), vm.metadata.uid, &new_keys()?)?;
        self.commit_new(caller, vm, Some(&keys), |change| {
            change.require(&kind::key::<Project>(None, project.as_str()));
            change.require(&kind::key_of(&*image));
            Ok(())
        })
        .await
    }

    /// Makes a VM be as this says: makes it, changes it, or finds it so already.
    pub async fn put_vm(
        &self,
        caller: &Caller,
        project: &Name,
        new: NewObject<VmSpec>,
    ) -> Result<(Vm, Made)> {
        let Ok(old) = self.find::<Vm>(Some(project), new.name.as_str()) else {
            if caller.if_match.is_some() {
                return Err(Error::new(
                    Code::PreconditionFailed,
                    format!("there is no VM '{}' any more", new.name),
                )
                .at("If-Match")
                .hint("leave If-Match out to make it"));
            }
            let caller = Caller { idempotency: None, ..caller.clone() };
            return self.create_vm(&caller, project, new).await.map(|vm| (vm, Made::Created));
        };
        let name = new.name.clone();
        let vm = self
            .edit(caller, Some(project), name.as_str(), |vm: &mut Vm| {
                let mut spec = keeping_secrets(&vm.spec, new.spec.clone());
                // A restart that was asked for is not taken back by a file that does not speak of it.
                spec.restarts = spec.restarts.max(vm.spec.restarts);
                // The image may have made the disk larger than was asked for.
                spec.disk = spec.disk.max(vm.spec.disk);
                check_change(&vm.spec, &spec)?;
                refuse_deleted(vm)?;
                vm.metadata.labels.clone_from(&new.labels);
                vm.spec = spec;
                placement::rest(vm);
                Ok(())
            })
            .await?;
        let made =
            if vm.metadata.revision == old.metadata.revision { Made::Unchanged } else { Made::Changed };
        Ok((self.with_reason(vm, Some(project)), made))
    }

    /// Changes fields of a VM.
    pub async fn patch_vm(&self, caller: &Caller, project: &Name, name: &str, patch: &Patch) -> Result<Vm> {
        let vm = self
            .edit(caller, Some(project), name, |vm: &mut Vm| {
                refuse_deleted(vm)?;
                vm.metadata.labels = patched("/labels", &vm.metadata.labels, patch.labels.as_ref())?;
                let spec = patched("/spec", &vm.spec, patch.spec.as_ref())?;
                let spec = keeping_secrets(&vm.spec, spec);
                check_change(&vm.spec, &spec)?;
                vm.spec = spec;
                placement::rest(vm);
                Ok(())
            })
            .await?;
        Ok(self.with_reason(vm, Some(project)))
    }

    /// Restarts a VM once.
    pub async fn restart_vm(&self, caller: &Caller, project: &Name, name: &str) -> Result<Vm> {
        if let Some(answer) = self.writer().replay(caller).await? {
            return Ok(answer);
        }
        let uid = self.find::<Vm>(Some(project), name)?.metadata.uid;
        let vm = self
            .writer()
            .update::<Vm>(uid, |vm, change| {
                if_match(caller, &vm.metadata)?;
                refuse_deleted(vm)?;
                vm.spec.restarts += 1;
                vm.spec.power = api::vm::Power::Running;
                vm.metadata.generation += 1;
                placement::rest(vm);
                if !vm.status.admitted && vm.status.phase == VmPhase::Failed {
                    // It had given up waiting: it waits again, from the beginning.
                    vm.status = VmStatus {
                        phase: VmPhase::Pending,
                        message: String::new(),
                        fix: None,
                        elapsed_ms: 0,
                        ..vm.status.clone()
                    };
                }
                change.event(
                    "vm",
                    &vm.metadata,
                    "RestartAsked",
                    format!("asked by {}", caller.principal.name),
                )?;
                change.audit(caller, Verb::Update, Some(project), "ok")?;
                change.answer(caller, &redacted(vm.clone()))?;
                Ok(true)
            })
            .await?;
        Ok(redacted(Vm::clone(&vm)))
    }

    /// Removes a VM. One that has a worker goes when the worker has removed it; the answer is how it is until then.
    pub async fn delete_vm(&self, caller: &Caller, project: &Name, name: &str) -> Result<Option<Vm>> {
        loop {
            let vm = self.find::<Vm>(Some(project), name)?;
            if_match(caller, &vm.metadata)?;
            if vm.metadata.deleted_at.is_some() {
                return Ok(Some(redacted(Vm::clone(&vm))));
            }
            let mut change = self.writer().change();
            change.event("vm", &vm.metadata, "DeleteAsked", format!("asked by {}", caller.principal.name))?;
            change.audit(caller, Verb::Delete, Some(project), "ok")?;
            let left = placement::mark_deleted(&vm);
            match &left {
                Some(vm) => change.put(vm)?,
                None => change.delete(&*vm),
            }
            match change.commit().await {
                Ok(revision) => {
                    return Ok(left.map(|mut vm| {
                        vm.metadata.revision = revision;
                        redacted(vm)
                    }));
                }
                Err(e) => self.writer().catch_up(e).await?,
            }
        }
    }

    /// Checks a new VM against its project and its image.
    fn new_vm(&self, project: &Name, new: NewObject<VmSpec>) -> Result<(Vm, Arc<Image>)> {
        validate::labels("/labels", &new.labels)?;
        new.spec.validate()?;
        self.existing_project(project)?;
        let image = self.usable_image(&new.spec.image)?;
        let mut spec = normalised(new.spec)?;
        let runtime = resolve(&spec, &image)?.to_owned();
        spec.disk = spec.disk.max(image.status.virtual_size);
        let metadata = new_metadata(new.name, Some(project.clone()), new.labels);
        let status = VmStatus {
            phase: if spec.power == api::vm::Power::Running { VmPhase::Pending } else { VmPhase::Stopped },
            image_uid: Some(image.metadata.uid),
            runtime,
            ..VmStatus::default()
        };
        Ok((Vm { metadata, spec, status }, image))
    }

    /// Refuses a project that does not exist.
    pub fn existing_project(&self, project: &Name) -> Result<()> {
        let found = self.view().get::<Project>(&kind::key::<Project>(None, project.as_str()));
        found.map(|_| ()).ok_or_else(|| no_project(project))
    }

    fn usable_image(&self, name: &Name) -> Result<Arc<Image>> {
        let image = self.view().get::<Image>(&kind::key::<Image>(None, name.as_str())).ok_or_else(|| {
            Error::invalid("/spec/image", missing::<Image>(name.as_str()).message)
                .hint("see: hostler image list; bring one with: hostler image import")
        })?;
        if !image.status.ready {
            return Err(Error::conflict(format!("the image '{name}' is not complete yet"))
                .at("/spec/image")
                .hint("wait until its upload has ended, or import it again"));
        }
        Ok(image)
    }
}

fn give_reason(vm: &mut Vm, reason: Option<Explanation>) {
    match reason {
        Some(reason) => {
            vm.status.message = reason.sentence;
            vm.status.fix = Some(reason.fix).filter(|f| !f.is_empty());
        }
        None => vm.status.message = placement::HAS_ROOM.into(),
    }
}

fn not_placed(vm: &Vm) -> Error {
    let m = &vm.metadata;
    Error::unavailable(format!("the VM '{}' has no worker yet", m.name))
        .because(if vm.status.message.is_empty() { "it waits for a place" } else { &vm.status.message })
        .hint(format!("wait for it: hostler vm wait {} --for ready", m.name))
}

fn refuse_deleted(vm: &Vm) -> Result<()> {
    if vm.metadata.deleted_at.is_none() {
        return Ok(());
    }
    Err(Error::conflict(format!("the VM '{}' is being deleted", vm.metadata.name))
        .hint("wait until it is gone, then create it again"))
}

/// Which runtime a spec means with this image; refuses what does not go together.
fn resolve<'a>(spec: &'a VmSpec, image: &Image) -> Result<&'a str> {
    let own = if image.spec.format == ImageFormat::Synthetic { "synthetic" } else { "qemu" };
    let runtime = spec.runtime.as_deref().unwrap_or(own);
    let differs = |field: &str, what: &str, asked: &str, has: &str| {
        Err(Error::invalid(
            field,
            format!("the image '{}' has {what} {has}, not {asked}", image.metadata.name),
        )
        .hint("leave the field out, or choose another image"))
    };
    if runtime != own {
        return differs("/spec/runtime", "runtime", runtime, own);
    }
    match (&spec.arch, &spec.os) {
        (Some(arch), _) if *arch != image.spec.arch => {
            differs("/spec/arch", "architecture", arch, &image.spec.arch)
        }
        (_, Some(os)) if *os != image.spec.os => differs("/spec/os", "system", os, &image.spec.os),
        _ => Ok(if own == "synthetic" { "synthetic" } else { "qemu" }),
    }
}

/// Keys in the form the guest reads, empty secrets gone.
fn normalised(mut spec: VmSpec) -> Result<VmSpec> {
    for (i, key) in spec.guest.authorized_keys.iter_mut().enumerate() {
        *key = ssh::check_public_key(key).map_err(|e| e.at(format!("/spec/guest/authorizedKeys/{i}")))?;
    }
    spec.guest.password = spec.guest.password.filter(|p| !p.expose_secret().is_empty());
    Ok(spec)
}

/// A spec from outside never holds the secrets that were kept from it: what it leaves out stays.
fn keeping_secrets(old: &VmSpec, mut new: VmSpec) -> VmSpec {
    match &new.guest.password {
        None => new.guest.password.clone_from(&old.guest.password),
        Some(p) if p.expose_secret().is_empty() => new.guest.password = None,
        Some(_) => {}
    }
    if let (Some(script), Some(was)) = (&mut new.startup_script, &old.startup_script) {
        for (name, value) in &mut script.env {
            if value.is_none() {
                *value = was.env.get(name).cloned().flatten();
            }
        }
    }
    new
}

/// Refuses changes of what never changes.
fn check_change(old: &VmSpec, new: &VmSpec) -> Result<()> {
    let same = |a: &Option<String>, b: &Option<String>| a == b || b.is_none();
    let fixed = [
        ("/spec/image", old.image == new.image),
        ("/spec/runtime", same(&old.runtime, &new.runtime)),
        ("/spec/arch", same(&old.arch, &new.arch)),
        ("/spec/os", same(&old.os, &new.os)),
        ("/spec/disk", old.disk == new.disk),
        ("/spec/networks", old.networks == new.networks),
    ];
    match fixed.iter().find(|(_, same)| !same) {
        None => Ok(()),
        Some((field, _)) => {
            let name = field.rsplit('/').next().unwrap_or(field);
            Err(Error::conflict(format!("'{name}' of a VM never changes"))
                .at(*field)
                .hint("delete the VM and create it again, or create another one"))
        }
    }
}

/// The two key pairs of a new VM.
fn new_keys() -> Result<GuestKeys> {
    let (user, host) = (ssh::KeyPair::generate(), ssh::KeyPair::generate());
    Ok(GuestKeys {
        user_private: user.private_openssh()?,
        user_public: user.public_openssh()?,
        host_private: host.private_openssh()?,
        host_public: host.public_openssh()?,
    })
}
