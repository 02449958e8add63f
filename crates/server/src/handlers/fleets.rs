//! Fleet directories, credentials, and the operations of a project.

use super::wants_watch;
use crate::{
    request::{Request, empty, object, page},
    watch,
};
use api::{
    Credential, CredentialSpec, Fleet, FleetSpec, NewObject, Operation, Patch,
    fleet::FleetRequest,
    query::{LOG_OFFSET, LogQuery},
};
use axum::{
    body::Body,
    http::{HeaderValue, Response, StatusCode, header},
};
use base::{Name, Result};
use controller::{Kind, Told};

/// Objects of a kind that belongs to projects: of one project, or of all that the caller may see.
pub(super) fn list<K: Kind>(r: &Request, project: Option<&Name>) -> Result<Response<Body>> {
    if wants_watch(r) {
        return watch::serve_kind(r, K::KIND, project.cloned());
    }
    if let Some(project) = project {
        r.controller.existing_project(project)?;
    }
    page(r.controller.list::<K>(project, &r.sees()?, &r.page_query()?))
}

pub(super) fn get<K: Kind>(r: &Request) -> Result<Response<Body>> {
    object(StatusCode::OK, &r.controller.get::<K>(Some(&r.project()?), r.parameter("name")?)?)
}

pub(super) async fn create(r: Request) -> Result<Response<Body>> {
    let project = r.project()?;
    let (caller, new) = r.json::<NewObject<FleetSpec>>().await?;
    object(StatusCode::CREATED, &r.controller.create_fleet(&caller, &project, new).await?)
}

pub(super) async fn patch(r: Request) -> Result<Response<Body>> {
    let project = r.project()?;
    let (caller, patch) = r.json::<Patch>().await?;
    let changed: Fleet = r.controller.patch_fleet(&caller, &project, r.parameter("name")?, &patch).await?;
    object(StatusCode::OK, &changed)
}

pub(super) async fn delete(r: &Request) -> Result<Response<Body>> {
    r.controller.delete_fleet(&r.caller()?, &r.project()?, r.parameter("name")?).await?;
    Ok(empty())
}

pub(super) async fn start(r: Request) -> Result<Response<Body>> {
    let project = r.project()?;
    let (caller, request) = r.json::<FleetRequest>().await?;
    let started = r.controller.start_fleet(&caller, &project, r.parameter("name")?, request).await?;
    object(StatusCode::ACCEPTED, &started)
}

pub(super) async fn create_credential(r: Request) -> Result<Response<Body>> {
    let project = r.project()?;
    let (caller, new) = r.json::<NewObject<CredentialSpec>>().await?;
    object(StatusCode::CREATED, &r.controller.create_credential(&caller, &project, new).await?)
}

pub(super) async fn patch_credential(r: Request) -> Result<Response<Body>> {
    let project = r.project()?;
    let (caller, patch) = r.json::<Patch>().await?;
    let changed: Credential =
        r.controller.patch_credential(&caller, &project, r.parameter("name")?, &patch).await?;
    object(StatusCode::OK, &changed)
}

pub(super) async fn delete_credential(r: &Request) -> Result<Response<Body>> {
    r.controller.delete_credential(&r.caller()?, &r.project()?, r.parameter("name")?).await?;
    Ok(empty())
}

/// An operation of the cluster: to members of a project it does not exist.
pub(super) fn get_operation(r: &Request) -> Result<Response<Body>> {
    object(StatusCode::OK, &r.controller.get_operation(&r.sees()?, r.parameter("name")?)?)
}

pub(super) async fn cancel(r: &Request, project: Option<&Name>) -> Result<Response<Body>> {
    let asked: Operation = r.controller.cancel_operation(&r.caller()?, project, r.parameter("name")?).await?;
    object(StatusCode::OK, &asked)
}

/// What an operation has told, going on where that is asked.
pub(super) async fn log(r: &Request, told: Told) -> Result<Response<Body>> {
    let query: LogQuery = r.query()?;
    let offset = query.offset.unwrap_or(0);
    let reader =
        r.controller.operation_log(&r.project()?, r.parameter("name")?, told, offset, query.follow).await?;
    let room = query.limit.unwrap_or(u64::MAX);
    let pieces = futures::stream::unfold((reader, room), |(mut reader, room)| async move {
        let mut piece = match reader.next().await {
            Ok(Some(piece)) if room > 0 => piece,
            Ok(_) => return None,
            Err(e) => return Some((Err(e), (reader, 0))),
        };
        piece.truncate(usize::try_from(room).unwrap_or(usize::MAX));
        let left = room - piece.len() as u64;
        Some((Ok(piece), (reader, left)))
    });
    let mut response = Response::new(Body::from_stream(pieces));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(LOG_OFFSET, HeaderValue::from(offset));
    Ok(response)
}
