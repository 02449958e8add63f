//! What belongs to the cluster: workers, projects, accounts, tokens, settings, records, backups.

use super::wants_watch;
use crate::{
    request::{Request, empty, json, object, page, read_body},
    watch,
};
use api::{
    JoinTokenSpec, NewObject, Patch, ProjectSpec, RoleBindingSpec, ServiceAccountSpec,
    access::WhoAmI,
    query::{DeleteWorkerQuery, RecordQuery},
    strict,
    worker::AdoptRequest,
};
use axum::{
    body::Body,
    http::{Response, StatusCode},
};
use base::{Error, Result, Uid};
use controller::{Kind, RecordPage, Sees};
use serde::Serialize;

pub(super) fn version(r: &Request) -> Result<Response<Body>> {
    let version = serde_json::json!({
        "version": env!("CARGO_PKG_VERSION"),
        "caPin": r.controller.ca().pin().to_string(),
    });
    json(StatusCode::OK, &version)
}

pub(super) fn who_am_i(r: &Request) -> Result<Response<Body>> {
    let principal = r.principal()?;
    json(StatusCode::OK, &WhoAmI { account: principal.name.clone(), roles: principal.roles.clone() })
}

pub(super) async fn join(r: Request) -> Result<Response<Body>> {
    let body = read_body(r.take_body()).await?;
    let request = strict::from_slice(&body)?;
    json(StatusCode::OK, &r.controller.join(&r.source, &r.id, request).await?)
}

pub(super) fn list<K: Kind>(r: &Request) -> Result<Response<Body>> {
    if wants_watch(r) {
        return watch::serve_kind(r, K::KIND, None);
    }
    page(r.controller.list::<K>(None, &Sees::Everything, &r.page_query()?))
}

pub(super) fn get<K: Kind>(r: &Request) -> Result<Response<Body>> {
    object(StatusCode::OK, &r.controller.get::<K>(None, r.parameter("name")?)?)
}

pub(super) fn list_workers(r: &Request) -> Result<Response<Body>> {
    if wants_watch(r) {
        return watch::serve_kind(r, "worker", None);
    }
    page(r.controller.list_workers(&Sees::Everything, &r.page_query()?))
}

pub(super) fn get_worker(r: &Request) -> Result<Response<Body>> {
    object(StatusCode::OK, &r.controller.get_worker(r.parameter("name")?)?)
}

pub(super) async fn patch_worker(r: Request) -> Result<Response<Body>> {
    let (caller, patch) = r.json::<Patch>().await?;
    object(StatusCode::OK, &r.controller.patch_worker(&caller, r.parameter("name")?, &patch).await?)
}

pub(super) async fn delete_worker(r: &Request) -> Result<Response<Body>> {
    let query: DeleteWorkerQuery = r.query()?;
    r.controller.delete_worker(&r.caller()?, r.parameter("name")?, query.confirm_dead).await?;
    Ok(empty())
}

fn vm_uid(r: &Request) -> Result<Uid> {
    r.parameter("uid")?.parse().map_err(|e: Error| e.at("uid"))
}

pub(super) async fn adopt_vm(r: Request) -> Result<Response<Body>> {
    let (caller, request) = r.json::<AdoptRequest>().await?;
    object(
        StatusCode::CREATED,
        &r.controller.adopt_vm(&caller, r.parameter("name")?, vm_uid(&r)?, request).await?,
    )
}

pub(super) async fn remove_unclaimed(r: &Request) -> Result<Response<Body>> {
    r.controller.remove_unclaimed(&r.caller()?, r.parameter("name")?, vm_uid(r)?).await?;
    Ok(empty())
}

pub(super) fn list_projects(r: &Request) -> Result<Response<Body>> {
    if wants_watch(r) {
        return watch::serve_kind(r, "project", None);
    }
    page(r.controller.list_projects(&r.sees()?, &r.page_query()?))
}

pub(super) fn get_project(r: &Request) -> Result<Response<Body>> {
    object(StatusCode::OK, &r.controller.get_project(&r.sees()?, r.parameter("name")?)?)
}

pub(super) async fn create_project(r: Request) -> Result<Response<Body>> {
    let (caller, new) = r.json::<NewObject<ProjectSpec>>().await?;
    object(StatusCode::CREATED, &r.controller.create_project(&caller, new).await?)
}

pub(super) async fn delete_project(r: &Request) -> Result<Response<Body>> {
    r.controller.delete_project(&r.caller()?, r.parameter("name")?).await?;
    Ok(empty())
}

pub(super) async fn create_account(r: Request) -> Result<Response<Body>> {
    let (caller, new) = r.json::<NewObject<ServiceAccountSpec>>().await?;
    json(StatusCode::CREATED, &r.controller.create_account(&caller, new).await?)
}

pub(super) async fn patch_account(r: Request) -> Result<Response<Body>> {
    let (caller, patch) = r.json::<Patch>().await?;
    object(StatusCode::OK, &r.controller.patch_account(&caller, r.parameter("name")?, &patch).await?)
}

pub(super) async fn delete_account(r: &Request) -> Result<Response<Body>> {
    r.controller.delete_account(&r.caller()?, r.parameter("name")?).await?;
    Ok(empty())
}

pub(super) async fn rotate_token(r: &Request) -> Result<Response<Body>> {
    json(StatusCode::OK, &r.controller.rotate_token(&r.caller()?, r.parameter("name")?).await?)
}

pub(super) async fn create_binding(r: Request) -> Result<Response<Body>> {
    let (caller, new) = r.json::<NewObject<RoleBindingSpec>>().await?;
    object(StatusCode::CREATED, &r.controller.create_binding(&caller, new).await?)
}

pub(super) async fn delete_binding(r: &Request) -> Result<Response<Body>> {
    r.controller.delete_binding(&r.caller()?, r.parameter("name")?).await?;
    Ok(empty())
}

pub(super) async fn create_join_token(r: Request) -> Result<Response<Body>> {
    let (caller, new) = r.json::<NewObject<JoinTokenSpec>>().await?;
    object(StatusCode::CREATED, &r.controller.create_join_token(&caller, new).await?)
}

pub(super) async fn delete_join_token(r: &Request) -> Result<Response<Body>> {
    r.controller.delete_join_token(&r.caller()?, r.parameter("name")?).await?;
    Ok(empty())
}

pub(super) fn get_settings(r: &Request) -> Result<Response<Body>> {
    object(StatusCode::OK, &r.controller.get_settings()?)
}

pub(super) async fn patch_settings(r: Request) -> Result<Response<Body>> {
    let (caller, patch) = r.json::<Patch>().await?;
    object(StatusCode::OK, &r.controller.patch_settings(&caller, &patch).await?)
}

pub(super) async fn events(r: &Request) -> Result<Response<Body>> {
    let query: RecordQuery = r.query()?;
    records(r, r.controller.events(&r.sees()?, &query).await?)
}

pub(super) async fn audit(r: &Request) -> Result<Response<Body>> {
    let query: RecordQuery = r.query()?;
    records(r, r.controller.audit_records(&query).await?)
}

fn records<T: Serialize>(r: &Request, page: RecordPage<T>) -> Result<Response<Body>> {
    let revision = r.controller.view().revision();
    json(StatusCode::OK, &api::List { items: page.items, revision, next: page.next })
}

pub(super) async fn create_backup(r: &Request) -> Result<Response<Body>> {
    object(StatusCode::ACCEPTED, &r.controller.create_backup(&r.caller()?).await?)
}
