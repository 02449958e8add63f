//! An open way to a node, whatever connector made it, and the commands on it.

use base::{Error, Result, Secret};
use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt, ready};
use serde::{Deserialize, Serialize};
use std::{sync::Arc, time::Duration};
use tokio::sync::mpsc;

pub use inventory::Method;

/// Another user that a command runs as.
#[derive(Clone, Debug)]
pub struct Become {
    /// The user.
    pub user: String,
    /// What changes the user.
    pub method: Method,
    /// Given on standard input when it is asked for, never in argv. Without one, a question is an error.
    pub password: Option<Secret>,
}

/// What to run.
#[derive(Clone, Debug, Default)]
pub struct Command {
    /// Text for `sh` on the node: its own lines, not one word. It reaches the shell whole or not at all, whatever its
    /// size and its quotes, and shows in no argv.
    pub script: String,
    /// Another interpreter than `sh` that takes the script as a file, e.g. `/bin/bash` or `/usr/bin/env python3`.
    pub interpreter: Option<String>,
    /// The standard input of the script. Without any it reads the end of its input at once.
    pub stdin: Bytes,
    /// Variables.
    pub env: Vec<(String, String)>,
    /// Another user.
    pub r#become: Option<Become>,
    /// How long it may run, without the time that the sink takes. When that is over, all that it started is ended too.
    pub timeout: Option<Duration>,
}

impl Command {
    /// The interpreter of scripts that people write for bash without saying so: it, where there is one, else sh.
    pub const USUAL: &str = "$(command -v bash || echo sh)";

    /// Text for `sh`, with nothing else.
    pub fn sh(script: impl Into<String>) -> Self {
        Command { script: script.into(), ..Command::default() }
    }
}

/// A name that a variable of a shell can have.
///
/// # Errors
/// [`base::Code::Invalid`] for any other.
pub fn variable(name: &str) -> Result<&str> {
    let first = name.bytes().next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
    if first && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        return Ok(name);
    }
    Err(Error::invalid("env", format!("'{name}' is not the name of a variable"))
        .hint("use letters, digits and '_', and do not start with a digit"))
}

/// What comes back from a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Chunk {
    /// Bytes of its standard output.
    Stdout(Bytes),
    /// Bytes of its standard error.
    Stderr(Bytes),
}

impl Chunk {
    /// The bytes, whichever output they are of.
    pub fn bytes(&self) -> &Bytes {
        let (Chunk::Stdout(bytes) | Chunk::Stderr(bytes)) = self;
        bytes
    }
}

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ended {
    /// With this code.
    Code(u32),
    /// By this signal, without `SIG`.
    Signal(String),
    /// Its time was over.
    Timeout,
}

impl Ended {
    /// Whether it ended with 0.
    pub fn success(&self) -> bool {
        *self == Ended::Code(0)
    }
}

/// Where output goes while a command runs, in the order of arrival. A closure `|chunk: Chunk| ...` is one that takes
/// everything at once.
pub trait Sink: Send {
    /// Takes what came. The command is held back until it has, so that nothing piles up.
    fn take(&mut self, chunk: Chunk) -> BoxFuture<'_, ()>;
}

impl<F: FnMut(Chunk) + Send> Sink for F {
    fn take(&mut self, chunk: Chunk) -> BoxFuture<'_, ()> {
        self(chunk);
        ready(()).boxed()
    }
}

/// What a command reads piece by piece, until the sender is dropped.
pub type Input = mpsc::Receiver<Bytes>;

/// What a connector must be able to do. See [`Session::run`] and, with an input, [`Session::talk`].
pub trait Transport: Send + Sync {
    /// Runs a command to its end.
    fn run<'a>(
        &'a self,
        command: Command,
        input: Option<Input>,
        sink: &'a mut dyn Sink,
    ) -> BoxFuture<'a, Result<Ended>>;
}

/// An open way to a node. Cheap to clone.
#[derive(Clone)]
pub struct Session(Arc<dyn Transport>);

impl Session {
    /// Over this transport.
    pub fn new(transport: impl Transport + 'static) -> Self {
        Session(Arc::new(transport))
    }

    /// Runs a command to its end. Dropping the future ends what was started, as the end of its time does.
    ///
    /// # Errors
    /// A command that fails is none. [`base::Code::Unavailable`] where the node was lost, [`base::Code::Forbidden`] where
    /// it may not be run as that user, [`base::Code::Invalid`] where it cannot be run at all.
    pub async fn run(&self, command: Command, sink: &mut dyn Sink) -> Result<Ended> {
        self.0.run(command, None, sink).await
    }

    /// As [`Self::run`], with a command that is told more while it runs: after `command.stdin`, it reads what comes
    /// through `input`. Its standard input ends when `input` closes, and also when its time is over, when this future is
    /// dropped or when the session is lost: the script must end then, since nothing else ends it. Where there is no script,
    /// `sh` reads what to do from that standard input.
    pub async fn talk(&self, command: Command, input: Input, sink: &mut dyn Sink) -> Result<Ended> {
        self.0.run(command, Some(input), sink).await
    }

    /// Runs a command and keeps at most `most` bytes of each of its outputs.
    pub async fn output(&self, command: Command, most: usize) -> Result<Output> {
        let mut kept = Kept { stdout: Vec::new(), stderr: Vec::new(), truncated: false, most };
        let ended = self.run(command, &mut |chunk: Chunk| kept.add(&chunk)).await?;
        let Kept { stdout, stderr, truncated, .. } = kept;
        Ok(Output { ended, stdout, stderr, truncated })
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Session")
    }
}

/// What a command said and how it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// How it ended.
    pub ended: Ended,
    /// Its standard output.
    pub stdout: Vec<u8>,
    /// Its standard error.
    pub stderr: Vec<u8>,
    /// Whether it said more than was kept.
    pub truncated: bool,
}

impl Output {
    /// Its standard output, where it ended with 0.
    ///
    /// # Errors
    /// With what it complained about, where it did not.
    pub fn success(self, doing: &str) -> Result<Vec<u8>> {
        if self.ended.success() {
            return Ok(self.stdout);
        }
        let why = String::from_utf8_lossy(&self.stderr).trim().to_owned();
        Err(match self.ended {
            Ended::Timeout => Error::new(base::Code::Timeout, format!("{doing} took too long")),
            Ended::Code(code) => Error::internal(format!("{doing} failed with exit code {code}")),
            Ended::Signal(name) => Error::internal(format!("{doing} was ended by signal {name}")),
        }
        .because(why))
    }
}

struct Kept {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    truncated: bool,
    most: usize,
}

impl Kept {
    fn add(&mut self, chunk: &Chunk) {
        let (kept, data) = match chunk {
            Chunk::Stdout(data) => (&mut self.stdout, data),
            Chunk::Stderr(data) => (&mut self.stderr, data),
        };
        let room = self.most.saturating_sub(kept.len()).min(data.len());
        kept.extend_from_slice(&data[..room]);
        self.truncated |= room < data.len();
    }
}
