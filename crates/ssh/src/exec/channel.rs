//! Commands on a channel of a connection that we speak ourselves.

use super::{Exec, ExecEvent, ExecRequest};
use crate::{connection::native::Native, error};
use base::{Error, Result};
use bytes::Bytes;
use rt::task::CancellationToken;
use russh::{Channel, ChannelMsg, ChannelReadHalf, ChannelWriteHalf, Sig, client::Msg};
use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

/// The direction to the command.
pub(crate) struct ChannelInput {
    pub(super) channel: Arc<OpenChannel>,
    ended: AtomicBool,
}

/// The direction from the command.
pub(crate) struct ChannelOutput {
    channel: Arc<OpenChannel>,
    read: ChannelReadHalf,
    /// What came before the server confirmed the start.
    early: VecDeque<ExecEvent>,
    code: Option<u32>,
    signal: Option<String>,
    done: bool,
}

/// Why a command did not start.
pub(crate) enum Start {
    /// The server allows no more sessions on this connection.
    Full(Error),
    Failed(Error),
}

impl From<Error> for Start {
    fn from(e: Error) -> Self {
        Start::Failed(e)
    }
}

impl From<Start> for Error {
    fn from(start: Start) -> Self {
        match start {
            Start::Full(e) | Start::Failed(e) => e,
        }
    }
}

/// The writing half of a channel and its surroundings.
pub(crate) struct OpenChannel {
    pub(crate) write: ChannelWriteHalf<Msg>,
    /// Cancelled when the server closes the channel.
    pub(crate) closed: CancellationToken,
    pub(crate) connection: Arc<Native>,
}

impl Drop for OpenChannel {
    fn drop(&mut self) {
        self.connection.state.forget_channel(self.write.id());
        self.connection.sessions.closed();
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
pub(crate) async fn start(connection: &Arc<Native>, request: ExecRequest) -> Result<Exec, Start> {
    let opening = |native: Arc<Native>| async move { native.handle.channel_open_session().await };
    let (input, mut output) = open(connection, opening).await?;
    let channel = Arc::clone(&input.channel);
    let write = &channel.write;
    for (name, value) in &request.env {
        channel.send(write.set_env(false, name, value)).await?;
    }
    if let Some(pty) = &request.pty {
        channel.send(write.request_pty(true, &pty.term, pty.cols, pty.rows, 0, 0, &[])).await?;
        output.confirmed("a terminal").await?;
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
    output.confirmed(&what).await?;
    Ok(Exec::of_channel(input, output))
}

/// A stream to where the server can connect to (RFC 4254 section 7.2).
pub(crate) async fn tunnel(connection: &Arc<Native>, host: &str, port: u16) -> Result<Exec> {
    let host = host.to_owned();
    let opening = |native: Arc<Native>| async move {
        native.handle.channel_open_direct_tcpip(host, port.into(), "127.0.0.1", 0).await
    };
    let (input, output) = open(connection, opening).await?;
    Ok(Exec::of_channel(input, output))
}

/// Opens in a task of its own: a caller that gives up must not leave a channel behind that nobody closes.
async fn open<F>(
    connection: &Arc<Native>,
    opening: impl FnOnce(Arc<Native>) -> F,
) -> Result<(ChannelInput, ChannelOutput), Start>
where
    F: Future<Output = Result<Channel<Msg>, russh::Error>> + Send + 'static,
{
    let (tell, told) = tokio::sync::oneshot::channel();
    let native = Arc::clone(connection);
    let opening = opening(Arc::clone(connection));
    connection.tasks.spawn("ssh channel open", async move {
        let opened = match rt::clock::timeout(native.patience, "opening a channel", opening).await {
            Err(late) => Err(Start::Failed(late)),
            Ok(Err(_)) if native.handle.is_closed() => {
                Err(Start::Failed(native.state.lost_in_a_moment().await))
            }
            Ok(Err(e)) => Err(native.refused(&e)),
            Ok(Ok(channel)) => Ok(opened(native, channel)),
        };
        let _ = tell.send(opened);
    });
    told.await.unwrap_or_else(|_| Err(Start::Failed(connection.state.lost())))
}

fn opened(connection: Arc<Native>, channel: Channel<Msg>) -> (ChannelInput, ChannelOutput) {
    let (read, write) = channel.split();
    let closed = connection.state.channel_closed(write.id());
    connection.sessions.opened();
    let channel = Arc::new(OpenChannel { write, closed, connection });
    let input = ChannelInput { channel: Arc::clone(&channel), ended: AtomicBool::new(false) };
    let early = VecDeque::new();
    (input, ChannelOutput { channel, read, early, code: None, signal: None, done: false })
}

impl Native {
    fn refused(&self, e: &russh::Error) -> Start {
        let error = error::protocol("cannot open a session over SSH", e);
        if matches!(e, russh::Error::ChannelOpenFailure(_)) {
            self.sessions.refused();
            Start::Full(error)
        } else {
            Start::Failed(error)
        }
    }
}

impl ChannelInput {
    pub(super) async fn stdin(&self, data: Bytes) -> Result<()> {
        self.channel.send(self.channel.write.data_bytes(data)).await
    }

    pub(super) async fn eof(&self) -> Result<()> {
        if self.ended.swap(true, Ordering::Relaxed) {
            return Ok(());
        }
        self.channel.send(self.channel.write.eof()).await
    }

    pub(super) async fn resize(&self, rows: u32, cols: u32) -> Result<()> {
        self.channel.send(self.channel.write.window_change(cols, rows, 0, 0)).await
    }

    pub(super) async fn signal(&self, name: &str) -> Result<()> {
        self.channel.send(self.channel.write.signal(signal(name)?)).await
    }
}

impl ChannelInput {
    /// Leaves the end of the input to somebody else.
    pub(super) fn forget_end(self) {
        self.ended.store(true, Ordering::Relaxed);
    }
}

impl Drop for ChannelInput {
    fn drop(&mut self) {
        if !self.ended.load(Ordering::Relaxed) {
            self.channel.send_later(ChannelMsg::Eof);
        }
    }
}

impl ChannelOutput {
    /// Safe to cancel.
    pub(super) async fn next(&mut self) -> Option<ExecEvent> {
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

    pub(super) fn lost(&self) -> Error {
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
}

impl Drop for ChannelOutput {
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
