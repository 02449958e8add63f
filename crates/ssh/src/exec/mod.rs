//! Commands, shells and subsystems of a server, and the streams to and from them.

mod channel;
mod program;
mod stream;

pub(crate) use channel::{Start, start, tunnel};
pub(crate) use program::{ProgramInput, ProgramOutput};
pub use stream::ExecStream;

use base::{Error, Result};
use bytes::Bytes;
use channel::{ChannelInput, ChannelOutput};
use std::{
    fmt,
    task::{Context, Poll},
};

/// A terminal for a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pty {
    /// Its type, the value of `TERM`.
    pub term: String,
    /// Its height in lines.
    pub rows: u32,
    /// Its width in columns.
    pub cols: u32,
}

/// What to start.
#[derive(Clone, Debug, Default)]
pub struct ExecRequest {
    /// A line for the user's shell; `None` starts the login shell itself.
    pub command: Option<String>,
    /// A subsystem instead of a command, e.g. `sftp`.
    pub subsystem: Option<String>,
    /// Variables, which servers are free to ignore and mostly do: [`crate::shell_command_with_env`] is the sure way.
    pub env: Vec<(String, String)>,
    /// Whether and how the command gets a terminal. With one, its two outputs come as one.
    pub pty: Option<Pty>,
}

impl ExecRequest {
    /// A command without a terminal.
    pub fn command(line: impl Into<String>) -> Self {
        ExecRequest { command: Some(line.into()), ..Self::default() }
    }

    /// A login shell in a terminal.
    pub fn shell(pty: Pty) -> Self {
        ExecRequest { pty: Some(pty), ..Self::default() }
    }

    /// A subsystem.
    pub fn subsystem(name: impl Into<String>) -> Self {
        ExecRequest { subsystem: Some(name.into()), ..Self::default() }
    }
}

/// What comes back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExecEvent {
    /// Bytes of its standard output.
    Stdout(Bytes),
    /// Bytes of its standard error.
    Stderr(Bytes),
    /// It ended, and this is the last event: with a code, by a signal (`TERM`, without `SIG`), or with neither where the
    /// server does not say.
    Exit {
        /// The exit code.
        code: Option<u32>,
        /// The name of the signal.
        signal: Option<String>,
    },
}

/// A started command. Drop it, or its receiver, to close its channel: the server then hangs up its terminal, while a
/// command without a terminal learns it when it next reads or writes.
pub struct Exec {
    sender: ExecSender,
    receiver: ExecReceiver,
}

impl fmt::Debug for Exec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exec").finish_non_exhaustive()
    }
}

impl Exec {
    /// Both directions, for two tasks.
    pub fn split(self) -> (ExecSender, ExecReceiver) {
        (self.sender, self.receiver)
    }

    /// Its standard input and output as one stream; standard error is dropped.
    pub fn into_stream(self) -> ExecStream {
        ExecStream::new(self.sender.0, self.receiver)
    }

    pub(crate) fn of_channel(input: ChannelInput, output: ChannelOutput) -> Self {
        Exec {
            sender: ExecSender(Input::Channel(input)),
            receiver: ExecReceiver(Receiving::Channel(Box::new(output))),
        }
    }

    pub(crate) fn of_program(input: ProgramInput, output: ProgramOutput) -> Self {
        Exec {
            sender: ExecSender(Input::Program(input)),
            receiver: ExecReceiver(Receiving::Program(Box::new(output))),
        }
    }
}

/// The direction to the command. Dropping it ends the input.
pub struct ExecSender(Input);

pub(crate) enum Input {
    Channel(ChannelInput),
    Program(ProgramInput),
}

impl ExecSender {
    /// Sends bytes to the command's standard input, and returns when the server's window took them all. Not safe to
    /// cancel: a part may have been sent.
    ///
    /// # Errors
    /// [`base::Code::Conflict`] once the command has ended, [`base::Code::Unavailable`] once the connection has.
    pub async fn stdin(&self, data: Bytes) -> Result<()> {
        match &self.0 {
            Input::Channel(input) => input.stdin(data).await,
            Input::Program(input) => input.stdin(&data).await,
        }
    }

    /// Ends the command's standard input.
    pub async fn eof(&self) -> Result<()> {
        match &self.0 {
            Input::Channel(input) => input.eof().await,
            Input::Program(input) => {
                input.eof().await;
                Ok(())
            }
        }
    }

    /// Tells the terminal its new size, in lines and columns.
    ///
    /// # Errors
    /// [`base::Code::Conflict`] where the program `ssh` keeps the connection: it has no way to be told.
    pub async fn resize(&self, rows: u32, cols: u32) -> Result<()> {
        match &self.0 {
            Input::Channel(input) => input.resize(rows, cols).await,
            Input::Program(_) => Err(only_ours("the size of a terminal")),
        }
    }

    /// Sends a signal by its name, `TERM` or `SIGTERM` (RFC 4254 section 6.9). Servers may ignore it, and OpenSSH does so
    /// for root. In a terminal, the character for it (`\x03` for `INT`) always works.
    ///
    /// # Errors
    /// [`base::Code::Conflict`] where the program `ssh` keeps the connection: it has no way to be told.
    pub async fn signal(&self, name: &str) -> Result<()> {
        match &self.0 {
            Input::Channel(input) => input.signal(name).await,
            Input::Program(_) => Err(only_ours("a signal")),
        }
    }
}

fn only_ours(what: &str) -> Error {
    Error::conflict(format!("{what} cannot be sent over transport: openssh"))
        .hint("reach this node without it, or end the command's input")
}

/// The direction from the command.
pub struct ExecReceiver(Receiving);

enum Receiving {
    Channel(Box<ChannelOutput>),
    Program(Box<ProgramOutput>),
}

impl ExecReceiver {
    /// The next event; `None` after [`ExecEvent::Exit`], or without one where the connection was lost. Safe to cancel.
    pub async fn next(&mut self) -> Option<ExecEvent> {
        match &mut self.0 {
            Receiving::Channel(output) => output.next().await,
            Receiving::Program(output) => output.next().await,
        }
    }

    /// Why there is no [`ExecEvent::Exit`].
    pub fn lost(&self) -> Error {
        match &self.0 {
            Receiving::Channel(output) => output.lost(),
            Receiving::Program(output) => output.lost(),
        }
    }

    /// As [`Self::next`], for a stream.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<ExecEvent>> {
        // Nothing is lost with the future: it holds no event.
        std::pin::pin!(self.next()).poll(cx)
    }
}
