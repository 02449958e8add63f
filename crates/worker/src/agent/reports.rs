//! What the controller is told. Each part of the state is kept once, with the number of its last change, so a reader
//! that falls behind skips what is outdated and costs no memory.

use api::{
    assignment::{Report, VERSION, VmReport},
    meta::Condition,
    worker::HostFacts,
};
use base::Uid;
use bytes::Bytes;
use futures::Stream;
use parking_lot::Mutex;
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};
use tokio::sync::watch;

/// The state of a worker as its controller sees it. Cheap to clone.
#[derive(Clone)]
pub struct Reports(Arc<Shared>);

struct Shared {
    board: Mutex<Board>,
    /// The number of the last change.
    changed: watch::Sender<u64>,
    heartbeat: Duration,
}

#[derive(Default)]
struct Board {
    last: u64,
    /// What changed, in the order of the last change of each.
    order: BTreeMap<u64, Key>,
    numbers: HashMap<Key, u64>,
    vms: BTreeMap<Uid, VmReport>,
    gone: BTreeMap<Uid, u64>,
    images: Vec<Uid>,
    host: HostFacts,
    conditions: Vec<Condition>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Key {
    Vm(Uid),
    Images,
    Host,
}

impl Reports {
    /// Nothing to report yet. When nothing changes, readers get a heartbeat this often.
    pub fn new(heartbeat: Duration) -> Self {
        let changed = watch::Sender::new(0);
        Reports(Arc::new(Shared { board: Mutex::default(), changed, heartbeat }))
    }

    /// A VM is like this now.
    pub fn vm(&self, report: &VmReport) {
        self.change(Key::Vm(report.uid), |board| {
            board.gone.remove(&report.uid);
            let before = board.vms.insert(report.uid, report.clone());
            before.as_ref() != Some(report)
        });
    }

    /// Nothing is left of a VM.
    pub fn gone(&self, uid: Uid, epoch: u64) {
        self.change(Key::Vm(uid), |board| {
            board.vms.remove(&uid);
            board.gone.insert(uid, epoch);
            true
        });
    }

    /// The controller knows that these are gone: all that are not `still` asked for.
    pub fn forget_gone(&self, still: impl Fn(&Uid) -> bool) {
        let mut board = self.0.board.lock();
        let known: Vec<Uid> = board.gone.keys().filter(|uid| !still(uid)).copied().collect();
        for uid in known {
            board.gone.remove(&uid);
            if let Some(number) = board.numbers.remove(&Key::Vm(uid)) {
                board.order.remove(&number);
            }
        }
    }

    /// The host has these images now.
    pub fn images(&self, images: Vec<Uid>) {
        self.change(Key::Images, |board| {
            let changed = board.images != images;
            board.images = images;
            changed
        });
    }

    /// The host is like this now.
    pub fn host(&self, host: HostFacts, conditions: Vec<Condition>) {
        self.change(Key::Host, |board| {
            let changed = board.host != host || board.conditions != conditions;
            (board.host, board.conditions) = (host, conditions);
            changed
        });
    }

    fn change(&self, key: Key, edit: impl FnOnce(&mut Board) -> bool) {
        let last = {
            let mut board = self.0.board.lock();
            if !edit(&mut board) {
                return;
            }
            board.last += 1;
            let last = board.last;
            if let Some(old) = board.numbers.insert(key, last) {
                board.order.remove(&old);
            }
            board.order.insert(last, key);
            last
        };
        self.0.changed.send_modify(|n| *n = last.max(*n));
    }

    /// The lines for one reader: a snapshot, what was removed on request, then each change in its latest state.
    pub fn lines(&self) -> impl Stream<Item = Bytes> + Send + 'static {
        let reader = Reader {
            shared: self.0.clone(),
            changed: self.0.changed.subscribe(),
            seen: None,
            gone: Vec::new(),
        };
        futures::stream::unfold(reader, |mut reader| async move {
            let report = reader.next().await;
            Some((line(&report), reader))
        })
    }
}

struct Reader {
    shared: Arc<Shared>,
    changed: watch::Receiver<u64>,
    /// The number of the last change that was told.
    seen: Option<u64>,
    /// Removals to tell after the snapshot.
    gone: Vec<(Uid, u64)>,
}

impl Reader {
    async fn next(&mut self) -> Report {
        loop {
            self.changed.mark_unchanged(); // before looking: a change from now on wakes us
            if let Some(report) = self.ready() {
                return report;
            }
            tokio::select! {
                _ = self.changed.changed() => {}
                () = rt::clock::sleep(self.shared.heartbeat) => return Report::Heartbeat {},
            }
        }
    }

    fn ready(&mut self) -> Option<Report> {
        let board = self.shared.board.lock();
        let Some(seen) = self.seen else {
            self.seen = Some(board.last);
            self.gone = board.gone.iter().map(|(uid, epoch)| (*uid, *epoch)).collect();
            return Some(board.snapshot());
        };
        if let Some((uid, epoch)) = self.gone.pop() {
            return Some(Report::Gone { uid, epoch });
        }
        let (number, key) = board.order.range(seen + 1..).next()?;
        self.seen = Some(*number);
        board.report(*key)
    }
}

impl Board {
    fn snapshot(&self) -> Report {
        Report::Snapshot {
            version: VERSION,
            host: Box::new(self.host.clone()),
            vms: self.vms.values().cloned().collect(),
            images: self.images.clone(),
            conditions: self.conditions.clone(),
        }
    }

    fn report(&self, key: Key) -> Option<Report> {
        match key {
            Key::Images => Some(Report::Images { images: self.images.clone() }),
            Key::Host => {
                Some(Report::Host { host: Box::new(self.host.clone()), conditions: self.conditions.clone() })
            }
            Key::Vm(uid) => match (self.vms.get(&uid), self.gone.get(&uid)) {
                (Some(vm), _) => Some(Report::Vm { vm: Box::new(vm.clone()) }),
                (None, epoch) => epoch.map(|epoch| Report::Gone { uid, epoch: *epoch }),
            },
        }
    }
}

fn line(report: &Report) -> Bytes {
    // Reports are plain data: writing them as JSON cannot fail.
    serde_json::to_vec(report).unwrap_or_default().into()
}

#[cfg(test)]
mod tests;
