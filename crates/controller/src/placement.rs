//! Placement: gives pending VMs a worker. Woken by changes, never by polling.
//!
//! The books are the scheduler's, kept in step with the view; each decision becomes one checked commit. The view decides
//! in every doubt: a commit that was refused is forgotten, and the VM considered again as the view then shows it.

use crate::{
    change::Writer,
    recovery::Recovery,
    view::{Any, Change, View},
};
use api::{
    Condition, Image, Vm, VmPhase, VmSpec, Worker,
    settings::{PlacementProfile, SettingsSpec},
    stream::ChangeKind,
    vm::{Power, WorkerRef},
    worker,
};
use base::{ByteSize, Name, Result, Uid};
use futures::{StreamExt, stream::FuturesUnordered};
use parking_lot::Mutex;
use scheduler::{Amounts, Availability, Charge, Cluster, Decision, Explanation, Needs, Request, WorkerOffer};
use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};
use tokio::sync::Notify;

/// Decisions that are committed at the same time.
const AT_ONCE: usize = 256;
/// Memory that QEMU uses beside the guest: 96 MiB of its own, and the cache of translated code where it emulates. Charged in
/// full also where KVM needs no cache: a worker whose acceleration changes must not be overcommitted.
const QEMU_OVERHEAD: ByteSize = ByteSize::mib(224);
/// What is said of a VM whose placement is not yet written down.
pub(crate) const HAS_ROOM: &str = "a worker has room; it is being placed there";

/// Whether a VM waits for a place.
pub(crate) fn waits(vm: &Vm) -> bool {
    vm.metadata.deleted_at.is_none()
        && vm.spec.power == Power::Running
        && !vm.status.admitted
        && matches!(vm.status.phase, VmPhase::Pending | VmPhase::Stopped)
}

/// Whether a VM is to restart with another size than it was admitted with. It then stops, gives its place back and is
/// admitted anew, which may make it wait.
pub(crate) fn has_outgrown(vm: &Vm) -> bool {
    let (spec, status) = (&vm.spec, &vm.status);
    let restarts = spec.power == Power::Running && spec.restarts > status.restarts_done;
    let differs = |charged: &worker::Amounts| *charged != charge_of(spec, &status.runtime);
    status.admitted && restarts && status.charged.as_ref().is_some_and(differs)
}

/// A VM without a place to run is pending where it is to run, and stopped where it is not.
pub(crate) fn rest(vm: &mut Vm) {
    let status = &mut vm.status;
    match (status.phase, vm.spec.power) {
        _ if status.admitted => {}
        (VmPhase::Stopped, Power::Running) => status.phase = VmPhase::Pending,
        (VmPhase::Pending | VmPhase::Failed, Power::Stopped) => {
            status.phase = VmPhase::Stopped;
            (status.message, status.fix) = (String::new(), None);
        }
        _ => {}
    }
}

/// What a VM of this spec is charged.
pub(crate) fn charge_of(spec: &VmSpec, runtime: &str) -> worker::Amounts {
    let overhead = if runtime == "qemu" { QEMU_OVERHEAD } else { ByteSize(0) };
    worker::Amounts {
        cpu_milli: u64::from(spec.cpus) * 1000,
        memory: ByteSize(spec.memory.bytes().saturating_add(overhead.bytes())),
        disk: spec.disk,
        named: spec.resources.clone(),
    }
}

fn amounts(a: &worker::Amounts) -> Amounts {
    Amounts { cpu_milli: a.cpu_milli, memory: a.memory.bytes(), disk: a.disk.bytes(), named: a.named.clone() }
}

/// What a VM needs of a worker.
#[derive(Clone, Debug)]
pub(crate) struct Needed(Needs);

impl Needed {
    pub(crate) fn of(vm: &Vm, image: &Image) -> Self {
        let pinned = vm.status.worker.as_ref().map(|w| w.uid);
        let mut charged = charge_of(&vm.spec, &vm.status.runtime);
        if pinned.is_some() {
            charged.disk = ByteSize(0); // it is there and charged already
        }
        Needed(Needs {
            charge: Charge::new(amounts(&charged), Some(&image.spec.os)),
            arch: Some(image.spec.arch.clone()),
            // Apple allows its guests on its hosts only; any other guest runs wherever a runtime runs it.
            os: Some(image.spec.os.clone()).filter(|os| os == scheduler::MACOS),
            runtime: Some(vm.status.runtime.clone()),
            labels: vm.spec.worker_labels.clone(),
            capabilities: BTreeSet::new(),
            pinned,
            image: Some(image.metadata.uid),
            image_must_be_present: false,
        })
    }
}

/// A VM that has lost its place for good, as it waits for another.
pub(crate) fn unplaced(vm: &Vm) -> Vm {
    let mut vm = vm.clone();
    let status = &mut vm.status;
    status.worker = None;
    status.admitted = false;
    status.charged = None;
    status.pid = None;
    status.ready_at = None;
    status.started_at = None;
    status.phase = if vm.spec.power == Power::Running { VmPhase::Pending } else { VmPhase::Stopped };
    status.message = String::new();
    vm
}

/// A VM that is to go: `None` where nothing of it is on any worker.
pub(crate) fn mark_deleted(vm: &Vm) -> Option<Vm> {
    vm.status.worker.as_ref()?;
    let mut vm = vm.clone();
    vm.metadata.deleted_at = Some(rt::clock::wall());
    vm.status.phase = VmPhase::Deleting;
    vm.status.message = "its worker removes it".into();
    Some(vm)
}

/// The charge of a stopped VM's disk is kept under a uid of its own, beside the one for CPU and memory.
fn disk_uid(vm: Uid) -> Uid {
    let bytes = vm.as_bytes();
    let mut random = [0; 10];
    random.copy_from_slice(&bytes[6..]);
    // Times before 1971 belong to no VM.
    Uid::from_parts(u64::from(bytes[5]), &random)
}

struct Books {
    cluster: Cluster,
    /// VMs whose decision is being committed.
    in_flight: HashMap<Uid, Uid>,
}

/// The placer: asks and answers about places.
#[derive(Clone)]
pub struct Placer {
    books: Arc<Mutex<Books>>,
    view: View,
    recovery: Recovery,
    wake: Arc<Notify>,
    started: rt::clock::Instant,
    started_ms: u64,
}

impl Placer {
    /// Opens the books from the view and starts placing.
    pub(crate) fn start(view: &View, writer: &Writer, recovery: &Recovery) -> (Placer, rt::task::Task<()>) {
        let settings = view.read(crate::view::Tables::cluster_settings);
        let books = Books { cluster: Cluster::new(scheduler_settings(&settings)), in_flight: HashMap::new() };
        let placer = Placer {
            books: Arc::new(Mutex::new(books)),
            view: view.clone(),
            recovery: recovery.clone(),
            wake: Arc::new(Notify::new()),
            started: rt::clock::now(),
            started_ms: u64::try_from(rt::clock::wall().as_millisecond()).unwrap_or(0),
        };
        let revision = placer.reload();
        let follower = view.follow(revision);
        let task = rt::task::spawn("placer", placer.clone().run(follower, writer.clone()));
        (placer, task)
    }

    /// Fills the books from the view, and says which revision they show.
    fn reload(&self) -> base::Revision {
        self.view.read(|t| {
            let mut books = self.books.lock();
            books.cluster = Cluster::new(scheduler_settings(&t.cluster_settings()));
            books.in_flight.clear();
            for worker in t.workers.iter() {
                books.cluster.upsert_worker(offer(worker));
            }
            for vm in t.vms.iter() {
                let image = vm.status.image_uid.and_then(|uid| t.images.by_uid(uid));
                books.apply_vm(vm, image.map(|i| &**i), created_ms(vm));
            }
            t.revision()
        })
    }

    /// Monotonic, counted from the wall clock's time of the start, so that it compares with the ages of VMs.
    fn now_ms(&self) -> u64 {
        let elapsed = (rt::clock::now() - self.started).as_millis();
        self.started_ms.saturating_add(u64::try_from(elapsed).unwrap_or(0))
    }

    async fn run(self, mut follower: crate::view::Follower, writer: Writer) {
        let mut committing = FuturesUnordered::new();
        loop {
            let goes_on = self.recovery.is_over();
            let room = AT_ONCE - committing.len();
            if goes_on && room > 0 {
                for decision in self.decide(room) {
                    committing.push(self.commit(&writer, decision));
                }
            }
            let wake_in = self.next_wake();
            tokio::select! {
                changes = follower.next() => match changes {
                    Ok(changes) => self.apply(&changes),
                    Err(e) if e.code == base::Code::Gone => {
                        follower.skip_to_now();
                        self.reload();
                    }
                    Err(_) => return,
                },
                Some(()) = committing.next(), if !committing.is_empty() => {}
                () = self.wake.notified() => {}
                () = rt::clock::sleep(wake_in), if goes_on => {}
                () = self.recovery.over(), if !goes_on => {}
            }
        }
    }

    fn next_wake(&self) -> Duration {
        let now = self.now_ms();
        let at = self.books.lock().cluster.next_wake(now);
        at.map_or(Duration::from_hours(1), |at| Duration::from_millis(at.saturating_sub(now).max(10)))
    }

    fn decide(&self, room: usize) -> Vec<Decision> {
        let mut books = self.books.lock();
        let decisions = books.cluster.schedule(self.now_ms(), room);
        for d in &decisions {
            books.in_flight.insert(d.vm, d.worker);
        }
        decisions
    }

    fn apply(&self, changes: &[Arc<Change>]) {
        for change in changes {
            match &change.object {
                Any::Vm(vm) => self.consider(vm.metadata.uid),
                Any::Worker(w) if change.kind == ChangeKind::Deleted => {
                    self.books.lock().cluster.remove_worker(w.metadata.uid);
                }
                Any::Worker(w) => {
                    let before = match &change.old {
                        Some(Any::Worker(old)) => Some(offer(old)),
                        _ => None,
                    };
                    let now = offer(w);
                    if before.as_ref() != Some(&now) {
                        self.books.lock().cluster.upsert_worker(now);
                    }
                }
                Any::Settings(s) => self.books.lock().cluster.set_settings(scheduler_settings(&s.spec)),
                _ => {}
            }
        }
    }

    /// Brings the books in step with a VM as it is now: what a change says may be outdated by our own commits.
    fn consider(&self, uid: Uid) {
        let (vm, image) = self.view.read(|t| {
            let vm = t.vms.by_uid(uid).cloned();
            let image = vm.as_ref().and_then(|vm| t.images.by_uid(vm.status.image_uid?).cloned());
            (vm, image)
        });
        let mut books = self.books.lock();
        match vm {
            Some(vm) => books.apply_vm(&vm, image.as_deref(), created_ms(&vm)),
            None => books.forget(uid),
        }
    }

    /// Writes a decision down. Refused: somebody changed the VM; the view brings the change, and it is considered again.
    async fn commit(&self, writer: &Writer, decision: Decision) {
        let done = self.try_commit(writer, &decision).await;
        if let Err(e) = &done {
            tracing::warn!(error = %e, vm = %decision.vm, "a placement could not be written down");
            rt::clock::sleep(Duration::from_secs(1)).await;
        }
        self.books.lock().in_flight.remove(&decision.vm);
        if !matches!(done, Ok(true)) {
            self.consider(decision.vm);
            self.wake.notify_one();
        }
    }

    async fn try_commit(&self, writer: &Writer, decision: &Decision) -> Result<bool> {
        let (vm, worker) = self
            .view
            .read(|t| (t.vms.by_uid(decision.vm).cloned(), t.workers.by_uid(decision.worker).cloned()));
        let (Some(vm), Some(worker)) = (vm, worker) else { return Ok(false) };
        if !waits(&vm) {
            return Ok(false);
        }
        let mut placed = Vm::clone(&vm);
        place(&mut placed, &worker);
        let mut change = writer.change();
        change.put(&placed)?;
        change.require(&crate::kind::key_of(&*worker)); // it may be forgotten in this moment
        let reason = if vm.status.worker.is_some() { "Admitted" } else { "Placed" };
        change.event("vm", &placed.metadata, reason, format!("on the worker '{}'", worker.metadata.name))?;
        match change.commit().await {
            Ok(_) => Ok(true),
            Err(e) => writer.catch_up(e).await.map(|()| false),
        }
    }

    /// Why a VM waits, as a member of `viewer` may know it. None for one whose placement is being written down.
    pub fn explain(&self, vm: Uid, viewer: Option<&Name>) -> Option<Explanation> {
        self.explain_all(&[(vm, viewer)]).pop().flatten()
    }

    /// The same for many, each with who wants to know it: those with equal needs cost about as much as one.
    pub(crate) fn explain_all(&self, asked: &[(Uid, Option<&Name>)]) -> Vec<Option<Explanation>> {
        if let Some(held) = self.recovery.explain() {
            return vec![Some(held); asked.len()];
        }
        let mut explained = self.look_up(asked);
        // Whoever asks may be ahead of the books.
        let missing: Vec<usize> = (0..asked.len()).filter(|i| explained[*i].is_none()).collect();
        for i in &missing {
            self.consider(asked[*i].0);
        }
        let again: Vec<_> = missing.iter().map(|i| asked[*i]).collect();
        for (i, found) in missing.into_iter().zip(self.look_up(&again)) {
            explained[i] = found;
        }
        explained
    }

    fn look_up(&self, asked: &[(Uid, Option<&Name>)]) -> Vec<Option<Explanation>> {
        let books = self.books.lock();
        let mut explainer = books.cluster.explainer();
        asked.iter().map(|(vm, viewer)| explainer.explain(*vm, viewer.map(Name::as_str))).collect()
    }

    /// Where a VM would go now.
    pub(crate) fn preview(&self, vm: &Vm, needed: &Needed) -> Result<Uid, Explanation> {
        if let Some(held) = self.recovery.explain() {
            return Err(held);
        }
        let request = request(vm, needed.clone(), created_ms(vm));
        self.books.lock().cluster.preview(&request)
    }

    /// What is charged to a worker.
    pub fn reserved(&self, worker: Uid) -> Option<worker::Amounts> {
        let usage = self.books.lock().cluster.usage(worker)?;
        let a = usage.reserved.amounts;
        Some(worker::Amounts {
            cpu_milli: a.cpu_milli,
            memory: ByteSize(a.memory),
            disk: ByteSize(a.disk),
            named: a.named,
        })
    }

    /// VMs that wait.
    pub fn waiting(&self) -> usize {
        self.books.lock().cluster.waiting()
    }
}

impl Books {
    /// Brings the books in step with a VM as the view shows it.
    fn apply_vm(&mut self, vm: &Vm, image: Option<&Image>, created_ms: u64) {
        let uid = vm.metadata.uid;
        match (&vm.status.worker, vm.status.admitted) {
            (Some(worker), true) => {
                self.in_flight.remove(&uid);
                let charged = vm.status.charged.clone().unwrap_or_default();
                let os = image.map(|i| i.spec.os.as_str());
                self.cluster.withdraw(uid);
                self.cluster.reserve(worker.uid, uid, Charge::new(amounts(&charged), os));
                self.cluster.release(disk_uid(uid));
                return;
            }
            (Some(worker), false) => {
                let disk = worker::Amounts { disk: vm.spec.disk, ..worker::Amounts::default() };
                self.cluster.reserve(worker.uid, disk_uid(uid), Charge::new(amounts(&disk), None));
            }
            (None, _) => {
                self.cluster.release(disk_uid(uid));
            }
        }
        if self.in_flight.contains_key(&uid) {
            return; // the commit decides
        }
        self.cluster.release(uid);
        match image {
            Some(image) if waits(vm) => {
                self.cluster.submit(request(vm, Needed::of(vm, image), created_ms));
            }
            _ => {
                self.cluster.withdraw(uid);
            }
        }
    }

    fn forget(&mut self, vm: Uid) {
        self.cluster.withdraw(vm);
        self.cluster.release(vm);
        self.cluster.release(disk_uid(vm));
    }
}

fn created_ms(vm: &Vm) -> u64 {
    u64::try_from(vm.metadata.created_at.as_millisecond()).unwrap_or(0)
}

fn request(vm: &Vm, needed: Needed, created_ms: u64) -> Request {
    Request {
        vm: vm.metadata.uid,
        project: vm.metadata.project.as_ref().map(ToString::to_string).unwrap_or_default(),
        needs: needed.0,
        priority: vm.spec.priority,
        created_ms,
    }
}

/// Writes into a VM that it is on this worker, and charged there.
pub(crate) fn place(vm: &mut Vm, worker: &Worker) {
    let again = vm.status.worker.is_some();
    let now = rt::clock::wall();
    let charged = charge_of(&vm.spec, &vm.status.runtime);
    let status = &mut vm.status;
    let name = worker.metadata.name.clone();
    status.worker = Some(WorkerRef { uid: worker.metadata.uid, name: name.clone() });
    status.admitted = true;
    status.charged = Some(charged);
    status.phase = VmPhase::Assigned;
    status.message = format!("waits for the worker '{name}' to start it");
    status.fix = None;
    status.assigned_at = Some(now);
    if vm.spec.ttl_seconds.is_none() {
        status.elapsed_ms = 0; // its wait is over; a time to live goes on
    }
    if !again {
        status.epoch += 1;
    }
    status.conditions.retain(|c| c.kind != "Placed");
    status.conditions.push(Condition {
        kind: "Placed".into(),
        status: true,
        reason: "Placed".into(),
        message: format!("on the worker '{name}'"),
        since: now,
    });
}

fn offer(worker: &Worker) -> WorkerOffer {
    let (spec, status) = (&worker.spec, &worker.status);
    let host = &status.host;
    let availability = if spec.cordoned {
        Availability::Cordoned
    } else if status.online {
        Availability::Ready
    } else {
        Availability::Offline
    };
    let mut labels = host.labels.clone();
    labels.extend(spec.labels.clone());
    // A runtime that emulates runs guests of several architectures; each is asked for by the pair.
    WorkerOffer {
        uid: worker.metadata.uid,
        name: worker.metadata.name.to_string(),
        arch: host.arch.clone(),
        os: host.os.clone(),
        runtimes: host.runtimes.iter().map(|r| r.name.clone()).collect(),
        capabilities: host.capabilities.iter().cloned().collect(),
        capacity: amounts(&status.allocatable),
        cpu_ratio_permille: spec.cpu_ratio_permille,
        labels,
        availability,
        images: status.images.iter().copied().collect(),
        macos_slots: host.macos_guests,
    }
}

fn scheduler_settings(settings: &SettingsSpec) -> scheduler::Settings {
    scheduler::Settings {
        profile: match settings.placement_profile {
            PlacementProfile::Pack => scheduler::Profile::Pack,
            PlacementProfile::Spread => scheduler::Profile::Spread,
        },
        reserve_after_ms: settings.reservation_after_seconds * 1000,
        ..scheduler::Settings::default()
    }
}
