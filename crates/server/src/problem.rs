//! Errors as answers.

use api::{Problem, problem::MEDIA_TYPE, query::REQUEST_ID};
use axum::{
    body::Body,
    http::{HeaderValue, Response, StatusCode, header},
};
use base::{Code, Error};

/// The answer for an error.
pub(crate) fn answer(error: Error, request_id: &str) -> Response<Body> {
    if error.code == Code::Internal {
        tracing::error!(error = %error, request_id, "a request failed");
    }
    let problem = Problem::new(error, request_id);
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let body = serde_json::to_vec(&problem).unwrap_or_default();
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    match problem.code {
        Code::Unauthenticated => {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        Code::Unavailable => {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        _ => {}
    }
    label(response, request_id)
}

/// Adds the request's id to an answer.
pub(crate) fn label(mut response: Response<Body>, request_id: &str) -> Response<Body> {
    if let Ok(value) = HeaderValue::from_str(request_id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    response
}
