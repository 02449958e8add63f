//! A connection that we speak ourselves.

use super::{
    handshake::{Handshake, Keepalive},
    state::{PARTING, State},
    valve::Valve,
};
use crate::{
    algorithms::Algorithms,
    auth,
    error::Failure,
    host_key::{Callbacks, Checker, Pinned},
};
use base::{Error, Result};
use rt::task::CancellationToken;
use russh::{
    Disconnect, Preferred,
    client::{self, Handle},
};
use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::io::{AsyncRead, AsyncWrite};

/// What a server may send before it waits for us (RFC 4254 section 5.2): enough for 1 Gbit/s at 32 ms.
const WINDOW: u32 = 4 << 20;
/// The payload of one packet; OpenSSH and dropbear send no larger ones.
const PACKET: u32 = 32 << 10;
/// Received messages that wait for a slow reader: a window's worth of full packets fits.
pub(super) const WAITING: usize = 2 * (WINDOW / PACKET) as usize;
/// As [`WAITING`], where there may be a thousand connections: 768 KiB of full packets on each channel.
pub(crate) const WAITING_OF_MANY: usize = 24;

/// A connection, logged in.
pub(crate) struct Native {
    pub(crate) handle: Handle<Callbacks>,
    pub(crate) state: Arc<State>,
    pub(crate) tasks: rt::task::Group,
    /// How long a request may stay unanswered.
    pub(crate) patience: Duration,
    /// Open sessions, and how many the server is known to allow.
    pub(crate) sessions: Sessions,
    cut: CutOnDrop,
}

/// Sessions of a connection.
pub(crate) struct Sessions {
    open: AtomicUsize,
    most: AtomicUsize,
}

impl Default for Sessions {
    fn default() -> Self {
        Sessions { open: AtomicUsize::new(0), most: AtomicUsize::new(usize::MAX) }
    }
}

impl Sessions {
    pub(crate) fn opened(&self) {
        self.open.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn closed(&self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }

    /// The server refused one more (`MaxSessions`).
    pub(crate) fn refused(&self) {
        self.most.store(self.open.load(Ordering::Relaxed).max(1), Ordering::Relaxed);
    }

    pub(crate) fn are_full(&self) -> bool {
        self.open.load(Ordering::Relaxed) >= self.most.load(Ordering::Relaxed)
    }
}

/// Cuts the stream, so that the library's task ends even if nobody answers it.
struct CutOnDrop(CancellationToken);

impl Drop for CutOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

impl Native {
    /// Shakes hands over `stream`, checks the host key and logs in; `state` shows how far it came.
    pub(crate) async fn establish<S>(stream: S, setup: Handshake, state: &Arc<State>) -> Result<Self>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let Handshake { login, checker, algorithms, connect_timeout, keepalive, waiting } = setup;
        let config = Arc::new(config(algorithms.preferred(&checker), keepalive, waiting));
        let state = Arc::clone(state);
        let cut = CutOnDrop(CancellationToken::new());
        let stream = Valve::new(stream, &cut.0);
        let callbacks = Callbacks { checker, state: Arc::clone(&state) };
        let handshake = async {
            let connected = client::connect_stream(config, stream, callbacks).await;
            let mut handle = connected.inspect_err(|e| state.note_early_end(e))?;
            auth::login(&mut handle, &login, &state).await?;
            Ok::<_, Error>(handle)
        };
        let handle = state.patiently(connect_timeout, handshake).await?;
        let (tasks, sessions) = (rt::task::Group::new(), Sessions::default());
        Ok(Native { handle, state, tasks, patience: connect_timeout, sessions, cut })
    }

    /// Only the key that the server shows, as one line: nobody logs in.
    pub(crate) async fn show_key<S>(stream: S, algorithms: Algorithms, limit: Duration) -> Result<String>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let checker = Checker::Pinned(Pinned::any());
        let config = Arc::new(config(algorithms.preferred(&checker), None, 1));
        let state = Arc::new(State::default());
        let cut = CutOnDrop(CancellationToken::new());
        let callbacks = Callbacks { checker, state: Arc::clone(&state) };
        let handshake = client::connect_stream(config, Valve::new(stream, &cut.0), callbacks);
        let handle = rt::clock::timeout(limit, "the SSH handshake", handshake).await??;
        let _ = handle.disconnect(Disconnect::ByApplication, "", "").await;
        Ok(state.host_key.get().cloned().unwrap_or_default())
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.state.ended.is_cancelled() || self.handle.is_closed()
    }

    /// Says goodbye and ends the connection with all its commands.
    pub(crate) async fn close(&self) {
        let parting = async {
            let _ = self.handle.disconnect(Disconnect::ByApplication, "", "").await;
            self.state.ended.cancelled().await;
        };
        let _ = rt::clock::timeout(PARTING, "hanging up", parting).await;
        // Whatever still waits for the session ends now, also where that is stuck with a reader that does not read.
        self.cut.0.cancel();
        self.state.ended.cancel();
    }
}

impl State {
    /// Tells a server that hung up on us from one that has something against us.
    fn note_early_end(&self, e: &Failure) {
        use russh::Error as E;
        let hung_up = match e {
            Failure::Protocol(E::Disconnect | E::HUP) => true,
            Failure::Protocol(E::IO(e)) => matches!(
                e.kind(),
                io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::UnexpectedEof
            ),
            _ => false,
        };
        self.dropped.store(hung_up && self.host_key_shown.get().is_none(), Ordering::Relaxed);
    }
}

fn config(preferred: Preferred, keepalive: Option<Keepalive>, waiting: usize) -> client::Config {
    client::Config {
        window_size: WINDOW,
        maximum_packet_size: PACKET,
        channel_buffer_size: waiting,
        keepalive_interval: keepalive.map(|k| k.interval),
        keepalive_max: keepalive.map_or(0, |k| k.most as usize),
        preferred,
        ..client::Config::default()
    }
}
