//! The conversation with the bridge: one JSON object per line.

use crate::session::Chunk;
use base::{Code, Error, Secret};
use inventory::Metadata;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// What is asked of the bridge.
#[derive(Serialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub(super) enum Request<'a> {
    /// Evaluate a method of a service.
    Actions {
        directory: &'a Path,
        platform: &'a str,
        service: &'a str,
        method: &'static str,
        node: &'a str,
        metadata: &'a Metadata,
    },
    /// Run a block.
    Call { block: u64 },
    /// End the block that runs for this request.
    Stop { request: u64 },
    /// Read a configuration.
    Configuration { file: &'a Path },
}

#[derive(Serialize)]
pub(super) struct Numbered<'a> {
    pub id: u64,
    #[serde(flatten)]
    pub request: Request<'a>,
}

/// The answer to a question of the bridge.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Answer {
    Value { answer: u64, value: Value },
    Error { answer: u64, error: String },
}

/// What the bridge says, and about which request.
#[derive(Deserialize)]
pub(super) struct Message {
    pub id: u64,
    #[serde(flatten)]
    pub what: What,
}

#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum What {
    Question { ask: u64, question: Question },
    Output { stream: Stream, text: String },
    Failed { error: Failure },
    Done { result: Value },
}

/// What Ruby code wants to know.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Question {
    /// A property of a node that was not handed over; null where there is none.
    Property {
        /// Its name.
        property: String,
        /// The node.
        node: String,
    },
    /// The names of the nodes that any of these selectors means.
    Nodes {
        /// As [`inventory::Selector`] reads them.
        select: Vec<String>,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Stream {
    Stdout,
    Stderr,
}

impl Stream {
    pub(super) fn chunk(&self, text: String) -> Chunk {
        match self {
            Stream::Stdout => Chunk::Stdout(text.into()),
            Stream::Stderr => Chunk::Stderr(text.into()),
        }
    }
}

/// An exception of Ruby.
#[derive(Deserialize)]
pub(super) struct Failure {
    message: String,
    kind: Option<String>,
    place: Option<String>,
}

impl Failure {
    /// As an error of ours: `what` failed.
    pub(super) fn explain(self, what: String) -> Error {
        let cause = match self.kind {
            Some(kind) => format!("{} ({kind})", self.message),
            None => self.message,
        };
        let error = Error::new(Code::Invalid, what).because(cause);
        match self.place {
            Some(place) => error.at(place),
            None => error,
        }
    }
}

#[derive(Deserialize)]
pub(super) struct Actions {
    pub actions: Vec<Action>,
    pub secrets: Vec<Secret>,
}

#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(super) enum Action {
    RemoteBash { script: String },
    Bash { script: String },
    Scp { files: Vec<(PathBuf, String)>, sudo: bool, owner: Option<String>, group: Option<String> },
    Ruby { block: u64 },
    Interactive,
}

/// What one line of `hpc_config.rb` says.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Statement {
    /// The word that it begins with, e.g. `expect_tests_to_fail`; `platform` for all that declare one.
    pub word: String,
    /// What comes after it. Code and objects are `{"$code": "what it is"}`.
    pub arguments: Vec<Value>,
    /// `file:line`.
    pub place: String,
    /// The nodes that it is about: each list of selectors narrows those before it. None means all.
    pub nodes: Vec<Vec<String>>,
}
