//! What happens to every request before it is answered: it gets an id, its token is checked, its route is looked up in
//! the table of who may. Refusals are audited.

use crate::{handlers, problem, request::Request};
use api::{
    query::REQUEST_ID,
    routes::{Access, Route},
};
use axum::{
    body::Body,
    extract::{FromRequestParts, RawPathParams},
    http::{Request as HttpRequest, Response, header, request::Parts},
};
use base::{Code, Error, Name, Result};
use controller::{Caller, Controller, Principal, authorize};
use futures::FutureExt;
use std::{collections::BTreeMap, net::SocketAddr, panic::AssertUnwindSafe};

/// Where a connection comes from; put into each of its requests.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) SocketAddr);

/// Answers one request of a route.
pub(crate) async fn handle(
    controller: Controller,
    route: &'static Route,
    request: HttpRequest<Body>,
) -> Response<Body> {
    let started = rt::clock::now();
    let (mut parts, body) = request.into_parts();
    let request_id = request_id(&parts);
    let caught = AssertUnwindSafe(async {
        let request = admit(controller, route, &mut parts, body, &request_id).await?;
        handlers::answer(request).await
    });
    let response = match caught.catch_unwind().await {
        Ok(Ok(response)) => problem::label(response, &request_id),
        Ok(Err(e)) => problem::answer(e, &request_id),
        Err(_) => problem::answer(Error::internal("a request failed by a bug of ours"), &request_id),
    };
    crate::metrics::count(route, response.status(), rt::clock::now() - started);
    response
}

/// The id that the client gave, where it is a sane one, or a new one.
pub(crate) fn request_id(parts: &Parts) -> String {
    let given = parts.headers.get(REQUEST_ID).and_then(|v| v.to_str().ok());
    let sane =
        |t: &&str| (1..=64).contains(&t.len()) && t.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    given.filter(sane).map_or_else(|| rt::ids::uid().to_string(), ToOwned::to_owned)
}

async fn admit(
    controller: Controller,
    route: &'static Route,
    parts: &mut Parts,
    body: Body,
    request_id: &str,
) -> Result<Request> {
    let parameters = path_parameters(parts).await?;
    let source = parts.extensions.get::<Peer>().map(|p| p.0.ip().to_string()).unwrap_or_default();
    let principal = match bearer(parts)? {
        Some(token) if route.access != Access::Open => Some(controller.authenticate(token)?),
        _ => None,
    };
    let project = match parameters.get("project").map(|p| (p, Name::new(p.as_str()))) {
        Some((_, Ok(project))) => Some(project),
        // A project that cannot exist answers like one that does not, once it is known who asks.
        Some((text, Err(_))) if principal.is_some() => return Err(controller::no_project(text)),
        None | Some(_) => None,
    };
    if let Err(e) = authorize(principal.as_ref(), route, project.as_ref()) {
        if let (Some(principal), Access::Role(verb, _)) = (&principal, route.access) {
            let caller = refused(principal, &source, request_id, parts);
            controller.audit_refusal(&caller, verb, project.as_ref(), &e).await;
        }
        return Err(e);
    }
    Ok(Request {
        controller,
        route,
        parts: std::mem::replace(parts, HttpRequest::new(()).into_parts().0),
        body: std::sync::Mutex::new(body),
        principal,
        parameters,
        source,
        id: request_id.to_owned(),
    })
}

fn refused(principal: &Principal, source: &str, request_id: &str, parts: &Parts) -> Caller {
    Caller {
        principal: principal.clone(),
        source: source.to_owned(),
        request_id: request_id.to_owned(),
        path: parts.uri.path().to_owned(),
        idempotency: None,
        if_match: None,
    }
}

async fn path_parameters(parts: &mut Parts) -> Result<BTreeMap<String, String>> {
    let raw = RawPathParams::from_request_parts(parts, &())
        .await
        .map_err(|e| Error::new(Code::Invalid, "the path cannot be read").because(e.body_text()))?;
    Ok(raw.iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect())
}

/// The bearer token (RFC 6750).
fn bearer(parts: &Parts) -> Result<Option<&str>> {
    let Some(value) = parts.headers.get(header::AUTHORIZATION) else { return Ok(None) };
    let token = value
        .to_str()
        .ok()
        .and_then(|v| v.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    token.map(|(_, token)| Some(token.trim())).ok_or_else(|| {
        Error::new(Code::Unauthenticated, "the authorization header cannot be read")
            .hint("send 'Authorization: Bearer TOKEN'")
    })
}
