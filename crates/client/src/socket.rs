//! WebSockets (RFC 6455) over an upgraded request, so that a refusal is an ordinary answer with a problem in it.

use crate::{Call, Error, Result};
use base::{Code, Error as Failure};
use futures::Sink;
use reqwest::{Upgraded, header};
use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        self, Message,
        handshake::{client::generate_key, derive_accept_key},
        protocol::{CloseFrame, Role, WebSocketConfig, frame::coding::CloseCode},
    },
};

pub(crate) type Socket = WebSocketStream<Upgraded>;

/// Most bytes of one message that we send.
pub(crate) const CHUNK: usize = 128 * 1024;
/// Longer than the longest `wait` that a server grants.
const HANDSHAKE: Duration = Duration::from_secs(3700);

/// Asks for a WebSocket that speaks `protocol`.
pub(crate) async fn open(call: Call, protocol: &str) -> Result<Socket> {
    let key = generate_key();
    let call = call
        .header(header::CONNECTION.as_str(), "upgrade")
        .header(header::UPGRADE.as_str(), "websocket")
        .header(header::SEC_WEBSOCKET_VERSION.as_str(), "13")
        .header(header::SEC_WEBSOCKET_KEY.as_str(), key.clone())
        .header(header::SEC_WEBSOCKET_PROTOCOL.as_str(), protocol);
    let response = rt::clock::timeout(HANDSHAKE, "the start of a stream", call.upgrade()).await??;
    let is = |name: header::HeaderName, value: &str| {
        response
            .headers()
            .get(name)
            .and_then(|v| v.to_str().ok())
            .is_some_and(|v| v.eq_ignore_ascii_case(value))
    };
    let accepted = is(header::SEC_WEBSOCKET_ACCEPT, &derive_accept_key(key.as_bytes()));
    if !accepted || !is(header::SEC_WEBSOCKET_PROTOCOL, protocol) {
        return Err(Failure::internal(format!("the server does not speak {protocol}"))
            .hint("compare `hostler version` with the controller's: one of them may be older")
            .into());
    }
    let upgraded = response
        .upgrade()
        .await
        .map_err(|e| Failure::unavailable("the connection broke while a stream was opened").because(e))?;
    let config = WebSocketConfig::default().max_write_buffer_size(8 * CHUNK);
    Ok(WebSocketStream::from_raw_socket(upgraded, Role::Client, Some(config)).await)
}

/// Sends a message at once: writers of byte streams do not always flush, and the far end may wait for what they wrote.
pub(crate) fn poll_send(
    mut socket: Pin<&mut Socket>,
    cx: &mut Context<'_>,
    message: impl FnOnce() -> Result<Message>,
) -> Poll<io::Result<()>> {
    let broken = |e| io(failure(&e));
    ready!(socket.as_mut().poll_flush(cx)).map_err(broken)?;
    socket.as_mut().start_send(message().map_err(io)?).map_err(broken)?;
    poll_nudge(socket, cx)
}

/// Moves on what the system did not take before. Never waits; the task is woken when there is room.
pub(crate) fn poll_nudge(socket: Pin<&mut Socket>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
    match socket.poll_flush(cx) {
        Poll::Ready(Err(e)) => Poll::Ready(Err(io(failure(&e)))),
        _ => Poll::Ready(Ok(())),
    }
}

/// A broken WebSocket.
pub(crate) fn failure(error: &tungstenite::Error) -> Error {
    Failure::unavailable("the connection to the guest broke").because(error).into()
}

/// The end of a WebSocket that came before the end of what went through it.
pub(crate) fn closed(frame: Option<&CloseFrame>) -> Error {
    let Some(frame) = frame else {
        return Failure::unavailable("the connection to the guest broke").hint("try again").into();
    };
    let code = match frame.code {
        CloseCode::Policy => Code::Forbidden,
        CloseCode::Size => Code::TooLarge,
        CloseCode::Protocol | CloseCode::Unsupported | CloseCode::Invalid => Code::Internal,
        _ => Code::Unavailable,
    };
    let reason = if frame.reason.is_empty() { "the server gave no reason" } else { frame.reason.as_str() };
    Failure::new(code, "the server ended the connection to the guest").because(reason).into()
}

/// The same for those who speak I/O errors.
pub(crate) fn io(error: Error) -> io::Error {
    let kind = match error.code() {
        Code::Unavailable => io::ErrorKind::ConnectionAborted,
        Code::Forbidden => io::ErrorKind::PermissionDenied,
        _ => io::ErrorKind::Other,
    };
    io::Error::new(kind, error)
}

/// The failure within an I/O error of ours.
pub fn unwrap_io(doing: &str, error: &io::Error) -> Error {
    let ours = error.get_ref().and_then(|e| e.downcast_ref::<Error>());
    ours.cloned().unwrap_or_else(|| Failure::io(doing, error).into())
}
