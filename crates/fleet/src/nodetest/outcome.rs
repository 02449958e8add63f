//! How tests went.

use base::Error;
use secrets::Redactor;
use serde::Serialize;
use std::{fmt, time::Duration};

/// What was tested.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// A node.
    Node(String),
    /// A platform.
    Platform(String),
    /// What a fleet's file declares.
    Fleet(String),
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Subject::Node(name) | Subject::Fleet(name) => f.write_str(name),
            Subject::Platform(name) => write!(f, "platform:{name}"),
        }
    }
}

/// How a test went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Well.
    Passed,
    /// Not well.
    Failed,
    /// Not well, as is known.
    FailedAsExpected,
    /// Well, or not there at all, though it is said to fail: what is expected is not true any more.
    NotFailedAsExpected,
    /// It could not be done, or has no meaning here.
    Skipped,
}

impl Status {
    /// As in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Passed => "passed",
            Status::Failed => "failed",
            Status::FailedAsExpected => "failed_as_expected",
            Status::NotFailedAsExpected => "not_failed_as_expected",
            Status::Skipped => "skipped",
        }
    }

    /// Whether somebody must do something about it.
    pub fn is_failure(self) -> bool {
        matches!(self, Status::Failed | Status::NotFailedAsExpected)
    }
}

/// One test on one subject.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Outcome {
    /// The test's name.
    pub test: String,
    /// What was tested.
    #[serde(flatten)]
    pub subject: Subject,
    /// How it went.
    pub status: Status,
    /// What is wrong, a sentence each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<String>,
    /// Why it is skipped, or known to fail.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How long it took; tests that share a command share its time.
    #[serde(rename = "seconds", serialize_with = "seconds")]
    pub duration: Duration,
}

fn seconds<S: serde::Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64((duration.as_secs_f64() * 1000.0).round() / 1000.0)
}

impl Outcome {
    /// What was found, as an outcome.
    pub fn new(test: impl Into<String>, subject: Subject, found: Found, duration: Duration) -> Self {
        let (status, errors, reason) = match found {
            Found::Well => (Status::Passed, Vec::new(), None),
            Found::Wrong(errors) => (Status::Failed, errors, None),
            Found::Unclear(reason) => (Status::Skipped, Vec::new(), Some(reason)),
        };
        Outcome { test: test.into(), subject, status, errors, reason, duration }
    }

    /// All there is to say, in one line.
    pub fn words(&self) -> String {
        let errors = self.errors.join("; ").replace('\n', " ");
        match (&self.reason, errors.as_str()) {
            (None, _) => errors,
            (Some(reason), "") => reason.clone(),
            (Some(reason), _) => format!("{reason}: {errors}"),
        }
    }

    /// The same without secrets.
    pub fn redact(&mut self, redactor: &Redactor) {
        for text in self.errors.iter_mut().chain(&mut self.reason) {
            *text = redactor.text(text).into_owned();
        }
    }
}

/// What a look at a subject has found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// All is as it should be.
    Well,
    /// What is not, a sentence each.
    Wrong(Vec<String>),
    /// It could not be found out, and why that is no failure.
    Unclear(String),
}

impl Found {
    /// Nothing wrong is well.
    pub fn of(errors: Vec<String>) -> Self {
        if errors.is_empty() { Found::Well } else { Found::Wrong(errors) }
    }

    /// One thing is wrong.
    pub fn wrong(error: impl Into<String>) -> Self {
        Found::Wrong(vec![error.into()])
    }
}

impl From<Error> for Found {
    /// With its cause and its hint.
    fn from(error: Error) -> Self {
        let hint = error.hint.as_ref().map(|h| format!(" ({h})")).unwrap_or_default();
        Found::wrong(format!("{error}{hint}"))
    }
}
