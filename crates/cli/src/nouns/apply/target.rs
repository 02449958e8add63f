//! Making one object be as a document says, or saying what that would change.

use super::{
    Outcome, Report,
    diff::diff,
    document::{Document, Kind},
};
use api::{
    Metadata, NewObject, Patch, Project, ProjectSpec, RoleBinding, RoleBindingSpec, ServiceAccount,
    ServiceAccountSpec, Settings, Vm, VmSpec, Worker, access::NewToken, meta::Labels, routes::RouteId,
};
use base::{Error, Secret};
use client::{Client, Result};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

/// Makes it so.
pub async fn apply(client: &Client, document: &Document) -> Result<Report> {
    match document.kind {
        Kind::Vm => put_vm(client, document).await,
        Kind::Project => create_only::<Project, ProjectSpec>(client, document, |p| &p.spec).await,
        Kind::RoleBinding => create_only::<RoleBinding, RoleBindingSpec>(client, document, |b| &b.spec).await,
        Kind::ServiceAccount => account(client, document).await,
        Kind::Worker => patched(document, RouteId::GetWorker, RouteId::PatchWorker, client, true).await,
        Kind::Settings => {
            patched(document, RouteId::GetSettings, RouteId::PatchSettings, client, false).await
        }
    }
}

/// A PUT is a whole: the server says whether it changed anything by the generation, and labels count as well.
async fn put_vm(client: &Client, document: &Document) -> Result<Report> {
    let key = document.key();
    let before: Option<Vm> = client.find(&key).await?;
    let project = key.project.as_deref().unwrap_or_default();
    let call = client.call(RouteId::PutVm, &[project, &key.name]).json(document.body());
    let after: Vm = call.send().await?;
    let same = |old: &Metadata| {
        let new = &after.metadata;
        old.uid == new.uid && old.generation == new.generation && old.labels == new.labels
    };
    let outcome = match before {
        None => Outcome::Created,
        Some(old) if same(&old.metadata) => Outcome::Unchanged,
        Some(_) => Outcome::Changed,
    };
    Ok(Report::new(document, outcome))
}

/// Kinds that never change once they are made.
async fn create_only<K, S>(client: &Client, document: &Document, spec: impl Fn(&K) -> &S) -> Result<Report>
where
    K: client::Kind,
    S: Serialize + DeserializeOwned + PartialEq + Sync,
{
    let new: NewObject<S> = document.typed()?;
    match client.find::<K>(&document.key()).await? {
        None => {
            client.create::<K, S>(None, &new).await?;
            Ok(Report::new(document, Outcome::Created))
        }
        Some(old) if *spec(&old) == new.spec && old.metadata().labels == new.labels => {
            Ok(Report::new(document, Outcome::Unchanged))
        }
        Some(_) => Err(fixed(document)),
    }
}

fn fixed(document: &Document) -> client::Error {
    let kind = document.kind.as_str();
    Error::conflict(format!(
        "{kind} {} is there and otherwise, and a {kind} cannot be changed",
        document.name
    ))
    .hint("delete it first, or give this one another name")
    .into()
}

async fn account(client: &Client, document: &Document) -> Result<Report> {
    let new: NewObject<ServiceAccountSpec> = document.typed()?;
    let Some(old) = client.find::<ServiceAccount>(&document.key()).await? else {
        let made: NewToken = client.call(RouteId::CreateServiceAccount, &[]).json(&new).send().await?;
        return Ok(Report { token: Some(made.token), ..Report::new(document, Outcome::Created) });
    };
    if old.spec == new.spec && old.metadata.labels == new.labels {
        return Ok(Report::new(document, Outcome::Unchanged));
    }
    let patch = whole_patch(&old.metadata.labels, &new)?;
    client.patch::<ServiceAccount>(&document.key(), &patch).await?;
    Ok(Report::new(document, Outcome::Changed))
}

/// A patch after which labels and spec are as the document says, and nothing else is left of the labels.
fn whole_patch<S: Serialize>(old: &Labels, new: &NewObject<S>) -> Result<Patch> {
    let mut labels = json!(new.labels);
    for gone in old.keys().filter(|k| !new.labels.contains_key(*k)) {
        labels[gone] = Value::Null;
    }
    let spec =
        serde_json::to_value(&new.spec).map_err(|e| Error::internal("cannot write a spec").because(e))?;
    Ok(Patch { labels: Some(labels), spec: Some(spec) })
}

/// Kinds that are there anyway: the fields that the document names are set.
async fn patched(
    document: &Document,
    get: RouteId,
    patch: RouteId,
    client: &Client,
    named: bool,
) -> Result<Report> {
    let name: &[&str] = if named { &[document.name.as_str()] } else { &[] };
    let generation = |object: &Value| object.pointer("/metadata/generation").and_then(Value::as_u64);
    let before: Value = client.call(get, name).send().await?;
    let body = Patch { labels: None, spec: Some(document.spec().clone()) };
    let after: Value = client.call(patch, name).json(&body).send().await?;
    let same = generation(&before) == generation(&after) && before["spec"] == after["spec"];
    Ok(Report::new(document, if same { Outcome::Unchanged } else { Outcome::Changed }))
}

/// Says what would change.
pub async fn plan(client: &Client, document: &Document) -> Result<Report> {
    let key = document.key();
    let changes = match document.kind {
        Kind::Vm => client.find::<Vm>(&key).await?.map(|old| vm_changes(document, &old)).transpose()?,
        Kind::Project => {
            let old = client.find::<Project>(&key).await?;
            old.map(|o| whole::<ProjectSpec>(document, &o.metadata.labels, &o.spec)).transpose()?
        }
        Kind::RoleBinding => {
            let old = client.find::<RoleBinding>(&key).await?;
            old.map(|o| whole::<RoleBindingSpec>(document, &o.metadata.labels, &o.spec)).transpose()?
        }
        Kind::ServiceAccount => {
            let old = client.find::<ServiceAccount>(&key).await?;
            old.map(|o| whole::<ServiceAccountSpec>(document, &o.metadata.labels, &o.spec)).transpose()?
        }
        Kind::Worker => Some(merged(document, &client.get::<Worker>(&key).await?.spec)?),
        Kind::Settings => {
            let settings: Settings = client.call(RouteId::GetSettings, &[]).send().await?;
            Some(merged(document, &settings.spec)?)
        }
    };
    let Some(changes) = changes else { return Ok(Report::new(document, Outcome::Created)) };
    if !changes.is_empty() && matches!(document.kind, Kind::Project | Kind::RoleBinding) {
        return Err(fixed(document));
    }
    let outcome = if changes.is_empty() { Outcome::Unchanged } else { Outcome::Changed };
    Ok(Report { changes, ..Report::new(document, outcome) })
}

fn value(of: &impl Serialize) -> Result<Value> {
    serde_json::to_value(of).map_err(|e| Error::internal("cannot write a spec").because(e).into())
}

fn whole<S: Serialize + DeserializeOwned>(
    document: &Document,
    labels: &Labels,
    old: &S,
) -> Result<Vec<String>> {
    let new: NewObject<S> = document.typed()?;
    let mut changes = diff("labels", &json!(labels), &json!(new.labels));
    changes.extend(diff("spec", &value(old)?, &value(&new.spec)?));
    Ok(changes)
}

fn merged(document: &Document, old: &impl Serialize) -> Result<Vec<String>> {
    let old = value(old)?;
    let mut new = old.clone();
    crate::nouns::merge::merge(&mut new, document.spec().clone());
    Ok(diff("spec", &old, &new))
}

/// As the server counts it: secrets cannot be compared, restarts are never taken back, an image may enlarge the disk.
fn vm_changes(document: &Document, old: &Vm) -> Result<Vec<String>> {
    let mut new: NewObject<VmSpec> = document.typed()?;
    let spec = &mut new.spec;
    spec.restarts = spec.restarts.max(old.spec.restarts);
    spec.disk = spec.disk.max(old.spec.disk);
    spec.guest.password = None;
    if let Some(script) = &mut spec.startup_script {
        script.env.values_mut().for_each(|v| *v = None::<Secret>);
    }
    let mut changes = diff("labels", &json!(old.metadata.labels), &json!(new.labels));
    changes.extend(diff("spec", &value(&old.spec)?, &value(&new.spec)?));
    Ok(changes)
}
