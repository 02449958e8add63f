//! VMs.

use super::wants_watch;
use crate::{
    request::{Request, empty, json, object, page},
    watch,
};
use api::{NewObject, Patch, VmSpec, query::CreateVmQuery};
use axum::{
    body::Body,
    http::{Response, StatusCode},
};
use base::{Error, Name, Result};
use controller::Made;

pub(super) fn list(r: &Request, project: Option<&Name>) -> Result<Response<Body>> {
    if wants_watch(r) {
        return watch::serve_kind(r, "vm", project.cloned());
    }
    let query = r.page_query()?;
    page(r.controller.list_vms(project, &r.sees()?, &query)?)
}

pub(super) fn get(r: &Request) -> Result<Response<Body>> {
    object(StatusCode::OK, &r.controller.get_vm(&r.project()?, r.parameter("name")?)?)
}

pub(super) async fn create(r: Request) -> Result<Response<Body>> {
    let query: CreateVmQuery = r.query()?;
    let project = r.project()?;
    let (caller, new) = r.json::<NewObject<VmSpec>>().await?;
    if query.dry_run {
        return json(StatusCode::OK, &r.controller.preview_vm(&project, new)?);
    }
    object(StatusCode::CREATED, &r.controller.create_vm(&caller, &project, new).await?)
}

pub(super) async fn put(r: Request) -> Result<Response<Body>> {
    let project = r.project()?;
    let (caller, new) = r.json::<NewObject<VmSpec>>().await?;
    let name = r.parameter("name")?;
    if new.name.as_str() != name {
        return Err(Error::invalid("/name", format!("the body names '{}', the path '{name}'", new.name)));
    }
    let (vm, made) = r.controller.put_vm(&caller, &project, new).await?;
    object(if made == Made::Created { StatusCode::CREATED } else { StatusCode::OK }, &vm)
}

pub(super) async fn patch(r: Request) -> Result<Response<Body>> {
    let project = r.project()?;
    let (caller, patch) = r.json::<Patch>().await?;
    object(StatusCode::OK, &r.controller.patch_vm(&caller, &project, r.parameter("name")?, &patch).await?)
}

pub(super) async fn delete(r: &Request) -> Result<Response<Body>> {
    match r.controller.delete_vm(&r.caller()?, &r.project()?, r.parameter("name")?).await? {
        Some(vm) => object(StatusCode::ACCEPTED, &vm),
        None => Ok(empty()),
    }
}

pub(super) async fn restart(r: &Request) -> Result<Response<Body>> {
    object(StatusCode::OK, &r.controller.restart_vm(&r.caller()?, &r.project()?, r.parameter("name")?).await?)
}
