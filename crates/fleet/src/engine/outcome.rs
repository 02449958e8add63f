//! How it went on each node, as data.

use crate::session::Ended;
use base::{Code, Error};
use secrets::Redactor;
use serde::Serialize;
use std::time::Duration;

/// What became of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// All went well.
    Ok,
    /// Something failed there.
    Failed,
    /// It could not be reached, or was lost.
    Unreachable,
    /// Its time was over.
    Timeout,
    /// The user interrupted the run: it was cut off, or not begun.
    Cancelled,
    /// It was not begun, since too many others failed.
    Skipped,
}

impl Status {
    /// Whether it counts as a failure of this node: those that were not begun have not failed.
    pub fn is_failure(self) -> bool {
        matches!(self, Status::Failed | Status::Unreachable | Status::Timeout)
    }

    /// As in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Ok => "ok",
            Status::Failed => "failed",
            Status::Unreachable => "unreachable",
            Status::Timeout => "timeout",
            Status::Cancelled => "cancelled",
            Status::Skipped => "skipped",
        }
    }
}

/// How it went on a node.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Outcome {
    /// Its name.
    pub node: String,
    /// What became of it.
    pub status: Status,
    /// The exit code of the command that failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<u32>,
    /// How often it was tried.
    pub attempts: u32,
    /// From its start to its end.
    #[serde(rename = "seconds", serialize_with = "seconds")]
    pub duration: Duration,
    /// Why it is not well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Error>,
}

fn seconds<S: serde::Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64((duration.as_secs_f64() * 1000.0).round() / 1000.0)
}

/// A node's outcome, and what its job made where all went well.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Done<T> {
    /// How it went.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// What the job made.
    #[serde(flatten)]
    pub value: Option<T>,
}

/// Why a job ended early.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    /// What became of the node.
    pub status: Status,
    /// The exit code of the command that failed.
    pub code: Option<u32>,
    /// Why.
    pub error: Error,
    /// Whether nothing was begun there yet, so that it may be tried again.
    pub untouched: bool,
}

impl Failure {
    /// The node could not be reached; nothing was begun there.
    pub fn unreachable(error: Error) -> Self {
        Failure { status: Status::Unreachable, code: None, error, untouched: true }
    }

    /// Whether another attempt may end otherwise, and does no harm: a login that was refused stays so, as do a host key that
    /// is not believed and metadata that cannot be.
    pub fn may_pass(&self) -> bool {
        let stays = matches!(self.error.code, Code::Invalid | Code::Unauthenticated | Code::Forbidden);
        self.untouched && !stays
    }

    /// Something was begun on the node and ended with an error: a lost node is unreachable, all else failed.
    pub fn midway(error: Error) -> Self {
        let status = match error.code {
            Code::Unavailable => Status::Unreachable,
            Code::Timeout => Status::Timeout,
            _ => Status::Failed,
        };
        Failure { status, code: None, error, untouched: false }
    }

    /// The same without secrets: errors quote what nodes say.
    #[must_use]
    pub fn redacted(self, redactor: &Redactor) -> Self {
        Failure { error: redactor.error(self.error), ..self }
    }

    /// A command that did not end with 0, called by `what`. `None` where it did.
    pub fn of_command(what: &str, ended: &Ended) -> Option<Self> {
        let failed = |status, code, error| Some(Failure { status, code, error, untouched: false });
        match ended {
            Ended::Code(0) => None,
            Ended::Code(code) => {
                let error = Error::internal(format!("{what} ended with {code}"));
                failed(Status::Failed, Some(*code), error)
            }
            Ended::Signal(name) => {
                failed(Status::Failed, None, Error::internal(format!("{what} was ended by signal {name}")))
            }
            Ended::Timeout => {
                failed(Status::Timeout, None, Error::new(Code::Timeout, format!("{what} took too long")))
            }
        }
    }
}

/// How it went on all nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All went well, everywhere.
    AllOk,
    /// Some nodes are well, others not.
    SomeFailed,
    /// No node is well.
    AllFailed,
}

impl Verdict {
    /// Of these. Nodes that were not begun are not well.
    pub fn of<'a>(outcomes: impl IntoIterator<Item = &'a Outcome>) -> Self {
        let (mut ok, mut other) = (0, 0);
        for outcome in outcomes {
            *(if outcome.status == Status::Ok { &mut ok } else { &mut other }) += 1;
        }
        match (ok, other) {
            (_, 0) => Verdict::AllOk,
            (0, _) => Verdict::AllFailed,
            _ => Verdict::SomeFailed,
        }
    }
}
