//! Commands, shells and subsystems of a server, and the streams to and from them.

use crate::{connection::Inner, error, stream::ExecStream};
use base::{Error, Result};
use bytes::Bytes;
use rt::task::CancellationToken;
use russh::{ChannelMsg, ChannelReadHalf, ChannelWriteHalf, Sig, client::Msg};
use std::{
    collections::VecDeque,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
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
        f.debug_struct("Exec").field("channel", &self.sender.channel.write.id()).finish_non_exhaustive()
    }
}

impl Exec {
    /// Both directions, for two tasks.
    pub fn split(self) -> (ExecSender, ExecReceiver) {
        (self.sender, self.receiver)
    }

    /// Its standard input and output as one stream; standard error is dropped.
    pub fn into_stream(self) -> ExecStream {
        ExecStream::new(self.sender, self.receiver)
    }
}

/// The direction to the command. Dropping it ends the input.
pub struct ExecSender {
    pub(crate) channel: Arc<OpenChannel>,
    ended: AtomicBool,
}

/// The direction from the command.
pub struct ExecReceiver {
    channel: Arc<OpenChannel>,
    read: ChannelReadHalf,
    /// What came before the server confirmed the start.
    early: VecDeque<ExecEvent>,
    code: Option<u32>,
    signal: Option<String>,
    done: bool,
}

/// The writing half of a channel and its surroundings.
pub(crate) struct OpenChannel {
    pub(crate) write: ChannelWriteHalf<Msg>,
    /// Cancelled when the server closes the channel.
    pub(crate) closed: CancellationToken,
    pub(crate) connection: Arc<Inner>,
}

impl Drop for OpenChannel {
    fn drop(&mut self) {
        self.connection.state.forget_channel(self.write.id());
    }
}

impl OpenChannel {
    /// Sends, but does not wait for a server that is gone: the library would, where the window is full.
    async fn send(&self, sending: impl Future<Output = Result<(), russh::Error>>) -> Result<()> {
        tokio::select! {
            biased;
            () = self.closed.cancelled() => Err(finished()),
            () = self.connection.state.ended.cancelled() => Err(self.connection.state.lost()),
            sent = sending => sent.map_err(|_| self.connection.state.lost()),
        }
    }

    /// Sends something later on, from a place that cannot wait.
    fn send_later(self: &Arc<Self>, what: ChannelMsg) {
        // Without a runtime the session is gone as well.
        if self.closed.is_cancelled() || tokio::runtime::Handle::try_current().is_err() {
            return;
        }
        let channel = Arc::clone(self);
        self.connection.tasks.spawn("ssh channel end", async move {
            let sending = async {
                match what {
                    ChannelMsg::Eof => channel.write.eof().await,
                    _ => channel.write.close().await,
                }
            };
            let _ = rt::clock::timeout(channel.connection.patience, "closing", channel.send(sending)).await;
        });
    }
}

fn finished() -> Error {
    Error::conflict("the command has ended and takes no more input")
}

/// Opens a channel and starts the command on it. Safe to cancel: what was opened is closed again.
pub(crate) async fn start(connection: &Arc<Inner>, request: ExecRequest) -> Result<Exec> {
    let mut exec = open(connection).await?;
    let channel = Arc::clone(&exec.sender.channel);
    let write = &channel.write;
    for (name, value) in &request.env {
        channel.send(write.set_env(false, name, value)).await?;
    }
    if let Some(pty) = &request.pty {
        channel.send(write.request_pty(true, &pty.term, pty.cols, pty.rows, 0, 0, &[])).await?;
        exec.receiver.confirmed("a terminal").await?;
    }
    let what = match (&request.subsystem, &request.command) {
        (Some(name), _) => {
            channel.send(write.request_subsystem(true, name)).await?;
            format!("the subsystem '{name}'")
        }
        (None, Some(line)) => {
            channel.send(write.exec(true, line.as_bytes())).await?;
            "the command".to_owned()
        }
        (None, None) => {
            channel.send(write.request_shell(true)).await?;
            "a shell".to_owned()
        }
    };
    exec.receiver.confirmed(&what).await?;
    Ok(exec)
}

/// Opens in a task of its own: a caller that gives up must not leave a channel behind that nobody closes.
async fn open(connection: &Arc<Inner>) -> Result<Exec> {
    let (tell, told) = tokio::sync::oneshot::channel();
    let inner = Arc::clone(connection);
    connection.tasks.spawn("ssh channel open", async move {
        let opening =
            rt::clock::timeout(inner.patience, "opening a channel", inner.handle.channel_open_session());
        let opened = match opening.await {
            Err(late) => Err(late),
            Ok(Err(_)) if inner.handle.is_closed() => Err(inner.state.lost_in_a_moment().await),
            Ok(Err(e)) => Err(error::protocol("cannot open a session over SSH", &e)),
            Ok(Ok(channel)) => {
                let (read, write) = channel.split();
                let closed = inner.state.channel_closed(write.id());
                Ok(Exec::new(read, OpenChannel { write, closed, connection: inner }))
            }
        };
        let _ = tell.send(opened);
    });
    told.await.unwrap_or_else(|_| Err(connection.state.lost()))
}

impl Exec {
    fn new(read: ChannelReadHalf, channel: OpenChannel) -> Self {
        let channel = Arc::new(channel);
        let sender = ExecSender { channel: Arc::clone(&channel), ended: AtomicBool::new(false) };
        let early = VecDeque::new();
        Exec {
            sender,
            receiver: ExecReceiver { channel, read, early, code: None, signal: None, done: false },
        }
    }
}

impl ExecSender {
    /// Sends bytes to the command's standard input, and returns when the server's window took them all. Not safe to
    /// cancel: a part may have been sent.
    ///
    /// # Errors
    /// [`base::Code::Conflict`] once the command has ended, [`base::Code::Unavailable`] once the connection has.
    pub async fn stdin(&self, data: Bytes) -> Result<()> {
        self.channel.send(self.channel.write.data_bytes(data)).await
    }

    /// Ends the command's standard input.
    pub async fn eof(&self) -> Result<()> {
        if self.ended.swap(true, Ordering::Relaxed) {
            return Ok(());
        }
        self.channel.send(self.channel.write.eof()).await
    }

    /// Tells the terminal its new size, in lines and columns.
    pub async fn resize(&self, rows: u32, cols: u32) -> Result<()> {
        self.channel.send(self.channel.write.window_change(cols, rows, 0, 0)).await
    }

    /// Sends a signal by its name, `TERM` or `SIGTERM` (RFC 4254 section 6.9). Servers may ignore it, and OpenSSH does so
    /// for root. In a terminal, the character for it (`\x03` for `INT`) always works.
    pub async fn signal(&self, name: &str) -> Result<()> {
        self.channel.send(self.channel.write.signal(signal(name)?)).await
    }
}

impl ExecSender {
    /// Leaves the end of the input to somebody else.
    pub(crate) fn forget_end(self) {
        self.ended.store(true, Ordering::Relaxed);
    }
}

impl Drop for ExecSender {
    fn drop(&mut self) {
        if !self.ended.load(Ordering::Relaxed) {
            self.channel.send_later(ChannelMsg::Eof);
        }
    }
}

impl ExecReceiver {
    /// The next event; `None` after [`ExecEvent::Exit`], or without one where the connection was lost. Safe to cancel.
    pub async fn next(&mut self) -> Option<ExecEvent> {
        if let Some(event) = self.early.pop_front() {
            return Some(event);
        }
        while !self.done {
            let message = self.read.wait().await;
            if let Some(event) = self.take(message) {
                return Some(event);
            }
        }
        None
    }

    /// Why there is no [`ExecEvent::Exit`].
    pub fn lost(&self) -> Error {
        self.channel.connection.state.lost()
    }

    /// The exit status may come before the last output, so it is kept until the channel closes.
    fn take(&mut self, message: Option<ChannelMsg>) -> Option<ExecEvent> {
        match message {
            None => self.done = true,
            Some(ChannelMsg::Data { data }) => return Some(ExecEvent::Stdout(data)),
            Some(ChannelMsg::ExtendedData { data, ext: 1 }) => return Some(ExecEvent::Stderr(data)),
            Some(ChannelMsg::ExitStatus { exit_status }) => self.code = Some(exit_status),
            Some(ChannelMsg::ExitSignal { signal_name, .. }) => {
                self.signal = Some(signal_name_of(signal_name));
            }
            Some(ChannelMsg::Close) => {
                self.done = true;
                return Some(ExecEvent::Exit { code: self.code.take(), signal: self.signal.take() });
            }
            Some(_) => {}
        }
        None
    }

    /// Waits for the answer to a request; output may come before it.
    async fn confirmed(&mut self, what: &str) -> Result<()> {
        loop {
            match self.read.wait().await {
                Some(ChannelMsg::Success) => return Ok(()),
                Some(ChannelMsg::Failure | ChannelMsg::Close) => {
                    return Err(Error::unavailable(format!("the SSH server refused to start {what}")));
                }
                None => return Err(self.lost()),
                message => {
                    let event = self.take(message);
                    self.early.extend(event);
                }
            }
        }
    }

    /// As [`Self::next`], for a stream.
    pub(crate) fn poll_next(
        &mut self,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<ExecEvent>> {
        // Nothing is lost with the future: it holds no event.
        std::pin::pin!(self.next()).poll(cx)
    }
}

impl Drop for ExecReceiver {
    fn drop(&mut self) {
        self.channel.send_later(ChannelMsg::Close);
    }
}

fn signal(name: &str) -> Result<Sig> {
    let bare = name.strip_prefix("SIG").unwrap_or(name);
    Ok(match bare {
        "ABRT" => Sig::ABRT,
        "ALRM" => Sig::ALRM,
        "FPE" => Sig::FPE,
        "HUP" => Sig::HUP,
        "ILL" => Sig::ILL,
        "INT" => Sig::INT,
        "KILL" => Sig::KILL,
        "PIPE" => Sig::PIPE,
        "QUIT" => Sig::QUIT,
        "SEGV" => Sig::SEGV,
        "TERM" => Sig::TERM,
        "USR1" => Sig::USR1,
        "USR2" => Sig::Custom("USR2".into()),
        _ => {
            return Err(Error::invalid("signal", format!("'{name}' is not a signal that SSH can carry"))
                .hint("use ABRT, ALRM, FPE, HUP, ILL, INT, KILL, PIPE, QUIT, SEGV, TERM, USR1 or USR2"));
        }
    })
}

fn signal_name_of(signal: Sig) -> String {
    match signal {
        Sig::Custom(name) => name,
        known => format!("{known:?}"),
    }
}
