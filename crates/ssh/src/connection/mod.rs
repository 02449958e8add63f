//! A connection to one SSH server.

pub(crate) mod handshake;
pub(crate) mod knock;
pub(crate) mod native;
mod state;
mod valve;

pub(crate) use state::State;

use crate::{
    Exec, ExecRequest, Options, Output,
    exec::{self, Start},
    output,
    program::Master,
    sftp::SftpClient,
};
use base::Result;
use bytes::Bytes;
use futures::future::BoxFuture;
use handshake::Handshake;
use knock::Knock;
use native::Native;
use parking_lot::Mutex;
use std::{fmt, sync::Arc};
use tokio::io::{AsyncRead, AsyncWrite};

/// A logged-in connection, cheap to clone. It ends when the last clone and the last [`Exec`] of it are dropped.
///
/// **Sharing.** Commands on one connection share its fate: at the latest after 8 MiB (256 messages; 24 on a connection of
/// a [`crate::Dialer`], of which there may be many) that the reader of one command leaves lying, the whole connection
/// waits for that reader, so that memory stays bounded. Share one connection among short commands whose output is read at once; give each terminal, each bulk transfer and whatever may
/// have a slow reader a connection of its own. OpenSSH also allows only ten sessions per connection (`MaxSessions`):
/// what a [`crate::Dialer`] opened then opens another one by itself.
#[derive(Clone)]
pub struct Connection(Arc<Shared>);

struct Shared {
    /// The first one, and others where the server allows no more sessions on it.
    ways: Mutex<Vec<Way>>,
    /// Variables that each command gets, where the server lets it.
    environment: Vec<(String, String)>,
    /// Opens another one.
    more: Option<More>,
    /// Only one opens another one at once.
    opening: tokio::sync::Mutex<()>,
}

/// Opens one more connection to the same server.
pub(crate) type More = Box<dyn Fn() -> BoxFuture<'static, Result<Way>> + Send + Sync>;

/// One connection on the wire.
#[derive(Clone)]
pub(crate) enum Way {
    /// That we speak ourselves.
    Native(Arc<Native>),
    /// That the program `ssh` keeps for us.
    Program(Arc<Master>),
}

impl Way {
    async fn start(&self, request: ExecRequest) -> Result<Exec, Start> {
        match self {
            Way::Native(native) => {
                let starting = exec::start(native, request);
                rt::clock::timeout(native.patience, "the start of the command over SSH", starting).await?
            }
            Way::Program(master) => Ok(master.start(&request)?),
        }
    }

    /// A stream to where the server can connect to.
    pub(crate) async fn tunnel(&self, host: &str, port: u16) -> Result<Exec> {
        match self {
            Way::Native(native) => {
                let opening = exec::tunnel(native, host, port);
                rt::clock::timeout(native.patience, "the way through the jump host", opening).await?
            }
            Way::Program(master) => master.tunnel(host, port),
        }
    }

    fn is_full(&self) -> bool {
        match self {
            Way::Native(native) => native.sessions.are_full(),
            Way::Program(_) => false,
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        match self {
            Way::Native(native) => native.is_closed(),
            Way::Program(master) => master.is_closed(),
        }
    }

    async fn close(&self) {
        match self {
            Way::Native(native) => native.close().await,
            Way::Program(master) => master.close().await,
        }
    }
}

impl Connection {
    /// Shakes hands over `stream`, checks the host key and logs in. On a TCP stream, switch Nagle's algorithm off first
    /// (`set_nodelay`): it delays each keystroke.
    ///
    /// # Errors
    /// [`base::Code::Forbidden`] for another host key than expected, [`base::Code::Unauthenticated`] for a refused
    /// login, [`base::Code::Timeout`] after [`Options::connect_timeout`], [`base::Code::Unavailable`] where the stream
    /// breaks or no SSH server answers.
    pub async fn connect<S>(stream: S, options: Options) -> Result<Self>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        Native::establish(stream, Handshake::new(options)?, &Arc::default()).await.map(Connection::alone)
    }

    /// The same over a stream that this opens, and over another one where the server hangs up before it has shown its key:
    /// mostly it is busy with others, so it is asked again for about four seconds.
    ///
    /// # Errors
    /// As [`Connection::connect`], and what opening a stream does.
    pub async fn connect_over<'a, S>(
        open: impl Fn() -> BoxFuture<'a, Result<S>> + Send,
        options: Options,
    ) -> Result<Self>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let mut knock = Knock::new();
        loop {
            let (stream, state) = (open().await?, Arc::<State>::default());
            match Native::establish(stream, Handshake::new(options.clone())?, &state).await {
                Err(e) if knock.again(&state).await => tracing::debug!(error = %e, "knocking again"),
                tried => return tried.map(Connection::alone),
            }
        }
    }

    /// One that opens no others.
    fn alone(native: Native) -> Self {
        Connection::new(Way::Native(Arc::new(native)), Vec::new(), None)
    }

    /// One that may open others like itself.
    pub(crate) fn new(way: Way, environment: Vec<(String, String)>, more: Option<More>) -> Self {
        let (ways, opening) = (Mutex::new(vec![way]), tokio::sync::Mutex::default());
        Connection(Arc::new(Shared { ways, environment, more, opening }))
    }

    /// Starts a command, a shell or a subsystem.
    ///
    /// # Errors
    /// [`base::Code::Unavailable`] where the connection is gone, or the server refuses (another session, a terminal, the
    /// command); [`base::Code::Timeout`] where it does not answer within [`Options::connect_timeout`].
    pub async fn exec(&self, mut request: ExecRequest) -> Result<Exec> {
        request.env.extend_from_slice(&self.0.environment);
        let ways = self.0.ways.lock().clone();
        let Some(more) = &self.0.more else { return Ok(ways[0].start(request).await?) };
        if let Some(exec) = start_on_one(&ways, &request).await? {
            return Ok(exec);
        }
        // Whoever waited here may find room on the one that another opened.
        let _turn = self.0.opening.lock().await;
        let ways = self.0.ways.lock().clone();
        if let Some(exec) = start_on_one(&ways, &request).await? {
            return Ok(exec);
        }
        tracing::debug!(connections = ways.len(), "no session is free, opening another connection");
        let way = more().await?;
        self.0.ways.lock().push(way.clone());
        Ok(way.start(request).await?)
    }

    /// Where the program `ssh` keeps the connection: that program, for a shell or a line that gets our own terminal. Whoever
    /// starts it keeps the connection until it has ended. `None` where we speak ourselves.
    ///
    /// # Errors
    /// Where the host keys cannot be written for it.
    pub fn terminal_program(&self, line: Option<&str>) -> Result<Option<tokio::process::Command>> {
        match self.first() {
            Way::Native(_) => Ok(None),
            Way::Program(master) => master.terminal(line).map(Some),
        }
    }

    /// Runs a command to its end, giving it `input`, keeping at most `most` bytes of each of its two outputs.
    pub async fn output(&self, request: ExecRequest, input: Bytes, most: usize) -> Result<Output> {
        output::collect(self.exec(request).await?, input, most).await
    }

    /// Files of the server, over its `sftp` subsystem.
    pub async fn sftp(&self) -> Result<SftpClient> {
        let exec = self.exec(ExecRequest::subsystem("sftp")).await?;
        SftpClient::new(exec.into_stream()).await
    }

    /// The host key that the server showed, as one line without comment; empty where the program `ssh` checks it.
    pub fn host_key_seen(&self) -> String {
        match &self.first() {
            Way::Native(native) => native.state.host_key.get().cloned().unwrap_or_default(),
            Way::Program(_) => String::new(),
        }
    }

    /// Whether the connection has ended.
    pub fn is_closed(&self) -> bool {
        self.first().is_closed()
    }

    /// Waits for the end of the connection.
    pub async fn closed(&self) {
        match self.first() {
            Way::Native(native) => native.state.ended.cancelled().await,
            Way::Program(master) => master.ended().await,
        }
    }

    /// Says goodbye and ends the connection with all its commands, also for the other clones.
    pub async fn close(&self) {
        let ways = self.0.ways.lock().clone();
        futures::future::join_all(ways.iter().map(Way::close)).await;
    }

    /// The one that was opened first, and that stands for all.
    pub(crate) fn first(&self) -> Way {
        self.0.ways.lock()[0].clone()
    }
}

/// Starts on the first that has room; `None` where none has.
async fn start_on_one(ways: &[Way], request: &ExecRequest) -> Result<Option<Exec>> {
    for (number, way) in ways.iter().enumerate() {
        // Of one that is lost, only the first is worth an error.
        if way.is_full() || (number > 0 && way.is_closed()) {
            continue;
        }
        match way.start(request.clone()).await {
            Ok(exec) => return Ok(Some(exec)),
            Err(Start::Full(_)) => {}
            Err(Start::Failed(e)) => return Err(e),
        }
    }
    Ok(None)
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("host_key", &self.host_key_seen())
            .field("closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}
