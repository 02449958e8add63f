//! The VMs that wait. Requests with equal needs form a class: when one of them fits nowhere, none of them does, and the
//! whole class rests until room grows somewhere it could use.

use crate::{
    Needs, Request,
    account::{Base, base_lanes},
    rank::Rank,
    resting::Resting,
    search::Matches,
    slots::Slots,
};
use base::Uid;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

/// Classes without requests that are remembered, since the next like request is often near.
const IDLE: usize = 1_024;

/// One VM that waits.
pub(crate) struct Waiting {
    /// Its project.
    pub project: String,
    /// Its place in the queue.
    pub rank: Rank,
    /// Its class.
    pub class: u32,
    /// When scheduling saw it first, or last gave up a worker held for it.
    pub since_ms: Option<u64>,
    /// The worker that is held for it.
    pub holds: Option<u32>,
    /// Workers that were held for it in vain.
    pub tried: BTreeSet<Uid>,
}

/// Since when a class fits nowhere.
#[derive(Clone, Copy)]
pub(crate) struct Blocked {
    since_ms: u64,
    /// The number of the last placement at that time: later ones overtook it.
    pub placement: u64,
}

enum State {
    /// Nobody waits.
    Idle,
    /// To be tried; listed under this rank.
    Ready(Rank),
    /// Fits nowhere now.
    Blocked,
}

enum Age {
    Young,
    /// Listed to be overdue at this time.
    Due(u64),
    /// Listed as overdue under this rank.
    Overdue(Rank),
}

/// Requests with equal needs.
pub(crate) struct Class {
    /// The needs.
    pub needs: Arc<Needs>,
    /// The groups of workers that admit them.
    pub matches: Matches,
    /// Since when none of them could be placed.
    pub blocked: Option<Blocked>,
    /// No worker could be held for it when this change of the workers was the last.
    pub hopeless: Option<u64>,
    waiting: BTreeSet<Rank>,
    state: State,
    age: Age,
    idle: bool,
}

impl Class {
    /// The first of them.
    pub(crate) fn head(&self) -> Option<Rank> {
        self.waiting.first().copied()
    }
}

/// All VMs that wait.
#[derive(Default)]
pub(crate) struct Queue {
    reserve_after_ms: u64,
    requests: HashMap<Uid, Waiting>,
    classes: Slots<Class>,
    by_needs: HashMap<Arc<Needs>, u32>,
    idle: VecDeque<u32>,
    ready: BTreeSet<(Rank, u32)>,
    resting: Resting,
    aging: BTreeSet<(u64, u32)>,
    overdue: BTreeSet<(Rank, u32)>,
    unseen: Vec<Uid>,
}

impl Queue {
    /// Sets how long a class rests before it is overdue.
    pub(crate) fn set_reserve_after(&mut self, ms: u64) {
        self.reserve_after_ms = ms;
        let blocked: Vec<u32> = self.resting.classes().collect();
        for class in blocked {
            self.age(class);
        }
    }

    /// The VM, if it waits.
    pub(crate) fn get(&self, vm: Uid) -> Option<&Waiting> {
        self.requests.get(&vm)
    }

    /// All that wait, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Waiting> {
        self.requests.values()
    }

    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.requests.len()
    }

    /// A class.
    pub(crate) fn class(&self, index: u32) -> Option<&Class> {
        self.classes.get(index)
    }

    /// A class, to change what it remembers.
    pub(crate) fn class_mut(&mut self, index: u32) -> Option<&mut Class> {
        self.classes.get_mut(index)
    }

    /// Adds a request. True when it is now the first of a blocked class.
    pub(crate) fn insert(&mut self, request: Request, since_ms: Option<u64>) -> bool {
        let rank = Rank::of(&request);
        let index = self.class_for(request.needs);
        let Some(class) = self.class_mut(index) else { return false };
        class.waiting.insert(rank);
        if matches!(class.state, State::Idle) {
            class.state = State::Ready(rank);
        }
        let leads_blocked = matches!(class.state, State::Blocked) && class.head() == Some(rank);
        let waiting = Waiting {
            project: request.project,
            rank,
            class: index,
            since_ms,
            holds: None,
            tried: BTreeSet::new(),
        };
        if since_ms.is_none() {
            self.unseen.push(request.vm);
        }
        self.requests.insert(request.vm, waiting);
        self.relist(index);
        leads_blocked
    }

    /// Takes a VM out.
    pub(crate) fn remove(&mut self, vm: Uid) -> Option<Waiting> {
        let waiting = self.requests.remove(&vm)?;
        if let Some(class) = self.class_mut(waiting.class) {
            class.waiting.remove(&waiting.rank);
        }
        self.relist(waiting.class);
        Some(waiting)
    }

    /// The VM to try next, and its class.
    pub(crate) fn first_ready(&self) -> Option<(Rank, u32)> {
        self.ready.first().copied()
    }

    /// The class fits nowhere now.
    pub(crate) fn block(&mut self, index: u32, now_ms: u64, placement: u64) {
        let Some(class) = self.classes.get_mut(index) else { return };
        class.blocked.get_or_insert(Blocked { since_ms: now_ms, placement });
        let State::Ready(listed) = std::mem::replace(&mut class.state, State::Blocked) else { return };
        self.resting.insert(class.needs.pinned, index, base_lanes(&class.needs.charge));
        self.ready.remove(&(listed, index));
        self.age(index);
    }

    /// The class may fit again.
    pub(crate) fn unblock(&mut self, index: u32) {
        let Some(class) = self.classes.get_mut(index) else { return };
        if let (State::Blocked, Some(head)) = (&class.state, class.head()) {
            class.state = State::Ready(head);
            self.resting.remove(class.needs.pinned, index);
            self.ready.insert((head, index));
            self.age(index);
        }
    }

    /// Whether any class is blocked.
    pub(crate) fn any_blocked(&self) -> bool {
        !self.resting.is_empty()
    }

    /// The blocked classes for which this worker may have room, when so much is free there.
    pub(crate) fn blocked_for(&self, worker: Uid, free: Base) -> impl Iterator<Item = (u32, &Class)> {
        self.resting.fitting(worker, free).filter_map(|index| Some((index, self.class(index)?)))
    }

    /// Notes when VMs that are new to scheduling came.
    pub(crate) fn see(&mut self, now_ms: u64) {
        for vm in std::mem::take(&mut self.unseen) {
            let Some(waiting) = self.requests.get_mut(&vm) else { continue };
            waiting.since_ms.get_or_insert(now_ms);
            let (class, rank) = (waiting.class, waiting.rank);
            if self.class(class).and_then(Class::head) == Some(rank) {
                self.age(class);
            }
        }
    }

    /// Whether some VM is new to scheduling.
    pub(crate) fn any_unseen(&self) -> bool {
        !self.unseen.is_empty()
    }

    /// When the next class becomes overdue.
    pub(crate) fn next_due(&self) -> Option<u64> {
        self.aging.first().map(|(due, _)| *due)
    }

    /// Moves the classes whose time has come to the overdue ones. True when there were any.
    pub(crate) fn ripen(&mut self, now_ms: u64) -> bool {
        let mut any = false;
        while let Some((due, index)) = self.aging.first().copied().filter(|(due, _)| *due <= now_ms) {
            self.aging.remove(&(due, index));
            if let Some(class) = self.class_mut(index)
                && let Some(head) = class.head()
            {
                class.age = Age::Overdue(head);
                self.overdue.insert((head, index));
                any = true;
            }
        }
        any
    }

    /// The overdue classes, in the order of the queue.
    pub(crate) fn overdue(&self) -> Vec<(Rank, u32)> {
        self.overdue.iter().copied().collect()
    }

    /// A worker is held for this VM.
    pub(crate) fn hold(&mut self, vm: Uid, slot: u32, start_over: bool) {
        if let Some(waiting) = self.requests.get_mut(&vm) {
            waiting.holds = Some(slot);
            if start_over {
                waiting.tried.clear();
            }
            let class = waiting.class;
            self.age(class);
        }
    }

    /// The worker is held for this VM no longer. With a time and a worker: it was held in vain until then.
    pub(crate) fn unhold(&mut self, vm: Uid, in_vain: Option<(u64, Uid)>) {
        if let Some(waiting) = self.requests.get_mut(&vm) {
            waiting.holds = None;
            if let Some((now_ms, worker)) = in_vain {
                waiting.since_ms = Some(now_ms);
                waiting.tried.insert(worker);
            }
            let class = waiting.class;
            self.age(class);
        }
    }

    /// Puts a class where its first request belongs.
    fn relist(&mut self, index: u32) {
        let Some(class) = self.classes.get_mut(index) else { return };
        let head = class.head();
        match (&mut class.state, head) {
            (State::Ready(listed), Some(head)) => {
                self.ready.remove(&(*listed, index));
                self.ready.insert((head, index));
                *listed = head;
            }
            (State::Ready(listed), None) => {
                self.ready.remove(&(*listed, index));
            }
            (State::Blocked, None) => {
                self.resting.remove(class.needs.pinned, index);
            }
            (State::Blocked, Some(_)) | (State::Idle, _) => {}
        }
        if head.is_none() {
            class.state = State::Idle;
            class.blocked = None;
        }
        self.age(index);
        if head.is_none() {
            self.retire(index);
        }
    }

    /// Lists a class by the age of its first request.
    fn age(&mut self, index: u32) {
        let Some(class) = self.classes.get_mut(index) else { return };
        match std::mem::replace(&mut class.age, Age::Young) {
            Age::Young => {}
            Age::Due(due) => _ = self.aging.remove(&(due, index)),
            Age::Overdue(rank) => _ = self.overdue.remove(&(rank, index)),
        }
        let Some(blocked) = class.blocked.filter(|_| matches!(class.state, State::Blocked)) else { return };
        let Some(head) = class.waiting.first().and_then(|rank| self.requests.get(&rank.vm)) else { return };
        if let (Some(since_ms), None) = (head.since_ms, head.holds) {
            let due = blocked.since_ms.max(since_ms).saturating_add(self.reserve_after_ms);
            class.age = Age::Due(due);
            self.aging.insert((due, index));
        }
    }

    fn class_for(&mut self, needs: Needs) -> u32 {
        if let Some(index) = self.by_needs.get(&needs) {
            return *index;
        }
        let needs = Arc::new(needs);
        let class = Class {
            needs: needs.clone(),
            matches: Matches::default(),
            blocked: None,
            hopeless: None,
            waiting: BTreeSet::new(),
            state: State::Idle,
            age: Age::Young,
            idle: false,
        };
        let index = self.classes.insert(class);
        self.by_needs.insert(needs, index);
        index
    }

    /// Remembers a class that became idle, and forgets the one that has been so for longest.
    fn retire(&mut self, index: u32) {
        if let Some(class) = self.class_mut(index)
            && !std::mem::replace(&mut class.idle, true)
        {
            self.idle.push_back(index);
        }
        if self.idle.len() <= IDLE {
            return;
        }
        let Some(oldest) = self.idle.pop_front() else { return };
        let Some(class) = self.class_mut(oldest) else { return };
        class.idle = false;
        if class.waiting.is_empty() {
            let needs = class.needs.clone();
            self.by_needs.remove(&needs);
            self.classes.remove(oldest);
        }
    }
}
