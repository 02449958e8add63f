//! A connection to one SSH server.

use crate::{
    Exec, ExecRequest, Options, Output,
    algorithms::Algorithms,
    auth, exec,
    handshake::{Handshake, Keepalive},
    host_key::{Callbacks, Checker, Pinned},
    output,
    sftp::SftpClient,
    valve::Valve,
};
use base::{Error, Result};
use bytes::Bytes;
use parking_lot::Mutex;
use rt::task::CancellationToken;
use russh::{
    ChannelId, Disconnect, Preferred,
    client::{self, Handle},
};
use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, OnceLock},
    time::Duration,
};
use tokio::io::{AsyncRead, AsyncWrite};

/// What a server may send before it waits for us (RFC 4254 section 5.2): enough for 1 Gbit/s at 32 ms.
const WINDOW: u32 = 4 << 20;
/// The payload of one packet; OpenSSH and dropbear send no larger ones.
const PACKET: u32 = 32 << 10;
/// Received messages that wait for a slow reader. A window's worth of full packets fits.
const WAITING: usize = 2 * (WINDOW / PACKET) as usize;
/// How long a server may take to hang up.
const PARTING: Duration = Duration::from_secs(2);

/// A logged-in connection, cheap to clone. It ends when the last clone and the last [`Exec`] of it are dropped.
///
/// **Sharing.** Commands on one connection share its fate: at the latest after 8 MiB (256 messages) that the reader of
/// one command leaves lying, the whole connection waits for that reader, so that memory stays bounded. Share one
/// connection among short commands whose output is read at once; give each terminal, each bulk transfer and whatever may
/// have a slow reader a connection of its own. OpenSSH also allows only ten sessions per connection (`MaxSessions`).
#[derive(Clone)]
pub struct Connection(Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) handle: Handle<Callbacks>,
    pub(crate) state: Arc<State>,
    pub(crate) tasks: rt::task::Group,
    /// How long a request may stay unanswered.
    pub(crate) patience: Duration,
    cut: CutOnDrop,
}

/// What the session's task tells us.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) host_key: OnceLock<String>,
    /// The key that came, also where it was refused.
    pub(crate) host_key_shown: OnceLock<String>,
    /// The key, where nobody knew it before.
    pub(crate) new_host_key: OnceLock<String>,
    /// Why the session ended.
    pub(crate) reason: OnceLock<String>,
    /// What the server shows before a login.
    pub(crate) greeting: Mutex<String>,
    pub(crate) ended: CancellationToken,
    channels: Mutex<HashMap<ChannelId, CancellationToken>>,
}

impl State {
    /// A token that is cancelled when the server closes this channel. Made by whoever asks first.
    pub(crate) fn channel_closed(&self, id: ChannelId) -> CancellationToken {
        self.channels.lock().entry(id).or_default().clone()
    }

    pub(crate) fn forget_channel(&self, id: ChannelId) {
        self.channels.lock().remove(&id);
    }

    /// As [`Self::lost`], when the reason may be just about to be known.
    pub(crate) async fn lost_in_a_moment(&self) -> Error {
        let _ = rt::clock::timeout(PARTING, "the end of the connection", self.ended.cancelled()).await;
        self.lost()
    }

    /// The error for whoever still wants something of an ended connection.
    pub(crate) fn lost(&self) -> Error {
        let reason = self.reason.get().map_or("the connection was closed", String::as_str);
        Error::unavailable("the SSH connection was lost").because(reason).hint("connect again")
    }
}

/// Cuts the stream, so that the library's task ends even if nobody answers it.
struct CutOnDrop(CancellationToken);

impl Drop for CutOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
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
        Self::establish(stream, Handshake::new(options)?, &Arc::default()).await
    }

    /// As [`Self::connect`]; `state` shows how far it came.
    pub(crate) async fn establish<S>(stream: S, setup: Handshake, state: &Arc<State>) -> Result<Self>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let Handshake { user, auth, checker, algorithms, connect_timeout, keepalive } = setup;
        let config = Arc::new(config(algorithms.preferred(&checker), keepalive));
        let state = Arc::clone(state);
        let cut = CutOnDrop(CancellationToken::new());
        let stream = Valve::new(stream, &cut.0);
        let callbacks = Callbacks { checker, state: Arc::clone(&state) };
        let handshake = async {
            let mut handle = client::connect_stream(config, stream, callbacks).await?;
            auth::login(&mut handle, &user, &auth, &state).await?;
            Ok::<_, Error>(handle)
        };
        let handle = rt::clock::timeout(connect_timeout, "the SSH handshake", handshake).await??;
        let (tasks, patience) = (rt::task::Group::new(), connect_timeout);
        Ok(Connection(Arc::new(Inner { handle, state, tasks, patience, cut })))
    }

    /// Only the key that the server shows, as one line: nobody logs in.
    pub(crate) async fn show_key<S>(stream: S, algorithms: Algorithms, limit: Duration) -> Result<String>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let checker = Checker::Pinned(Pinned::any());
        let config = Arc::new(config(algorithms.preferred(&checker), None));
        let state = Arc::new(State::default());
        let cut = CutOnDrop(CancellationToken::new());
        let callbacks = Callbacks { checker, state: Arc::clone(&state) };
        let handshake = client::connect_stream(config, Valve::new(stream, &cut.0), callbacks);
        let handle = rt::clock::timeout(limit, "the SSH handshake", handshake).await??;
        let _ = handle.disconnect(Disconnect::ByApplication, "", "").await;
        Ok(state.host_key.get().cloned().unwrap_or_default())
    }

    /// Starts a command, a shell or a subsystem.
    ///
    /// # Errors
    /// [`base::Code::Unavailable`] where the connection is gone, or the server refuses (another session, a terminal, the
    /// command); [`base::Code::Timeout`] where it does not answer within [`Options::connect_timeout`].
    pub async fn exec(&self, request: ExecRequest) -> Result<Exec> {
        let starting = exec::start(&self.0, request);
        rt::clock::timeout(self.0.patience, "the start of the command over SSH", starting).await?
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

    /// The host key that the server showed, as one line without comment.
    pub fn host_key_seen(&self) -> &str {
        self.0.state.host_key.get().map_or("", String::as_str)
    }

    /// Whether the connection has ended.
    pub fn is_closed(&self) -> bool {
        self.0.state.ended.is_cancelled() || self.0.handle.is_closed()
    }

    /// Waits for the end of the connection.
    pub async fn closed(&self) {
        self.0.state.ended.cancelled().await;
    }

    /// Says goodbye and ends the connection with all its commands, also for the other clones.
    pub async fn close(&self) {
        let parting = async {
            let _ = self.0.handle.disconnect(Disconnect::ByApplication, "", "").await;
            self.closed().await;
        };
        let _ = rt::clock::timeout(PARTING, "hanging up", parting).await;
        // Whatever still waits for the session ends now, also where that is stuck with a reader that does not read.
        self.0.cut.0.cancel();
        self.0.state.ended.cancel();
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("host_key", &self.host_key_seen())
            .field("closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}

fn config(preferred: Preferred, keepalive: Option<Keepalive>) -> client::Config {
    client::Config {
        window_size: WINDOW,
        maximum_packet_size: PACKET,
        channel_buffer_size: WAITING,
        keepalive_interval: keepalive.map(|k| k.interval),
        keepalive_max: keepalive.map_or(0, |k| k.most as usize),
        preferred,
        ..client::Config::default()
    }
}
