//! All objects in memory, typed and indexed, built by list and watch. Reads, placement and reconcilers use this, never
//! the store. It keeps a bounded history of its changes, by which reconcilers and clients follow it.

use crate::{codec, kind::Kind, seal::Seal};
use api::{
    Credential, Fleet, Image, JoinToken, Operation, Project, RoleBinding, ServiceAccount, Settings, Vm,
    Worker, stream::ChangeKind,
};
use base::{Code, Error, Name, Result, Revision, Secret, Uid};
use parking_lot::RwLock;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    ops::Bound,
    sync::{Arc, OnceLock},
};
use store::Store;
use tokio::sync::watch;

/// Changes that a follower may be behind before it has to list again.
const HISTORY: usize = 20_000;
/// Entries per page when the view is built.
const PAGE: usize = 1000;

/// An object of any kind.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub enum Any {
    Vm(Arc<Vm>),
    Worker(Arc<Worker>),
    Image(Arc<Image>),
    Project(Arc<Project>),
    ServiceAccount(Arc<ServiceAccount>),
    RoleBinding(Arc<RoleBinding>),
    JoinToken(Arc<JoinToken>),
    Settings(Arc<Settings>),
    Fleet(Arc<Fleet>),
    Credential(Arc<Credential>),
    Operation(Arc<Operation>),
}

/// One object changed.
#[derive(Debug)]
pub struct Change {
    /// When.
    pub revision: Revision,
    /// Whether it is there now.
    pub kind: ChangeKind,
    /// As it was before.
    pub old: Option<Any>,
    /// As it is now, or was last.
    pub object: Any,
    /// The message for watching clients, made once however many there are.
    pub rendered: OnceLock<Arc<str>>,
}

/// The objects of one kind.
#[derive(Debug)]
pub struct Table<K> {
    by_key: BTreeMap<String, Arc<K>>,
    by_uid: HashMap<Uid, String>,
}

impl<K> Default for Table<K> {
    fn default() -> Self {
        Table { by_key: BTreeMap::new(), by_uid: HashMap::new() }
    }
}

impl<K: Kind> Table<K> {
    /// By store key.
    pub fn get(&self, key: &str) -> Option<&Arc<K>> {
        self.by_key.get(key)
    }

    /// By uid.
    pub fn by_uid(&self, uid: Uid) -> Option<&Arc<K>> {
        self.by_uid.get(&uid).and_then(|key| self.by_key.get(key))
    }

    /// All, by key.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<K>> {
        self.by_key.values()
    }

    /// Those whose key starts with `prefix`, after `after`.
    pub fn range<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&str>,
    ) -> impl Iterator<Item = (&'a String, &'a Arc<K>)> {
        let start = match after {
            Some(after) if after >= prefix => Bound::Excluded(after.to_owned()),
            _ => Bound::Included(prefix.to_owned()),
        };
        self.by_key.range((start, Bound::Unbounded)).take_while(move |(key, _)| key.starts_with(prefix))
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }

    fn put(&mut self, key: String, object: Arc<K>) -> Option<Arc<K>> {
        let uid = object.metadata().uid;
        let old = self.by_key.insert(key.clone(), object);
        if let Some(old) = &old {
            self.by_uid.remove(&old.metadata().uid);
        }
        self.by_uid.insert(uid, key);
        old
    }

    fn remove(&mut self, key: &str) -> Option<Arc<K>> {
        let old = self.by_key.remove(key)?;
        self.by_uid.remove(&old.metadata().uid);
        Some(old)
    }
}

/// All tables and what is derived from them.
#[derive(Debug, Default)]
#[allow(missing_docs)]
pub struct Tables {
    pub vms: Table<Vm>,
    pub workers: Table<Worker>,
    pub images: Table<Image>,
    pub projects: Table<Project>,
    pub accounts: Table<ServiceAccount>,
    pub bindings: Table<RoleBinding>,
    pub join_tokens: Table<JoinToken>,
    pub settings: Table<Settings>,
    pub fleets: Table<Fleet>,
    pub credentials: Table<Credential>,
    pub operations: Table<Operation>,
    /// The sealed keys of VMs.
    vm_keys: HashMap<Uid, Arc<str>>,
    /// VMs by the worker that holds them.
    vms_of: HashMap<Uid, BTreeSet<Uid>>,
    /// Accounts and workers by the hash of their token.
    token_owners: HashMap<String, Uid>,
    revision: Revision,
    history: VecDeque<Arc<Change>>,
    /// The history is complete after this revision.
    history_from: Revision,
}

impl Tables {
    /// The revision they show.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// The VMs that a worker holds.
    pub fn vms_of(&self, worker: Uid) -> impl Iterator<Item = &Arc<Vm>> {
        self.vms_of.get(&worker).into_iter().flatten().filter_map(|uid| self.vms.by_uid(*uid))
    }

    /// The sealed keys of a VM.
    pub fn vm_keys(&self, vm: Uid) -> Option<&Arc<str>> {
        self.vm_keys.get(&vm)
    }

    /// The uid of the account or worker whose token has this hash.
    pub fn token_owner(&self, hash: &str) -> Option<Uid> {
        self.token_owners.get(hash).copied()
    }

    /// The cluster's settings, or the defaults before there are any.
    pub fn cluster_settings(&self) -> api::SettingsSpec {
        self.settings.iter().next().map(|s| s.spec.clone()).unwrap_or_default()
    }

    /// What a change of a VM means for the indexes.
    fn index_vm(&mut self, old: Option<&Vm>, new: Option<(&Vm, Option<String>)>) {
        if let Some(old) = old {
            if let Some(worker) = &old.status.worker
                && let Some(set) = self.vms_of.get_mut(&worker.uid)
            {
                set.remove(&old.metadata.uid);
            }
            if new.as_ref().is_none_or(|(vm, _)| vm.metadata.uid != old.metadata.uid) {
                self.vm_keys.remove(&old.metadata.uid);
            }
        }
        if let Some((vm, keys)) = new {
            if let Some(worker) = &vm.status.worker {
                self.vms_of.entry(worker.uid).or_default().insert(vm.metadata.uid);
            }
            if let Some(keys) = keys {
                self.vm_keys.insert(vm.metadata.uid, keys.into());
            }
        }
    }

    fn index_token(&mut self, old: Option<&Option<Secret>>, new: Option<&(Option<Secret>, Uid)>) {
        if let Some(Some(hash)) = old {
            self.token_owners.remove(hash.expose_secret());
        }
        if let Some((Some(hash), uid)) = new {
            self.token_owners.insert(hash.expose_secret().to_owned(), *uid);
        }
    }

    fn apply(
        &mut self,
        seal: &Seal,
        key: &str,
        entry: Option<&store::Entry>,
        revision: Revision,
    ) -> Result<()> {
        macro_rules! dispatch {
            ($directory:expr; $($kind:ty, $table:ident, $after:expr;)*) => {
                match $directory {
                    $(<$kind as Kind>::DIRECTORY => {
                        let decoded = match entry {
                            Some(e) => Some(codec::decode::<$kind>(seal, &e.value, e.modified)?),
                            None => None,
                        };
                        let (new, keys) = decoded.map_or((None, None), |d| (Some(Arc::new(d.object)), d.keys));
                        let old = match &new {
                            Some(object) => self.$table.put(key.to_owned(), object.clone()),
                            None => self.$table.remove(key),
                        };
                        #[allow(clippy::redundant_closure_call)]
                        ($after)(self, &old, &new, keys);
                        self.remember(revision, old, new);
                    })*
                    _ => {}
                }
            };
        }
        let directory = key.split('/').nth(1).unwrap_or_default();
        dispatch! { directory;
            Vm, vms, |t: &mut Tables, old: &Option<Arc<Vm>>, new: &Option<Arc<Vm>>, keys| {
                t.index_vm(old.as_deref(), new.as_deref().map(|vm| (vm, keys)));
            };
            Worker, workers, |t: &mut Tables, old: &Option<Arc<Worker>>, new: &Option<Arc<Worker>>, _| {
                let hash = |w: &'_ Arc<Worker>| w.status.token_hash.clone();
                t.index_token(old.as_ref().map(hash).as_ref(), new.as_ref().map(|w| (hash(w), w.metadata.uid)).as_ref());
            };
            Image, images, |_: &mut Tables, _: &_, _: &_, _| {};
            Project, projects, |_: &mut Tables, _: &_, _: &_, _| {};
            ServiceAccount, accounts, |t: &mut Tables, old: &Option<Arc<ServiceAccount>>, new: &Option<Arc<ServiceAccount>>, _| {
                let hash = |a: &'_ Arc<ServiceAccount>| a.status.token_hash.clone();
                t.index_token(old.as_ref().map(hash).as_ref(), new.as_ref().map(|a| (hash(a), a.metadata.uid)).as_ref());
            };
            RoleBinding, bindings, |_: &mut Tables, _: &_, _: &_, _| {};
            JoinToken, join_tokens, |_: &mut Tables, _: &_, _: &_, _| {};
            Settings, settings, |_: &mut Tables, _: &_, _: &_, _| {};
            Fleet, fleets, |_: &mut Tables, _: &_, _: &_, _| {};
            Credential, credentials, |_: &mut Tables, _: &_, _: &_, _| {};
            Operation, operations, |_: &mut Tables, _: &_, _: &_, _| {};
        }
        Ok(())
    }

    fn remember<K: Kind>(&mut self, revision: Revision, old: Option<Arc<K>>, new: Option<Arc<K>>) {
        let kind = if new.is_some() { ChangeKind::Put } else { ChangeKind::Deleted };
        let Some(object) = new.or_else(|| old.clone()) else { return };
        let change = Change {
            revision,
            kind,
            old: old.map(K::any),
            object: K::any(object),
            rendered: OnceLock::new(),
        };
        self.history.push_back(Arc::new(change));
        if self.history.len() > HISTORY
            && let Some(first) = self.history.pop_front()
        {
            self.history_from = first.revision;
        }
    }
}

/// The view: cheap to clone, always a little behind the store and never ahead of it.
#[derive(Clone, Debug)]
pub struct View {
    tables: Arc<RwLock<Tables>>,
    revision: watch::Receiver<Revision>,
}

impl View {
    /// Reads the whole store, then follows it in a task that lives as long as the returned handle.
    pub async fn open(store: Arc<dyn Store>, seal: Arc<Seal>) -> Result<(View, rt::task::Task<()>)> {
        let mut tables = Tables::default();
        let revision = load(&*store, &seal, &mut tables).await?;
        tables.history.clear();
        (tables.revision, tables.history_from) = (revision, revision);
        let (sender, receiver) = watch::channel(revision);
        let view = View { tables: Arc::new(RwLock::new(tables)), revision: receiver };
        let watch = store.watch("/", revision).await?;
        let task = rt::task::spawn("view", follow(view.tables.clone(), store, seal, watch, sender));
        Ok((view, task))
    }

    /// Reads under a lock: keep it short.
    pub fn read<T>(&self, look: impl FnOnce(&Tables) -> T) -> T {
        look(&self.tables.read())
    }

    /// One object by its store key.
    pub fn get<K: Kind>(&self, key: &str) -> Option<Arc<K>> {
        self.read(|t| K::table(t).get(key).cloned())
    }

    /// One object by its uid.
    pub fn by_uid<K: Kind>(&self, uid: Uid) -> Option<Arc<K>> {
        self.read(|t| K::table(t).by_uid(uid).cloned())
    }

    /// Waits until the view shows at least `revision`, so that a writer reads its own writes.
    pub async fn at_least(&self, revision: Revision) -> Result<()> {
        let mut receiver = self.revision.clone();
        receiver
            .wait_for(|r| *r >= revision)
            .await
            .map(|_| ())
            .map_err(|_| Error::unavailable("the controller is stopping").hint("try again in a moment"))
    }

    /// The newest revision it shows.
    pub fn revision(&self) -> Revision {
        *self.revision.borrow()
    }

    /// Whether a follower may begin at `since`. [`Code::Gone`] where it may not.
    pub fn reaches(&self, since: Revision) -> Result<()> {
        self.changes(since, 0).map(|_| ())
    }

    /// A follower from `since` on.
    pub fn follow(&self, since: Revision) -> Follower {
        Follower { view: self.clone(), receiver: self.revision.clone(), at: since }
    }

    /// The changes after `since`, at most `limit`, and the revision they lead to.
    fn changes(&self, since: Revision, limit: usize) -> Result<(Vec<Arc<Change>>, Revision)> {
        let tables = self.tables.read();
        if since > tables.revision
            || since < tables.history_from
            || since.incarnation != tables.revision.incarnation
        {
            return Err(Error::new(Code::Gone, format!("the changes since {since} are no longer kept"))
                .hint("list again, and watch from the revision of that list"));
        }
        let start = tables.history.partition_point(|c| c.revision <= since);
        let mut changes: Vec<_> = tables.history.range(start..).take(limit).cloned().collect();
        if changes.len() < limit || limit == 0 {
            return Ok((changes, tables.revision));
        }
        // Whole commits only: what belongs to the last revision goes along.
        let last = changes.last().map_or(since, |c| c.revision);
        let rest = tables.history.range(start + changes.len()..).take_while(|c| c.revision == last);
        changes.extend(rest.cloned());
        Ok((changes, last))
    }
}

/// Reads the view's changes in order, without gaps.
#[derive(Debug)]
pub struct Follower {
    view: View,
    receiver: watch::Receiver<Revision>,
    at: Revision,
}

impl Follower {
    /// Up to where it has read.
    pub fn at(&self) -> Revision {
        self.at
    }

    /// Waits for the next changes. [`Code::Gone`] when they were so many that some are lost: list again.
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> Result<Vec<Arc<Change>>> {
        let at = self.at;
        self.receiver
            .wait_for(|r| *r > at)
            .await
            .map_err(|_| Error::unavailable("the controller is stopping").hint("try again in a moment"))?;
        let (changes, revision) = self.view.changes(self.at, 1000)?;
        self.at = revision;
        Ok(changes)
    }

    /// Continues at the present, skipping what lies between.
    pub fn skip_to_now(&mut self) {
        self.at = self.view.revision();
    }
}

async fn load(store: &dyn Store, seal: &Seal, tables: &mut Tables) -> Result<Revision> {
    let mut first = None;
    let mut after: Option<String> = None;
    loop {
        let page = store.list("/", after.as_deref(), PAGE).await?;
        first.get_or_insert(page.revision);
        for entry in &page.entries {
            tables.apply(seal, &entry.key, Some(entry), entry.modified)?;
        }
        after = page.entries.last().map(|e| e.key.clone());
        if !page.more {
            return Ok(first.unwrap_or(page.revision));
        }
    }
}

async fn follow(
    tables: Arc<RwLock<Tables>>,
    store: Arc<dyn Store>,
    seal: Arc<Seal>,
    mut watch: store::Watch,
    sender: watch::Sender<Revision>,
) {
    loop {
        let batch = match watch.next().await {
            Ok(batch) => batch,
            Err(e) if e.code == Code::Gone => {
                tracing::error!(error = %e, "the view fell behind the store and reads it again");
                match reload(&tables, &*store, &seal).await {
                    Ok((revision, again)) => {
                        watch = again;
                        sender.send_replace(revision);
                        continue;
                    }
                    Err(e) => return tracing::error!(error = %e, "the view cannot read the store"),
                }
            }
            Err(e) => return tracing::info!(error = %e, "the view ends"),
        };
        {
            let mut tables = tables.write();
            for change in &batch.changes {
                if let Err(e) = tables.apply(&seal, &change.key, change.entry.as_ref(), change.revision) {
                    tracing::error!(error = %e, key = change.key, "a stored value cannot be read");
                }
            }
            tables.revision = batch.revision;
        }
        sender.send_replace(batch.revision);
    }
}

async fn reload(tables: &RwLock<Tables>, store: &dyn Store, seal: &Seal) -> Result<(Revision, store::Watch)> {
    let mut fresh = Tables::default();
    let revision = load(store, seal, &mut fresh).await?;
    fresh.history.clear();
    (fresh.revision, fresh.history_from) = (revision, revision);
    *tables.write() = fresh;
    Ok((revision, store.watch("/", revision).await?))
}

impl Any {
    /// As JSON, without its secrets.
    pub fn json(&self) -> Option<serde_json::Value> {
        fn shown<K: Kind>(object: &K) -> Option<serde_json::Value> {
            serde_json::to_value(codec::redacted(object.clone())).ok()
        }
        match self {
            Any::Vm(o) => shown(&**o),
            Any::Worker(o) => shown(&**o),
            Any::Image(o) => shown(&**o),
            Any::Project(o) => shown(&**o),
            Any::ServiceAccount(o) => shown(&**o),
            Any::RoleBinding(o) => shown(&**o),
            Any::JoinToken(o) => shown(&**o),
            Any::Settings(o) => shown(&**o),
            Any::Fleet(o) => shown(&**o),
            Any::Credential(o) => shown(&**o),
            Any::Operation(o) => shown(&**o),
        }
    }

    /// Its kind, as in events and watches.
    pub fn kind(&self) -> &'static str {
        match self {
            Any::Vm(_) => Vm::KIND,
            Any::Worker(_) => Worker::KIND,
            Any::Image(_) => Image::KIND,
            Any::Project(_) => Project::KIND,
            Any::ServiceAccount(_) => ServiceAccount::KIND,
            Any::RoleBinding(_) => RoleBinding::KIND,
            Any::JoinToken(_) => JoinToken::KIND,
            Any::Settings(_) => Settings::KIND,
            Any::Fleet(_) => Fleet::KIND,
            Any::Credential(_) => Credential::KIND,
            Any::Operation(_) => Operation::KIND,
        }
    }

    /// What a role must allow to see it.
    pub fn resource(&self) -> api::access::Resource {
        match self {
            Any::Vm(_) => Vm::RESOURCE,
            Any::Worker(_) => Worker::RESOURCE,
            Any::Image(_) => Image::RESOURCE,
            Any::Project(_) => Project::RESOURCE,
            Any::ServiceAccount(_) => ServiceAccount::RESOURCE,
            Any::RoleBinding(_) => RoleBinding::RESOURCE,
            Any::JoinToken(_) => JoinToken::RESOURCE,
            Any::Settings(_) => Settings::RESOURCE,
            Any::Fleet(_) => Fleet::RESOURCE,
            Any::Credential(_) => Credential::RESOURCE,
            Any::Operation(_) => Operation::RESOURCE,
        }
    }

    /// Who it is.
    pub fn metadata(&self) -> &api::Metadata {
        match self {
            Any::Vm(o) => &o.metadata,
            Any::Worker(o) => &o.metadata,
            Any::Image(o) => &o.metadata,
            Any::Project(o) => &o.metadata,
            Any::ServiceAccount(o) => &o.metadata,
            Any::RoleBinding(o) => &o.metadata,
            Any::JoinToken(o) => &o.metadata,
            Any::Settings(o) => &o.metadata,
            Any::Fleet(o) => &o.metadata,
            Any::Credential(o) => &o.metadata,
            Any::Operation(o) => &o.metadata,
        }
    }

    /// The project whose members may see it; for a project, that project itself.
    pub fn project(&self) -> Option<&Name> {
        match self {
            Any::Project(p) => Some(&p.metadata.name),
            other => other.metadata().project.as_ref(),
        }
    }
}
