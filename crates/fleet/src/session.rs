//! An open way to a node, whatever connector made it, and the commands on it.

use base::{Result, Secret};
use bytes::Bytes;
use std::{future::Future, pin::Pin, sync::Arc, time::Duration};
use tokio::sync::mpsc;

/// Another user that a command runs as.
#[derive(Clone, Debug)]
pub struct Become {
    /// The user.
    pub user: String,
    /// What sudo asks for, given on its standard input, never in argv.
    pub password: Option<Secret>,
}

/// What to run.
#[derive(Clone, Debug, Default)]
pub struct Command {
    /// Text for `sh` on the node: its own lines, not one word.
    pub script: String,
    /// Another interpreter than `sh` that takes the script, e.g. `/bin/bash`.
    pub interpreter: Option<String>,
    /// The standard input of the script.
    pub stdin: Bytes,
    /// Variables.
    pub env: Vec<(String, String)>,
    /// Another user.
    pub r#become: Option<Become>,
    /// How long it may run; when that is over, what it started is ended too.
    pub timeout: Option<Duration>,
}

/// What comes back from a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Chunk {
    /// Bytes of its standard output.
    Stdout(Bytes),
    /// Bytes of its standard error.
    Stderr(Bytes),
}

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// With this code.
    Code(u32),
    /// By this signal, without `SIG`.
    Signal(String),
    /// Its time was over.
    Timeout,
}

/// Where output goes while a command runs. Called in the order of arrival.
pub type Sink<'a> = &'a mut (dyn FnMut(Chunk) + Send);

/// What a command reads piece by piece, until the sender is dropped.
pub type Input = mpsc::Receiver<Bytes>;

/// What a connector must be able to do.
pub trait Transport: Send + Sync {
    /// Runs a command to its end. Its standard input is `command.stdin`, then what comes through `input`; it ends when
    /// `input` closes, or when the session is lost, by which a script on the node learns that nobody is there any more.
    /// An error means that the node was lost, not that the command failed. Dropping the future ends the input too.
    fn run<'a>(
        &'a self,
        command: Command,
        input: Input,
        sink: Sink<'a>,
    ) -> Pin<Box<dyn Future<Output = Result<Ended>> + Send + 'a>>;
}

/// An open way to a node. Cheap to clone.
#[derive(Clone)]
pub struct Session(Arc<dyn Transport>);

impl Session {
    /// Over this transport.
    pub fn new(transport: impl Transport + 'static) -> Self {
        Session(Arc::new(transport))
    }

    /// Runs a command to its end. An error means that the node was lost, not that the command failed.
    pub async fn run(&self, command: Command, sink: Sink<'_>) -> Result<Ended> {
        let (_, nothing_more) = mpsc::channel(1);
        self.0.run(command, nothing_more, sink).await
    }

    /// As [`Self::run`], with a command that is told more while it runs: after `command.stdin`, it reads what comes
    /// through `input`.
    pub async fn talk(&self, command: Command, input: Input, sink: Sink<'_>) -> Result<Ended> {
        self.0.run(command, input, sink).await
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Session")
    }
}
