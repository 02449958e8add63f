//! Mounts the table of routes, and nothing else.

use crate::{guard, problem};
use api::routes::{Method, ROUTES, Route};
use axum::{
    Router,
    body::Body,
    http::{HeaderValue, Request, Response, header},
    routing::{MethodFilter, MethodRouter, on},
};
use base::{Code, Error};
use controller::Controller;
use std::collections::BTreeMap;

/// The router of all routes.
pub(crate) fn router(controller: &Controller) -> Router {
    let mut by_path: BTreeMap<&str, Vec<&'static Route>> = BTreeMap::new();
    for route in ROUTES {
        by_path.entry(route.path).or_default().push(route);
    }
    let mut router = Router::new();
    for (path, routes) in by_path {
        let allowed = routes.iter().map(|r| r.method.as_str()).collect::<Vec<_>>().join(", ");
        let mut methods = MethodRouter::new();
        for route in routes {
            let controller = controller.clone();
            methods = methods.merge(on(filter(route.method), move |request: Request<Body>| {
                guard::handle(controller.clone(), route, request)
            }));
        }
        router = router.route(
            path,
            methods.fallback(move |request| std::future::ready(wrong_method(request, &allowed))),
        );
    }
    router.fallback(|request| std::future::ready(no_route(request)))
}

fn filter(method: Method) -> MethodFilter {
    match method {
        Method::Get => MethodFilter::GET,
        Method::Post => MethodFilter::POST,
        Method::Put => MethodFilter::PUT,
        Method::Patch => MethodFilter::PATCH,
        Method::Delete => MethodFilter::DELETE,
    }
}

fn wrong_method(request: Request<Body>, allowed: &str) -> Response<Body> {
    let (parts, _) = request.into_parts();
    let error = Error::new(
        Code::MethodNotAllowed,
        format!("{} is not a method of {}", parts.method, parts.uri.path()),
    )
    .hint(format!("use {allowed}"));
    let mut response = problem::answer(error, &guard::request_id(&parts));
    if let Ok(value) = HeaderValue::from_str(allowed) {
        response.headers_mut().insert(header::ALLOW, value);
    }
    response
}

fn no_route(request: Request<Body>) -> Response<Body> {
    let (parts, _) = request.into_parts();
    let error = Error::not_found(format!("there is nothing at {}", parts.uri.path()))
        .hint("the paths are in /openapi.json");
    problem::answer(error, &guard::request_id(&parts))
}
