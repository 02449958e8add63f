//! HTTP/2 settings, keepalive and errors: the same on both sides.

use crate::{hello::Role, io::Arrivals};
use base::Error;
use std::{
    future::poll_fn,
    io,
    sync::{Arc, OnceLock},
    time::Duration,
};
use tokio_util::sync::CancellationToken;

/// Four TLS records less the nine bytes of a frame's header, so that no frame leaves a tiny record behind.
const MAX_FRAME_SIZE: u32 = 16 * 16384 - 9;
/// What one stream may have waiting to be sent, in bytes.
pub(crate) const SEND_BUFFER: usize = 1 << 20;

/// How each kind of connection is set up. The window of the connection holds the windows of all its streams:
/// a consumer that stalls can fill its own stream's window but never stop another stream.
pub(crate) struct Limits {
    pub(crate) stream_window: u32,
    pub(crate) max_streams: u32,
}

impl Limits {
    pub(crate) fn of(role: Role) -> Self {
        match role {
            Role::Control => Limits { stream_window: 1 << 20, max_streams: 1024 },
            Role::Bulk => Limits { stream_window: 4 << 20, max_streams: 256 },
        }
    }

    fn connection_window(&self) -> u32 {
        self.stream_window * self.max_streams
    }

    pub(crate) fn client(&self) -> h2::client::Builder {
        let mut builder = h2::client::Builder::new();
        builder
            .enable_push(false)
            .initial_window_size(self.stream_window)
            .initial_connection_window_size(self.connection_window())
            .max_frame_size(MAX_FRAME_SIZE)
            .max_send_buffer_size(SEND_BUFFER)
            .max_concurrent_reset_streams(self.max_streams as usize)
            .max_local_error_reset_streams(None); // counts over a connection's life; ours live for months
        builder
    }

    pub(crate) fn server(&self) -> h2::server::Builder {
        let mut builder = h2::server::Builder::new();
        builder
            .initial_window_size(self.stream_window)
            .initial_connection_window_size(self.connection_window())
            .max_frame_size(MAX_FRAME_SIZE)
            .max_send_buffer_size(SEND_BUFFER)
            .max_concurrent_streams(self.max_streams)
            .max_concurrent_reset_streams(self.max_streams as usize)
            .max_pending_accept_reset_streams(self.max_streams as usize)
            .max_local_error_reset_streams(None)
            .enable_connect_protocol();
        builder
    }
}

/// When a silent peer counts as gone.
#[derive(Clone, Copy, Debug)]
pub struct KeepAlive {
    /// The time between two pings.
    pub interval: Duration,
    /// The time within which a ping is answered, or at least something arrives.
    pub timeout: Duration,
}

impl Default for KeepAlive {
    /// 15 s and 10 s.
    fn default() -> Self {
        KeepAlive { interval: Duration::from_secs(15), timeout: Duration::from_secs(10) }
    }
}

/// Which side makes sure that something arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pings {
    /// Pings at every interval: the worker.
    Always,
    /// Pings only when the other side's pings are overdue: the controller, which has thousands of links.
    WhenOverdue,
}

impl KeepAlive {
    /// Bulk connections are watched less often: they end with their control connection anyway.
    pub(crate) fn of(mut self, role: Role) -> Self {
        if role == Role::Bulk {
            self.interval *= 4;
        }
        self
    }

    /// Watches until the peer is silent, and returns then. On a slow link a ping waits behind data: while anything
    /// arrives, the peer lives.
    pub(crate) async fn watch(
        self,
        pings: Pings,
        ping_pong: Option<h2::PingPong>,
        arrivals: Arc<Arrivals>,
    ) -> Error {
        let Some(mut ping_pong) = ping_pong else { return Error::internal("a link has no keepalive") };
        loop {
            match pings {
                Pings::Always => rt::clock::sleep(self.interval).await,
                Pings::WhenOverdue => self.overdue(&arrivals).await,
            }
            if let Err(e) = self.ping(&mut ping_pong, &arrivals).await {
                return e;
            }
        }
    }

    /// Waits until nothing has arrived for a third longer than an interval. It looks again when that may be, not before:
    /// a controller with thousands of links wakes seldom.
    async fn overdue(self, arrivals: &Arrivals) {
        let patience = self.interval + self.interval / 3;
        loop {
            let left = patience.saturating_sub(arrivals.last().elapsed());
            if left.is_zero() {
                return;
            }
            rt::clock::sleep(left).await;
        }
    }

    async fn ping(self, ping_pong: &mut h2::PingPong, arrivals: &Arrivals) -> Result<(), Error> {
        ping_pong.send_ping(h2::Ping::opaque()).map_err(|e| broken(&e))?;
        loop {
            let before = arrivals.last();
            let pong = poll_fn(|cx| ping_pong.poll_pong(cx));
            match rt::clock::timeout(self.timeout, "a ping on the link", pong).await {
                Ok(pong) => return pong.map(drop).map_err(|e| broken(&e)),
                Err(_) if arrivals.last() != before => {}
                Err(e) => return Err(Error::unavailable("the other side of the link is silent").because(e)),
            }
        }
    }
}

/// The end of something, with its reason. The first reason stays.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ending {
    token: CancellationToken,
    reason: Arc<OnceLock<Error>>,
}

impl Ending {
    pub(crate) fn end(&self, reason: Error) {
        let _ = self.reason.set(reason);
        self.token.cancel();
    }

    pub(crate) fn is_over(&self) -> bool {
        self.token.is_cancelled()
    }

    pub(crate) fn reason(&self) -> Error {
        self.reason.get().cloned().unwrap_or_else(|| Error::unavailable("the link was closed"))
    }

    pub(crate) async fn wait(&self) -> Error {
        self.token.cancelled().await;
        self.reason()
    }
}

/// An HTTP/2 error as ours: the link broke.
pub(crate) fn broken(error: &h2::Error) -> Error {
    if error.is_reset() {
        return Error::unavailable("the other side of the link gave up").because(error).hint("try again");
    }
    Error::unavailable("the link was cut").because(error).hint("try again: the worker reconnects by itself")
}

/// An HTTP/2 error as one of a byte stream: a reset is a reset, all else a broken connection.
pub(crate) fn io_error(error: h2::Error) -> io::Error {
    if error.is_reset() {
        return io::Error::new(io::ErrorKind::ConnectionReset, error);
    }
    if error.is_io() {
        return error.into_io().unwrap_or_else(|| io::ErrorKind::BrokenPipe.into());
    }
    io::Error::new(io::ErrorKind::BrokenPipe, error)
}
