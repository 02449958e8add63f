//! RFC 9457 problems: every error of the API, also for paths and methods that do not exist.

use base::{Code, Error};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The media type of a problem.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// An error as the API answers it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// A stable name of the kind of problem, as a URI reference: `/problems/not_found`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The HTTP status.
    pub status: u16,
    /// The code in words.
    pub title: String,
    /// What happened.
    pub detail: String,
    /// The code, to branch on.
    pub code: Code,
    /// The place in the request: a JSON pointer, a header or a query parameter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// What to do next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The request, as in the header `x-request-id` and in the audit records.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub request_id: String,
}

impl Problem {
    /// The problem for an error of a request.
    pub fn new(error: Error, request_id: impl Into<String>) -> Self {
        Problem {
            kind: format!("/problems/{}", error.code),
            status: error.code.http_status(),
            title: error.code.as_str().replace('_', " "),
            detail: error.message,
            code: error.code,
            field: error.field,
            cause: error.cause,
            hint: error.hint,
            request_id: request_id.into(),
        }
    }
}

impl From<Problem> for Error {
    fn from(p: Problem) -> Self {
        Error { code: p.code, message: p.detail, field: p.field, cause: p.cause, hint: p.hint }
    }
}
