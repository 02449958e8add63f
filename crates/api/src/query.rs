//! The query parameters of routes, so that server and client spell them alike.

use serde::{Deserialize, Serialize};

/// Lists of objects: one page of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ListQuery {
    /// Most objects on the page (1 to 1000, by default 500).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// `next` of the page before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// Only objects with all these labels: `key=value,key=value`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<String>,
}

/// Lists of records: events and audit records; oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RecordQuery {
    /// Most records on the page (1 to 1000, by default 500).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// `next` of the page before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// Only records with a higher `id`: how one follows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
    /// Only the newest ones, this many, still oldest first. Without `cursor` and `after`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<u32>,
    /// Only records of this project.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// Only events about this kind of object: `vm`, `worker`, ...
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Only events about objects of this name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// A watch. The header `Last-Event-ID` takes the place of `since` when it is there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct WatchQuery {
    /// Kinds with commas between them: `vm,worker`; absent: all that the caller may read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kinds: Option<String>,
    /// Only objects of this project, for kinds that have one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// Changes after this revision; absent: from now on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<base::Revision>,
}

/// A part of a log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LogQuery {
    /// The first byte wanted; absent: the oldest one kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
    /// Most bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// Whether the answer goes on with what is written later.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub follow: bool,
}

/// The header of a log's answer: the offset of its first byte.
pub const LOG_OFFSET: &str = "x-log-offset";
/// The header of a log's answer: the end of the log when the answer began.
pub const LOG_END: &str = "x-log-end";
/// The header of every answer: the request's id.
pub const REQUEST_ID: &str = "x-request-id";
/// The header of an upload: `sha256:` and 64 hexadecimal digits of what is sent.
pub const CONTENT_DIGEST: &str = "x-content-digest";
/// The header that makes a POST safe to repeat.
pub const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// How a VM is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CreateVmQuery {
    /// Only says where it would go: the answer is a `PlacementPreview`.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
}

/// How a worker is forgotten.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DeleteWorkerQuery {
    /// Its VMs are taken for dead.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub confirm_dead: bool,
}
