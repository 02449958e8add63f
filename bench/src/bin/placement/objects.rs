//! The workload as objects of the API, written into a store.

use crate::workload::Workload;
use api::{
    Image, Vm, VmPhase, VmSpec, VmStatus, Worker, WorkerSpec,
    image::{ImageFormat, ImageSpec, ImageStatus},
    meta::{Metadata, Object},
    vm::WorkerRef,
    worker::{Amounts, HostFacts, RuntimeFacts, WorkerStatus},
};
use base::{ByteSize, Name, Result, Revision, Uid};
use scheduler::{Request, WorkerOffer};
use serde::Serialize;
use std::{collections::HashMap, path::Path};
use store::{
    Commit, Store,
    sqlite::{Options, SqliteStore},
};

const RUNTIME: &str = "synthetic";
/// Objects written in one commit.
const TOGETHER: usize = 100;
/// Nobody is missed while a benchmark runs: these workers have no links.
const OFFLINE_AFTER: u64 = 86_400;

/// Whether the VMs that are to be placed are there from the start.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Waiting {
    /// They are, as pending ones.
    There,
    /// They come later.
    Later,
}

/// The same workload where every VM has an architecture, as every VM with an image has: that of two thirds of the
/// workers for two thirds of the VMs.
pub fn with_architectures(mut load: Workload) -> Workload {
    for (n, request) in load.requests.iter_mut().enumerate() {
        let by_turns = if n.is_multiple_of(3) { "arm64" } else { "amd64" };
        request.needs.arch.get_or_insert_with(|| by_turns.into());
    }
    load
}

/// Writes the cluster into a new store.
pub async fn store(path: &Path, load: &Workload, waiting: Waiting) -> Result<SqliteStore> {
    let store = SqliteStore::open(path, Options::default()).await?;
    let mut writing = Writing { store, commit: Commit::new(), count: 0 };
    writing.put("/settings/cluster", &settings()).await?;
    let mut images = HashMap::new();
    for arch in ["amd64", "arm64"] {
        let image = image(arch);
        images.insert(arch, image.metadata.uid);
        writing.put(&format!("/images/{arch}"), &image).await?;
    }
    let mut names = HashMap::new();
    for offer in &load.workers {
        names.insert(offer.uid, offer);
        writing.put(&format!("/workers/{}", offer.name), &worker(offer)).await?;
    }
    for (n, (_, worker, charge)) in load.filled.iter().enumerate() {
        let mut vm = vm(&format!("old-{n}"), spec(&charge.amounts, &names[worker].arch));
        let worker = WorkerRef { uid: *worker, name: name(&names[worker].name) };
        vm.status = VmStatus {
            phase: VmPhase::Running,
            worker: Some(worker),
            epoch: 1,
            admitted: true,
            charged: Some(amounts(&charge.amounts)),
            ..vm.status
        };
        vm.status.image_uid = images.get(vm.spec.image.as_str()).copied();
        writing.put(&format!("/vms/default/old-{n}"), &vm).await?;
    }
    if waiting == Waiting::There {
        for (n, request) in load.requests.iter().enumerate() {
            let mut vm = vm(&vm_name(n), request_spec(request));
            vm.status.image_uid = images.get(vm.spec.image.as_str()).copied();
            writing.put(&format!("/vms/default/{}", vm_name(n)), &vm).await?;
        }
    }
    writing.flush().await?;
    Ok(writing.store)
}

/// The name of a VM to be placed.
pub fn vm_name(n: usize) -> String {
    format!("vm-{n}")
}

/// What a VM to be placed asks for.
pub fn request_spec(request: &Request) -> VmSpec {
    let needs = &request.needs;
    let mut spec = spec(&needs.charge.amounts, needs.arch.as_deref().unwrap_or("amd64"));
    spec.worker_labels.clone_from(&needs.labels);
    spec
}

struct Writing {
    store: SqliteStore,
    commit: Commit,
    count: usize,
}

impl Writing {
    async fn put(&mut self, key: &str, object: &impl Serialize) -> Result<()> {
        let value = serde_json::json!({ "v": 1, "object": object }).to_string();
        self.commit = std::mem::take(&mut self.commit).put(key, value);
        self.count += 1;
        if self.count.is_multiple_of(TOGETHER) { self.flush().await } else { Ok(()) }
    }

    async fn flush(&mut self) -> Result<()> {
        let commit = std::mem::take(&mut self.commit);
        if commit.writes.is_empty() {
            return Ok(());
        }
        self.store.commit(commit).await.map(drop).map_err(Into::into)
    }
}

fn name(text: &str) -> Name {
    Name::new(text).expect("names of the benchmark are names")
}

fn metadata(text: &str, uid: Uid, project: Option<&str>) -> Metadata {
    Metadata {
        uid,
        name: name(text),
        project: project.map(name),
        labels: [].into(),
        created_at: rt::clock::wall(),
        deleted_at: None,
        generation: 1,
        revision: Revision::default(),
    }
}

fn settings() -> api::Settings {
    let spec = api::SettingsSpec { worker_offline_seconds: OFFLINE_AFTER, ..api::SettingsSpec::default() };
    Object { metadata: metadata("cluster", rt::ids::uid(), None), spec, status: api::Empty {} }
}

fn image(arch: &str) -> Image {
    let spec = ImageSpec {
        format: ImageFormat::Synthetic,
        arch: arch.into(),
        os: "linux".into(),
        command_line: String::new(),
        user: "hostler".into(),
        seed: true,
        password: None,
        key: None,
    };
    let status = ImageStatus { ready: true, ..ImageStatus::default() };
    Object { metadata: metadata(arch, rt::ids::uid(), None), spec, status }
}

fn worker(offer: &WorkerOffer) -> Worker {
    let capacity = amounts(&offer.capacity);
    let runtime = RuntimeFacts {
        name: RUNTIME.into(),
        arches: vec![offer.arch.clone()],
        acceleration: "none".into(),
        ..RuntimeFacts::default()
    };
    let host = HostFacts {
        arch: offer.arch.clone(),
        os: offer.os.clone(),
        hostname: offer.name.clone(),
        capacity: capacity.clone(),
        labels: offer.labels.clone(),
        runtimes: vec![runtime],
        ..HostFacts::default()
    };
    let status = WorkerStatus { online: true, host, allocatable: capacity, ..WorkerStatus::default() };
    Object { metadata: metadata(&offer.name, offer.uid, None), spec: WorkerSpec::default(), status }
}

fn vm(text: &str, spec: VmSpec) -> Vm {
    let status = VmStatus { runtime: RUNTIME.into(), ..VmStatus::default() };
    // A uid of its own: the workload's are of 1970, where the controller keeps the charges of disks.
    Object { metadata: metadata(text, rt::ids::uid(), Some("default")), spec, status }
}

fn spec(amounts: &scheduler::Amounts, arch: &str) -> VmSpec {
    let mut spec = VmSpec::new(name(arch));
    spec.cpus = u32::try_from(amounts.cpu_milli / 1000).unwrap_or(u32::MAX);
    spec.memory = ByteSize(amounts.memory);
    spec.disk = ByteSize(amounts.disk);
    spec.resources.clone_from(&amounts.named);
    spec
}

fn amounts(a: &scheduler::Amounts) -> Amounts {
    Amounts {
        cpu_milli: a.cpu_milli,
        memory: ByteSize(a.memory),
        disk: ByteSize(a.disk),
        named: a.named.clone(),
    }
}
