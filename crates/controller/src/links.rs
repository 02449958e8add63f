//! The links to workers: who is connected, what they are told, what they report.
//!
//! A worker is told its full desired set whenever that changes, and reports what it sees. Reports become the status of
//! VMs. Nothing here destroys: a VM that is not in the desired set is left alone by its worker and shown as unclaimed;
//! a worker that is not heard of makes its VMs `Unknown`, and that is all that happens to them.

mod assign;
mod report;

use crate::{
    change::Writer,
    recovery::Recovery,
    view::{Any, Change, View},
};
use api::{
    Vm, VmPhase, Worker,
    assignment::{Assignment, HEARTBEAT},
    stream::ChangeKind,
    worker::Unclaimed,
};
use base::{Error, Result, Uid};
use bytes::Bytes;
use futures::StreamExt;
use jiff::Timestamp;
use link::{
    Class, KeepAlive, TunnelStream, Welcome,
    accept::Incoming,
    controller_side::{Admitted, Session, Sessions},
};
use parking_lot::Mutex;
use rt::clock::Instant;
use std::{collections::HashMap, sync::Arc, time::Duration};
use tokio::{io::AsyncReadExt, sync::Notify};

/// Largest answer to a question about one VM.
const MAX_ANSWER: u64 = 4 * 1024 * 1024;
/// A worker whose link is up may be silent so long, whatever the setting says.
const SILENCE: Duration = Duration::from_secs(3 * HEARTBEAT.as_secs());
/// How often it is looked whether a recovery may end.
const RECOVERY_LOOK: Duration = Duration::from_millis(200);

/// All links. Cheap to clone.
#[derive(Clone)]
pub struct Links(Arc<Inner>);

struct Inner {
    view: View,
    writer: Writer,
    recovery: Recovery,
    sessions: Sessions,
    workers: Mutex<HashMap<Uid, Presence>>,
    started: Instant,
    tasks: rt::task::Group,
}

/// What memory knows of a worker.
struct Presence {
    heard: Instant,
    heard_at: Timestamp,
    changed: Arc<Notify>,
    /// Unclaimed VMs that an operator wants removed.
    buried: Vec<Unclaimed>,
}

impl Default for Presence {
    fn default() -> Self {
        Presence {
            heard: rt::clock::now(),
            heard_at: rt::clock::wall(),
            changed: Arc::new(Notify::new()),
            buried: Vec::new(),
        }
    }
}

impl Links {
    pub(crate) fn start(view: &View, writer: &Writer, recovery: &Recovery) -> (Links, rt::task::Task<()>) {
        let links = Links(Arc::new(Inner {
            view: view.clone(),
            writer: writer.clone(),
            recovery: recovery.clone(),
            sessions: Sessions::new(Welcome::default(), KeepAlive::default()),
            workers: Mutex::default(),
            started: rt::clock::now(),
            tasks: rt::task::Group::new(),
        }));
        let watching = links.clone();
        let task = rt::task::spawn("links", async move {
            tokio::join!(watching.dispatch(), watching.notice_absence(), watching.recover());
        });
        (links, task)
    }

    /// Takes in a link that has proved to be of a worker.
    pub async fn admit(&self, incoming: Incoming) {
        let uid = incoming.worker();
        if self.0.view.by_uid::<Worker>(uid).is_none() {
            let refusal = Error::new(base::Code::Forbidden, "this worker was forgotten by the controller")
                .hint("let it join again with a new token: hostler worker token create; its VMs are then unclaimed");
            return incoming.refuse(refusal).await;
        }
        match self.0.sessions.admit(incoming).await {
            Ok(Admitted::Session(session)) => {
                let links = self.clone();
                self.0.tasks.spawn("session", async move { links.serve(session).await });
            }
            Ok(Admitted::Bulk(_)) => {}
            Err(e) => tracing::info!(error = %e, worker = %uid, "a link was not taken"),
        }
    }

    /// Whether a worker's link is up.
    pub fn is_connected(&self, worker: Uid) -> bool {
        self.0.sessions.get(worker).is_some()
    }

    /// How many links are up.
    pub fn connected(&self) -> usize {
        self.0.sessions.all().len()
    }

    /// When a worker was last heard of.
    pub fn last_seen(&self, worker: Uid) -> Option<Timestamp> {
        self.0.workers.lock().get(&worker).map(|p| p.heard_at)
    }

    /// Opens a tunnel to something on a worker.
    pub async fn open(&self, worker: Uid, target: &str, class: Class) -> Result<TunnelStream> {
        let session = self.0.sessions.get(worker).ok_or_else(|| {
            Error::unavailable("the VM's worker is not connected")
                .hint("see: hostler worker list; try again in a moment")
        })?;
        session.open_tunnel(target, class).await
    }

    /// What a worker remembers that it was told of a VM.
    pub async fn ask_for_assignment(&self, worker: Uid, vm: Uid) -> Result<Assignment> {
        let tunnel = self.open(worker, &format!("vms/{vm}/assignment"), Class::Interactive).await?;
        let mut text = Vec::new();
        tunnel
            .take(MAX_ANSWER)
            .read_to_end(&mut text)
            .await
            .map_err(|e| Error::io("read the worker's answer", &e))?;
        serde_json::from_slice(&text)
            .map_err(|e| Error::internal("the worker's answer cannot be read").because(e))
    }

    /// Has an unclaimed VM removed.
    pub(crate) fn bury(&self, worker: Uid, vm: &Unclaimed) {
        let mut workers = self.0.workers.lock();
        let presence = workers.entry(worker).or_default();
        presence.buried.push(vm.clone());
        presence.changed.notify_one();
    }

    /// Ends the link of a worker that was forgotten.
    pub(crate) fn forget(&self, worker: Uid) {
        if let Some(session) = self.0.sessions.get(worker) {
            session.close(Error::new(base::Code::Forbidden, "this worker was forgotten by the controller"));
        }
        self.0.workers.lock().remove(&worker);
    }

    /// One stay of a worker, to its end.
    async fn serve(&self, session: Session) {
        let worker = session.worker();
        self.heard(worker);
        let has_told = Notify::new();
        let tell = async {
            has_told.notified().await; // what it claims, it must not be told to stop before
            self.push(&session).await;
        };
        tokio::select! {
            e = session.closed() => tracing::info!(worker = %worker, error = %e, "a link ended"),
            e = self.read_report(&session, &has_told) => {
                tracing::info!(worker = %worker, error = %e, "a worker's report ended");
                session.close(e);
            }
            () = tell => {}
        }
        self.0.sessions.remove(&session);
    }

    fn heard(&self, worker: Uid) -> Arc<Notify> {
        let mut workers = self.0.workers.lock();
        let presence = workers.entry(worker).or_default();
        presence.heard = rt::clock::now();
        presence.heard_at = rt::clock::wall();
        presence.changed.clone()
    }

    /// Takes in what a worker tells: first all that it has, then what changes.
    async fn read_report(&self, session: &Session, has_told: &Notify) -> Error {
        let worker = session.worker();
        let mut report = match session.report().await {
            Ok(report) => report,
            Err(e) => return e,
        };
        loop {
            let line = match report.next().await {
                Some(Ok(line)) => line,
                Some(Err(e)) => return e,
                None => return Error::unavailable("the worker ended its report"),
            };
            self.heard(worker);
            if let Err(e) = self.take_report(worker, &line).await {
                return e;
            }
            has_told.notify_one();
        }
    }

    /// Tells the worker its desired set, first and after each change.
    async fn push(&self, session: &Session) {
        let worker = session.worker();
        let changed = self.heard(worker);
        let mut last = Bytes::new();
        let mut backoff = rt::clock::Backoff::new(Duration::from_millis(100), Duration::from_secs(10));
        loop {
            let (assignments, comparable) = self.assignments(worker);
            if comparable != last {
                match session.put_assignments(assignments).await {
                    Ok(_) => {
                        last = comparable;
                        backoff.reset();
                    }
                    Err(e) => {
                        tracing::warn!(worker = %worker, error = %e, "a worker did not take its assignments");
                        rt::clock::sleep(backoff.delay()).await;
                        continue;
                    }
                }
            }
            changed.notified().await;
        }
    }

    /// Wakes the pushes of the workers that a change concerns.
    async fn dispatch(&self) {
        let mut follower = self.0.view.follow(self.0.view.revision());
        loop {
            match follower.next().await {
                Ok(changes) => changes.iter().for_each(|change| self.dispatch_change(change)),
                Err(e) if e.code == base::Code::Gone => {
                    follower.skip_to_now();
                    self.0.workers.lock().values().for_each(|p| p.changed.notify_one());
                }
                Err(_) => return,
            }
        }
    }

    fn dispatch_change(&self, change: &Change) {
        let workers = self.0.workers.lock();
        let wake = |vm: &Vm| {
            if let Some(worker) = &vm.status.worker
                && let Some(presence) = workers.get(&worker.uid)
            {
                presence.changed.notify_one();
            }
        };
        match (&change.old, &change.object) {
            (Some(Any::Vm(old)), Any::Vm(new)) if change.kind == ChangeKind::Put => {
                let told = assign::concerns(old) != assign::concerns(new);
                [old, new].into_iter().filter(|_| told).for_each(|vm| wake(vm));
            }
            (_, Any::Vm(vm)) => wake(vm),
            (_, Any::Image(_)) if change.kind == ChangeKind::Deleted => {
                workers.values().for_each(|p| p.changed.notify_one());
            }
            _ => {}
        }
    }

    /// Whether a worker is not heard of for longer than the limit. A controller that has just started gives everybody
    /// the full time.
    fn is_silent(&self, worker: Uid, limit: Duration) -> bool {
        let heard = self.0.workers.lock().get(&worker).map_or(self.0.started, |p| p.heard);
        let limit = if self.is_connected(worker) { limit.max(SILENCE) } else { limit };
        rt::clock::now() - heard > limit
    }

    fn offline_limit(&self) -> Duration {
        Duration::from_secs(self.0.view.read(|t| t.cluster_settings().worker_offline_seconds))
    }

    /// Lets placement go on after a restore, once each worker has told what it has or is silent for too long.
    async fn recover(&self) {
        let recovery = &self.0.recovery;
        while !recovery.is_over() {
            let limit = self.offline_limit();
            let known: Vec<Uid> = self.0.view.read(|t| t.workers.iter().map(|w| w.metadata.uid).collect());
            if known.into_iter().all(|worker| recovery.has_told(worker) || self.is_silent(worker, limit))
                && let Err(e) = recovery.end().await
            {
                tracing::warn!(error = %e, "the end of the recovery could not be written down");
            }
            rt::clock::sleep(RECOVERY_LOOK).await;
        }
    }

    /// Marks workers that are not heard of.
    async fn notice_absence(&self) {
        loop {
            rt::clock::sleep(Duration::from_secs(1)).await;
            let limit = self.offline_limit();
            let online = |w: &&Arc<Worker>| w.status.online;
            let mut absent: Vec<Arc<Worker>> =
                self.0.view.read(|t| t.workers.iter().filter(online).cloned().collect());
            absent.retain(|w| self.is_silent(w.metadata.uid, limit));
            for worker in absent {
                if let Err(e) = self.mark_absent(&worker, limit).await {
                    tracing::warn!(worker = %worker.metadata.name, error = %e, "an absence could not be written down");
                }
            }
        }
    }

    async fn mark_absent(&self, worker: &Worker, limit: Duration) -> Result<()> {
        let (uid, name) = (worker.metadata.uid, &worker.metadata.name);
        let message = format!("not heard of for {} s", limit.as_secs());
        self.0
            .writer
            .update::<Worker>(uid, |worker, change| {
                if !worker.status.online {
                    return Ok(false);
                }
                worker.status.online = false;
                worker.status.last_seen = self.last_seen(uid);
                change.warning("worker", &worker.metadata, "Offline", &message)?;
                Ok(true)
            })
            .await?;
        let held: Vec<Uid> = self.0.view.read(|t| t.vms_of(uid).map(|vm| vm.metadata.uid).collect());
        for vm in held {
            let marked = self.0.writer.update::<Vm>(vm, |vm, change| {
                let certain =
                    matches!(vm.status.phase, VmPhase::Stopped | VmPhase::Deleting | VmPhase::Unknown);
                if certain || self.is_connected(uid) {
                    return Ok(false);
                }
                vm.status.phase = VmPhase::Unknown;
                vm.status.message = format!("its worker '{name}' is {message}; it may still run");
                change.warning("vm", &vm.metadata, "Unknown", format!("its worker '{name}' is {message}"))?;
                Ok(true)
            });
            match marked.await {
                Err(e) if e.code != base::Code::NotFound => return Err(e),
                _ => {}
            }
        }
        Ok(())
    }
}
