//! How things change: one commit with the object, its event, the audit record and the result of an idempotent request.

use crate::{
    caller::{Caller, Idempotency},
    codec,
    kind::{Kind, key_of},
    seal::Seal,
    view::View,
};
use api::{
    Metadata, Verb,
    record::{AuditRecord, Event},
};
use base::{Error, Name, Result, Revision, Secret, Uid};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::sync::Arc;
use store::{Commit, CommitError, Record, Store};
use tokio::sync::Mutex;

/// Events: scope `PROJECT/UID`, or `-/UID` for what belongs to the cluster.
pub const EVENT: &str = "event";
/// Audit records.
pub const AUDIT: &str = "audit";
/// Results of idempotent requests, by account and key.
pub const IDEMPOTENCY: &str = "idempotency";

/// How often a change is tried again when others change the same object.
const ATTEMPTS: usize = 32;
/// Queues for those who found that others change the same object.
const QUEUES: usize = 64;

/// The scope of an object's events.
pub fn event_scope(project: Option<&Name>, uid: Uid) -> String {
    format!("{}/{uid}", project.map_or("-", Name::as_str))
}

/// What is kept of an idempotent request.
#[derive(Serialize, Deserialize)]
struct KeptAnswer {
    v: u32,
    fingerprint: String,
    /// The answer, sealed: it may hold a token.
    answer: String,
}

/// Makes commits, and waits until the view shows them.
#[derive(Clone)]
pub struct Writer {
    store: Arc<dyn Store>,
    seal: Arc<Seal>,
    view: View,
    queues: Arc<[Mutex<()>; QUEUES]>,
}

/// What is written together.
pub struct Change<'w> {
    writer: &'w Writer,
    commit: Commit,
}

impl Writer {
    /// A writer to this store, whose changes this view shows.
    pub fn new(store: Arc<dyn Store>, seal: Arc<Seal>, view: View) -> Self {
        let queues = Arc::new(std::array::from_fn(|_| Mutex::new(())));
        Writer { store, seal, view, queues }
    }

    /// The key that seals secrets.
    pub fn seal(&self) -> &Seal {
        &self.seal
    }

    /// The store.
    pub fn store(&self) -> &dyn Store {
        &*self.store
    }

    /// Starts a change.
    pub fn change(&self) -> Change<'_> {
        Change { writer: self, commit: Commit::new() }
    }

    /// Changes one object, again when somebody else changed it meanwhile: no edit is lost. `edit` says false where
    /// nothing is to be done. Answers the object as it is then. [`base::Code::NotFound`] where it is gone.
    pub async fn update<K: Kind>(
        &self,
        uid: Uid,
        mut edit: impl FnMut(&mut K, &mut Change<'_>) -> Result<bool>,
    ) -> Result<Arc<K>> {
        let mut turn = None;
        for _ in 0..ATTEMPTS {
            let Some(old) = self.view.by_uid::<K>(uid) else {
                return Err(Error::not_found(format!("the {} is gone", K::KIND)));
            };
            let mut object = K::clone(&old);
            let mut change = self.change();
            if !edit(&mut object, &mut change)? {
                return Ok(old);
            }
            change.put(&object)?;
            match change.commit().await {
                Ok(revision) => {
                    object.metadata_mut().revision = revision;
                    return Ok(Arc::new(object));
                }
                Err(e) => self.catch_up(e).await?,
            }
            // One who lost waits for his turn: many who all lose to each other would get nowhere.
            if turn.is_none() {
                turn = Some(self.queues[usize::from(uid.as_bytes()[15]) % QUEUES].lock().await);
            }
        }
        Err(Error::conflict(format!("the {} is being changed by others all the time", K::KIND))
            .hint("try again"))
    }

    /// After a refused commit: waits until the view shows what stood in its way. Other failures are errors.
    pub async fn catch_up(&self, error: CommitError) -> Result<()> {
        match error {
            CommitError::Precondition { current, .. } => {
                self.view.at_least(current.unwrap_or_else(|| self.store.revision())).await
            }
            other => Err(other.into()),
        }
    }

    /// Ends a VM on behalf of the system: at once where it has no worker, else when its worker has removed it.
    pub async fn end_vm(&self, uid: Uid, reason: &str, message: &str) -> Result<()> {
        loop {
            let Some(vm) = self.view.by_uid::<api::Vm>(uid) else { return Ok(()) };
            if vm.metadata.deleted_at.is_some() {
                return Ok(());
            }
            let mut change = self.change();
            change.event("vm", &vm.metadata, reason, message)?;
            match crate::placement::mark_deleted(&vm) {
                Some(marked) => change.put(&marked)?,
                None => change.delete(&*vm),
            }
            match change.commit().await {
                Ok(_) => return Ok(()),
                Err(e) => self.catch_up(e).await?,
            }
        }
    }

    /// The answer that was given to this request before, if it was.
    pub async fn replay<T: DeserializeOwned>(&self, caller: &Caller) -> Result<Option<T>> {
        let Some(idempotency) = &caller.idempotency else { return Ok(None) };
        let key = idempotency_key(caller, idempotency);
        let Some(record) = self.store.record_by_key(IDEMPOTENCY, &key).await? else { return Ok(None) };
        let unreadable = |e| Error::internal("the kept answer of this request cannot be read").because(e);
        let kept: KeptAnswer = serde_json::from_slice(&record.value).map_err(unreadable)?;
        if kept.fingerprint != idempotency.fingerprint {
            return Err(Error::conflict("this Idempotency-Key was used for another request")
                .at("Idempotency-Key")
                .hint("use a new key for each request, and the same one only to repeat it unchanged"));
        }
        let text = self.seal.open_text(&key, &kept.answer)?;
        self.view.at_least(record.revision).await?;
        let mut answer: serde_json::Value = serde_json::from_str(text.expose_secret()).map_err(unreadable)?;
        // The answer was kept in the commit that gave the object its revision.
        if let Some(revision) = answer.pointer_mut("/metadata/revision") {
            *revision = serde_json::to_value(record.revision).map_err(unreadable)?;
        }
        serde_json::from_value(answer).map(Some).map_err(unreadable)
    }

    /// Writes only an audit record: for refusals and for what changes no object.
    pub async fn audit(
        &self,
        caller: &Caller,
        verb: Verb,
        project: Option<&Name>,
        result: &str,
    ) -> Result<()> {
        let mut change = self.change();
        change.audit(caller, verb, project, result)?;
        change.commit().await?;
        Ok(())
    }
}

impl Change<'_> {
    /// A new object: refused where its name is taken. A VM comes with its sealed keys.
    pub fn create<K: Kind>(&mut self, object: &K, keys: Option<&str>) -> Result<()> {
        let key = key_of(object);
        let value = codec::encode(&self.writer.seal, object, keys)?;
        self.commit = std::mem::take(&mut self.commit).absent(&key).put(key, value);
        Ok(())
    }

    /// A changed object: refused where it is no longer as it was read.
    pub fn put<K: Kind>(&mut self, object: &K) -> Result<()> {
        let m = object.metadata();
        let keys = self.writer.view.read(|t| t.vm_keys(m.uid).cloned());
        let value = codec::encode(&self.writer.seal, object, keys.as_deref())?;
        let key = key_of(object);
        self.commit = std::mem::take(&mut self.commit).at(&key, m.revision).put(key, value);
        Ok(())
    }

    /// Removes an object: refused where it is no longer as it was read.
    pub fn delete<K: Kind>(&mut self, object: &K) {
        let key = key_of(object);
        self.commit = std::mem::take(&mut self.commit).at(&key, object.metadata().revision).delete(key);
    }

    /// Requires that another object exists.
    pub fn require(&mut self, key: &str) {
        self.commit = std::mem::take(&mut self.commit).exists(key);
    }

    /// Adds an event.
    pub fn event(
        &mut self,
        kind: &str,
        m: &Metadata,
        reason: &str,
        message: impl Into<String>,
    ) -> Result<()> {
        self.add_event(kind, m, reason, message.into(), false)
    }

    /// Adds an event that somebody should look at.
    pub fn warning(
        &mut self,
        kind: &str,
        m: &Metadata,
        reason: &str,
        message: impl Into<String>,
    ) -> Result<()> {
        self.add_event(kind, m, reason, message.into(), true)
    }

    fn add_event(
        &mut self,
        kind: &str,
        m: &Metadata,
        reason: &str,
        message: String,
        warning: bool,
    ) -> Result<()> {
        let event = Event {
            id: 0,
            time: rt::clock::wall(),
            kind: kind.to_owned(),
            name: m.name.clone(),
            project: m.project.clone(),
            uid: m.uid,
            reason: reason.to_owned(),
            message,
            warning,
        };
        self.record(EVENT, event_scope(m.project.as_ref(), m.uid), None, &event)
    }

    /// Adds an audit record. `result` is `ok` or an error's code.
    pub fn audit(&mut self, caller: &Caller, verb: Verb, project: Option<&Name>, result: &str) -> Result<()> {
        let record = AuditRecord {
            id: 0,
            time: rt::clock::wall(),
            principal: caller.principal.name.to_string(),
            source: caller.source.clone(),
            request_id: caller.request_id.clone(),
            verb: format!("{verb:?}").to_lowercase(),
            path: caller.path.clone(),
            project: project.cloned(),
            result: result.to_owned(),
        };
        self.record(AUDIT, String::new(), None, &record)
    }

    /// Keeps the answer, so that the same request again gets it and does nothing.
    pub fn answer(&mut self, caller: &Caller, answer: &impl Serialize) -> Result<()> {
        let Some(idempotency) = &caller.idempotency else { return Ok(()) };
        let key = idempotency_key(caller, idempotency);
        let text = serde_json::to_string(answer)
            .map_err(|e| Error::internal("an answer cannot be kept").because(e))?;
        let answer = self.writer.seal.seal(&key, &Secret::new(text))?;
        let kept = KeptAnswer { v: codec::VERSION, fingerprint: idempotency.fingerprint.clone(), answer };
        self.record(IDEMPOTENCY, String::new(), Some(key), &kept)
    }

    fn record(
        &mut self,
        kind: &str,
        scope: String,
        key: Option<String>,
        value: &impl Serialize,
    ) -> Result<()> {
        let value = serde_json::to_vec(value)
            .map_err(|e| Error::internal("a record cannot be written").because(e))?;
        let at_ms = rt::clock::wall().as_millisecond();
        let record = Record { kind: kind.to_owned(), scope, key, at_ms, value: value.into() };
        self.commit = std::mem::take(&mut self.commit).record(record);
        Ok(())
    }

    /// Writes it all, durably, and waits until the view shows it.
    pub async fn commit(self) -> Result<Revision, CommitError> {
        let revision = self.writer.store.commit(self.commit).await?;
        self.writer.view.at_least(revision).await?;
        Ok(revision)
    }
}

fn idempotency_key(caller: &Caller, idempotency: &Idempotency) -> String {
    format!("{}/{}", caller.principal.uid, idempotency.key)
}
