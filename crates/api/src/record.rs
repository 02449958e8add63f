//! Events, operations and audit records.

use crate::meta::Object;
use base::{Error, Name, Uid};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Something that happened to an object. Written in the same commit as its cause.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// Its place in the sequence: the cursor of lists and follows.
    #[serde(default)]
    pub id: u64,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub time: Timestamp,
    /// `vm`, `worker`, `image`, ...
    pub kind: String,
    /// The object's name.
    pub name: Name,
    /// The object's project, for kinds that have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<Name>,
    /// The object's uid.
    pub uid: Uid,
    /// One word that a program can branch on.
    pub reason: String,
    /// One sentence for people.
    pub message: String,
    /// Whether somebody should look.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub warning: bool,
}

/// A journaled asynchronous change.
pub type Operation = Object<OperationSpec, OperationStatus>;

/// What an operation is to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OperationSpec {
    /// `backup`, ...
    pub kind: String,
    /// What it was given.
    #[schema(value_type = Object)]
    pub input: serde_json::Value,
    /// Who asked.
    pub author: String,
    /// Whether it was asked to end early.
    #[serde(default)]
    pub cancelled: bool,
}

/// How far an operation is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct OperationStatus {
    /// Where it stands.
    pub state: OperationState,
    /// Its steps, in order.
    pub steps: Vec<OperationStep>,
    /// What it made.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub result: Option<serde_json::Value>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub error: Option<Error>,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub ended_at: Option<Timestamp>,
}

/// Where an operation, or one of its steps, stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub enum OperationState {
    /// Not started.
    #[default]
    Pending,
    /// Under way.
    Running,
    /// Ended well.
    Succeeded,
    /// Ended badly.
    Failed,
    /// Ended early because somebody asked.
    Cancelled,
}

impl OperationState {
    /// Whether nothing more will happen.
    pub fn ended(self) -> bool {
        matches!(self, OperationState::Succeeded | OperationState::Failed | OperationState::Cancelled)
    }
}

/// One step of an operation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OperationStep {
    /// What it does.
    pub name: String,
    /// How far it is.
    pub state: OperationState,
}

/// Who did what, with which result. Kept for refusals as well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditRecord {
    /// Its place in the sequence.
    #[serde(default)]
    pub id: u64,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub time: Timestamp,
    /// The service account, or `anonymous`.
    pub principal: String,
    /// The address it came from.
    pub source: String,
    /// The request, also in the answer's `x-request-id`.
    pub request_id: String,
    /// `create`, `delete`, `connect`, ...
    pub verb: String,
    /// The path that was asked for.
    pub path: String,
    /// The project it was in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<Name>,
    /// `ok`, or the code of the error.
    pub result: String,
}
