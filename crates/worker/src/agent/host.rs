//! What all VMs of a host share, and the tasks that watch over them.

use super::{
    AgentOptions, drive,
    facts::Facts,
    images::{self, Images},
    keeper::Keeper,
    record::Record,
    reports::Reports,
    store::Desires,
    vm::Vm,
};
use crate::runtimes::Runtime;
use ::images::{Digest, Source};
use api::assignment::{Assignment, Desired};
use base::{Error, Result, Uid};
use parking_lot::Mutex;
use rt::task::Group;
use std::{
    collections::{HashMap, HashSet, hash_map::Entry},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};
use tokio::sync::broadcast::error::RecvError;

/// How often the host itself is looked at.
const LOOK: Duration = Duration::from_secs(30);

/// A host.
pub struct Host {
    pub keeper: Keeper,
    pub runtimes: Vec<Arc<dyn Runtime>>,
    pub images: Images,
    pub reports: Reports,
    facts: tokio::sync::Mutex<Facts>,
    desires: Mutex<Arc<Desires>>,
    vms: Mutex<HashMap<Uid, Arc<Vm>>>,
}

impl Host {
    /// Reads what was kept. Nothing runs yet.
    pub async fn open(
        options: AgentOptions,
        runtimes: Vec<Arc<dyn Runtime>>,
        source: Option<Arc<dyn Source>>,
    ) -> Result<Arc<Self>> {
        let keeper = Keeper::new(options.state_dir.clone())?;
        let desires = Desires::load(&keeper)?;
        Ok(Arc::new(Host {
            images: Images::open(&keeper, source)?,
            reports: Reports::new(options.heartbeat),
            facts: tokio::sync::Mutex::new(Facts::new(options, &runtimes).await?),
            desires: Mutex::new(Arc::new(desires)),
            vms: Mutex::default(),
            keeper,
            runtimes,
        }))
    }

    /// Finds all machines again, and goes on with what was wanted last.
    pub async fn adopt(self: &Arc<Self>, tasks: &Group) -> Result<()> {
        let mut events = Vec::new();
        let mut desires = Desires::clone(&self.desires());
        let mut records: HashMap<Uid, Record> =
            Record::load_all(&self.keeper)?.into_iter().map(|r| (r.uid, r)).collect();
        for runtime in &self.runtimes {
            events.push((runtime.clone(), runtime.events()));
            for machine in runtime.adopt().await? {
                desires.saw(machine.uid, machine.epoch);
                if let Entry::Vacant(unknown) = records.entry(machine.uid) {
                    let record = unknown.insert(Record::unknown(machine.uid)?);
                    record.runtime = runtime.name().into();
                }
            }
        }
        for record in records.values() {
            desires.saw(record.uid, record.epoch);
        }
        for record in records.into_values() {
            let vm = Vm::new(record);
            // Before its task begins: one that thinks it is not wanted might take its leave.
            vm.assign(desires.current().find(|a| a.uid == vm.uid).cloned().map(Arc::new));
            self.begin(vm, tasks);
        }
        for (runtime, events) in events {
            tasks.spawn("runtime events", listen(self.clone(), runtime, events));
        }
        self.reports.images(self.images.held());
        self.follow(desires, tasks);
        self.look().await;
        if self.keeper.dir().is_some() {
            tasks.spawn("host watch", watch(self.clone()));
        }
        Ok(())
    }

    /// What is followed.
    pub fn desires(&self) -> Arc<Desires> {
        self.desires.lock().clone()
    }

    /// A placement was seen on this host. Kept with the next desired state, and by the VM's own record.
    pub fn saw(&self, uid: Uid, epoch: u64) {
        Arc::make_mut(&mut self.desires.lock()).saw(uid, epoch);
    }

    /// Follows a new desired state.
    pub fn follow(self: &Arc<Self>, desires: Desires, tasks: &Group) {
        let desires = Arc::new(desires);
        *self.desires.lock() = desires.clone();
        let wanted: HashMap<Uid, Arc<Assignment>> =
            desires.current().map(|a| (a.uid, Arc::new(a.clone()))).collect();
        self.reports.forget_gone(|uid| wanted.contains_key(uid));
        for vm in self.all() {
            if !wanted.contains_key(&vm.uid) {
                vm.assign(None);
            }
        }
        for (uid, assignment) in wanted {
            if self.assign(uid, &assignment) {
                continue;
            }
            if assignment.desired == Desired::Removed {
                // Gone already, or it never was here: both is what the controller wants to hear.
                self.reports.gone(uid, assignment.epoch);
                continue;
            }
            let vm = Vm::new(Record::new(&assignment));
            vm.assign(Some(assignment));
            self.begin(vm, tasks);
        }
    }

    /// Tells a VM that is here what is wanted. Under the lock, so that none leaves at this moment.
    fn assign(&self, uid: Uid, assignment: &Arc<Assignment>) -> bool {
        let vms = self.vms.lock();
        let vm = vms.get(&uid);
        vm.inspect(|vm| vm.assign(Some(assignment.clone()))).is_some()
    }

    fn begin(self: &Arc<Self>, vm: Vm, tasks: &Group) {
        let vm = Arc::new(vm);
        self.vms.lock().insert(vm.uid, vm.clone());
        tasks.spawn("vm", drive::drive(self.clone(), vm));
    }

    /// The VM with this uid.
    pub fn vm(&self, uid: Uid) -> Result<Arc<Vm>> {
        let found = self.vms.lock().get(&uid).cloned();
        found.ok_or_else(|| Error::not_found(format!("this worker has no VM {uid}")))
    }

    fn all(&self) -> Vec<Arc<Vm>> {
        self.vms.lock().values().cloned().collect()
    }

    /// Nothing is left of a VM: forgets it, and says so. One that is wanted again meanwhile stays.
    pub async fn finish(&self, vm: &Vm) -> Result<()> {
        if let Some(dir) = self.keeper.dir().map(|d| logs_of(d, vm.uid)) {
            let removed = rt::task::blocking(move || std::fs::remove_dir_all(dir)).await?;
            removed.or_else(missing_is_fine).map_err(|e| Error::io("remove the logs of a VM", &e))?;
        }
        Record::forget(&self.keeper, vm.uid).await?;
        let mut vms = self.vms.lock();
        let wanted = vm.assignment();
        if wanted.as_ref().is_some_and(|a| a.desired != Desired::Removed) {
            return Ok(());
        }
        vms.remove(&vm.uid);
        self.reports.gone(vm.uid, wanted.map_or(0, |a| a.epoch));
        Ok(())
    }

    /// Where the logs of a VM are that the runtime does not keep.
    pub fn log_dir(&self, uid: Uid) -> Result<Option<PathBuf>> {
        let dir = self.keeper.dir().map(|d| logs_of(d, uid));
        dir.as_deref().map(rt::files::private_dir).transpose()?;
        Ok(dir)
    }

    /// Looks at the host itself, and reports.
    async fn look(&self) {
        let mut facts = self.facts.lock().await;
        facts.look(&self.runtimes).await;
        self.reports.host(facts.host(), facts.conditions());
    }

    /// Removes images that nobody needs: no VM here, wanted or not, and not the controller.
    pub async fn collect(&self) -> Result<()> {
        let desires = self.desires();
        let mut keep: HashSet<Digest> = HashSet::new();
        for vm in self.all() {
            let record = vm.record();
            if record.started || !record.parts.is_empty() {
                keep.extend(&record.parts);
            } else if vm.assignment().is_none() {
                return Ok(()); // what this one was made from is not known
            }
        }
        keep.extend(desires.works().flat_map(|w| images::digests(&w.parts)));
        self.images.collect(desires.keep_images(), keep).await
    }
}

fn logs_of(dir: &std::path::Path, uid: Uid) -> PathBuf {
    dir.join("logs").join(uid.to_string())
}

fn missing_is_fine(e: std::io::Error) -> std::io::Result<()> {
    if e.kind() == std::io::ErrorKind::NotFound { Ok(()) } else { Err(e) }
}

/// Wakes VMs whose machine has changed. After a gap, all of them look.
async fn listen(
    host: Arc<Host>,
    runtime: Arc<dyn Runtime>,
    mut events: tokio::sync::broadcast::Receiver<crate::runtimes::Observed>,
) {
    loop {
        match events.recv().await {
            Ok(machine) => {
                if let Ok(vm) = host.vm(machine.uid) {
                    vm.wake.notify_one();
                }
            }
            Err(RecvError::Lagged(_)) => host.all().iter().for_each(|vm| vm.wake.notify_one()),
            Err(RecvError::Closed) => {
                tracing::debug!(runtime = runtime.name(), "no more events");
                return;
            }
        }
    }
}

/// Looks at the host from time to time, and tidies up.
async fn watch(host: Arc<Host>) {
    loop {
        rt::clock::sleep(LOOK).await;
        host.look().await;
        host.all().iter().for_each(|vm| vm.guest.tidy());
        if let Err(error) = host.collect().await {
            tracing::warn!(%error, "images could not be collected");
        }
        host.reports.images(host.images.held());
    }
}
