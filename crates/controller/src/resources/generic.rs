//! What is alike for all kinds: get, list, create, patch, delete.

use crate::{
    caller::{Caller, Sees},
    change::Change,
    codec::redacted,
    controller::Controller,
    kind::{self, Kind},
};
use api::{
    Metadata, NewObject, Object, Patch, Verb, strict,
    validate::{self, Validate},
};
use base::{Code, Error, Name, Result, Revision};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use std::{collections::BTreeMap, sync::Arc};
use store::{CommitError, Precondition};

/// Which objects, and how many.
#[derive(Clone, Debug, Default)]
pub struct PageQuery {
    /// Most objects of the page.
    pub limit: usize,
    /// Continues after this cursor.
    pub cursor: Option<String>,
    /// Only those with all these labels.
    pub labels: BTreeMap<String, String>,
}

/// One page of a list.
#[derive(Debug)]
pub struct Page<K> {
    /// The objects, without their secrets.
    pub items: Vec<K>,
    /// The revision they show.
    pub revision: Revision,
    /// The cursor of the next page.
    pub next: Option<String>,
}

/// `web` is not there: what a caller is told about a missing object, and about one that is none of his business.
pub(crate) fn missing<K: Kind>(name: &str) -> Error {
    let noun = K::KIND;
    Error::not_found(format!("there is no {noun} '{name}'")).hint(format!("see: hostler {noun} list"))
}

/// Refuses a change of an object that is no longer as the caller read it.
pub(crate) fn if_match(caller: &Caller, metadata: &Metadata) -> Result<()> {
    match caller.if_match {
        Some(revision) if revision != metadata.revision => Err(Error::new(
            Code::PreconditionFailed,
            format!("'{}' has changed since you read it", metadata.name),
        )
        .at("If-Match")
        .because(format!("it is at revision {}, not {revision}", metadata.revision))
        .hint("read it again, then repeat the change")),
        _ => Ok(()),
    }
}

/// Applies a JSON merge patch (RFC 7396).
pub(crate) fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(serde_json::Map::new());
    }
    let Some(target) = target.as_object_mut() else { return };
    for (key, value) in patch {
        if value.is_null() {
            target.remove(key);
        } else {
            merge(target.entry(key.clone()).or_insert(Value::Null), value);
        }
    }
}

/// The value after a merge patch, read strictly; failures are placed under `field`.
pub(crate) fn patched<T: Serialize + DeserializeOwned>(
    field: &str,
    old: &T,
    patch: Option<&Value>,
) -> Result<T> {
    let mut value = serde_json::to_value(old).map_err(|e| Error::internal("cannot patch").because(e))?;
    if let Some(patch) = patch {
        if !patch.is_object() {
            return Err(Error::invalid(field, "a patch is a JSON object (RFC 7396)"));
        }
        merge(&mut value, patch);
    }
    strict::from_value(value).map_err(|mut e| {
        e.field = Some(format!("{field}{}", e.field.unwrap_or_default()));
        e
    })
}

impl Controller {
    /// One object.
    pub fn get<K: Kind>(&self, project: Option<&Name>, name: &str) -> Result<K> {
        self.find::<K>(project, name).map(|object| redacted(K::clone(&object)))
    }

    /// One object with its secrets.
    pub(crate) fn find<K: Kind>(&self, project: Option<&Name>, name: &str) -> Result<Arc<K>> {
        self.view().get::<K>(&kind::key::<K>(project, name)).ok_or_else(|| missing::<K>(name))
    }

    /// A page of objects: of one project, or of all that the caller sees.
    pub fn list<K: Kind>(&self, project: Option<&Name>, sees: &Sees, query: &PageQuery) -> Page<K> {
        let prefix = match project {
            Some(project) => format!("/{}/{project}/", K::DIRECTORY),
            None => format!("/{}/", K::DIRECTORY),
        };
        self.read(|tables| {
            let fits = |o: &K| {
                let m = o.metadata();
                let own = if K::DIRECTORY == "projects" { Some(&m.name) } else { m.project.as_ref() };
                let seen = *sees == Sees::Everything
                    || K::RESOURCE == api::access::Resource::Image
                    || sees.includes(own);
                seen && query.labels.iter().all(|(k, v)| m.labels.get(k) == Some(v))
            };
            let mut items = Vec::new();
            let mut last = None;
            let mut next = None;
            for (key, object) in K::table(tables).range(&prefix, query.cursor.as_deref()) {
                if !fits(object) {
                    continue;
                }
                if items.len() == query.limit.max(1) {
                    next = last;
                    break;
                }
                items.push(redacted(K::clone(object)));
                last = Some(key.clone());
            }
            Page { items, revision: tables.revision(), next }
        })
    }

    /// Makes an object of a simple kind.
    pub(crate) async fn create_simple<S, T>(
        &self,
        caller: &Caller,
        project: Option<&Name>,
        new: NewObject<S>,
        status: T,
    ) -> Result<Object<S, T>>
    where
        Object<S, T>: Kind<Spec = S>,
        S: Validate,
    {
        validate::labels("/labels", &new.labels)?;
        new.spec.validate()?;
        if let Some(answer) = self.writer().replay(caller).await? {
            return Ok(answer);
        }
        let object = Object {
            metadata: super::new_metadata(new.name, project.cloned(), new.labels),
            spec: new.spec,
            status,
        };
        self.commit_new(caller, object, None, |_| Ok(())).await
    }

    /// Commits a new object; answers with it as a client sees it.
    pub(crate) async fn commit_new<K: Kind>(
        &self,
        caller: &Caller,
        object: K,
        keys: Option<&str>,
        more: impl FnOnce(&mut Change<'_>) -> Result<()>,
    ) -> Result<K> {
        let answer = redacted(object.clone());
        let (mut answer, revision) = self.commit_answered(caller, &object, keys, answer, more).await?;
        if let Some(revision) = revision {
            answer.metadata_mut().revision = revision;
        }
        Ok(answer)
    }

    /// Commits a new object with its event, its audit record and the answer to be kept for a repeated request. Gives the
    /// answer, or the one that was given before, and the revision where something was written.
    pub(crate) async fn commit_answered<K: Kind, A: Serialize + DeserializeOwned>(
        &self,
        caller: &Caller,
        object: &K,
        keys: Option<&str>,
        answer: A,
        more: impl FnOnce(&mut Change<'_>) -> Result<()>,
    ) -> Result<(A, Option<Revision>)> {
        let mut change = self.writer().change();
        change.create(object, keys)?;
        let m = object.metadata();
        change.event(K::KIND, m, "Created", format!("created by {}", caller.principal.name))?;
        change.audit(caller, Verb::Create, m.project.as_ref(), "ok")?;
        change.answer(caller, &answer)?;
        more(&mut change)?;
        match change.commit().await {
            Ok(revision) => Ok((answer, Some(revision))),
            Err(CommitError::RecordExists { .. }) => {
                let before = self.writer().replay(caller).await?;
                let before =
                    before.ok_or_else(|| Error::internal("the kept answer of this request is gone"))?;
                Ok((before, None))
            }
            // Taken by somebody else, or by the same request a moment ago.
            Err(CommitError::Precondition { failed: Precondition::Absent(_), .. }) => {
                self.writer().replay(caller).await?.map(|before| (before, None)).ok_or_else(|| taken::<K>(m))
            }
            Err(e) => Err(e.into()),
        }
    }

    /// Changes labels and spec of an object by a merge patch. `check` sees the old and the new object.
    pub(crate) async fn patch_simple<K: Kind>(
        &self,
        caller: &Caller,
        project: Option<&Name>,
        name: &str,
        patch: &Patch,
        check: impl Fn(&K, &mut K) -> Result<()>,
    ) -> Result<K> {
        self.edit(caller, project, name, |object: &mut K| {
            let labels = patched("/labels", &object.metadata().labels, patch.labels.as_ref())?;
            let spec = patched("/spec", object.spec(), patch.spec.as_ref())?;
            let old = object.clone();
            object.metadata_mut().labels = labels;
            *object.spec_mut() = spec;
            check(&old, object)
        })
        .await
    }

    /// Changes an object on behalf of a caller: validates, counts the generation, writes event and audit record.
    /// What changes nothing writes nothing.
    pub(crate) async fn edit<K: Kind>(
        &self,
        caller: &Caller,
        project: Option<&Name>,
        name: &str,
        apply: impl Fn(&mut K) -> Result<()>,
    ) -> Result<K> {
        let uid = self.find::<K>(project, name)?.metadata().uid;
        let object = self
            .writer()
            .update::<K>(uid, |object, change| {
                if_match(caller, object.metadata())?;
                let old = object.clone();
                apply(object)?;
                if *object == old {
                    return Ok(false);
                }
                validate::labels("/labels", &object.metadata().labels)?;
                object.spec().validate()?;
                if object.spec() != old.spec() {
                    object.metadata_mut().generation += 1;
                }
                let m = object.metadata();
                change.event(K::KIND, m, "Changed", format!("changed by {}", caller.principal.name))?;
                change.audit(caller, Verb::Update, m.project.as_ref(), "ok")?;
                Ok(true)
            })
            .await?;
        Ok(redacted(K::clone(&object)))
    }

    /// Removes an object of a simple kind. `check` may refuse, and may add to the change.
    pub(crate) async fn delete_simple<K: Kind>(
        &self,
        caller: &Caller,
        project: Option<&Name>,
        name: &str,
        check: impl Fn(&K, &mut Change<'_>) -> Result<()>,
    ) -> Result<()> {
        loop {
            let object = self.find::<K>(project, name)?;
            if_match(caller, object.metadata())?;
            let mut change = self.writer().change();
            check(&object, &mut change)?;
            change.delete(&*object);
            change.event(
                K::KIND,
                object.metadata(),
                "Deleted",
                format!("deleted by {}", caller.principal.name),
            )?;
            change.audit(caller, Verb::Delete, project, "ok")?;
            match change.commit().await {
                Ok(_) => return Ok(()),
                Err(e) => self.writer().catch_up(e).await?,
            }
        }
    }
}

/// The answer to a name that is taken.
pub(crate) fn taken<K: Kind>(metadata: &Metadata) -> Error {
    let (noun, name) = (K::KIND, &metadata.name);
    Error::conflict(format!("there is a {noun} '{name}' already"))
        .at("/name")
        .hint(format!("choose another name, or delete that one first: hostler {noun} delete {name}"))
}
