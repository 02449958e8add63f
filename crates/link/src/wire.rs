//! Paths and bodies that both sides share.

use base::{Code, Error, Result};
use bytes::{Bytes, BytesMut};
use http::{Response, StatusCode};
use std::future::poll_fn;

pub(crate) const ASSIGNMENTS: &str = "/assignments";
pub(crate) const REPORT: &str = "/report";
pub(crate) const TUNNELS: &str = "/tunnels/";
pub(crate) const TUNNEL_PROTOCOL: &str = "hostler-tunnel";
/// Names the class of a tunnel.
pub(crate) const CLASS_HEADER: &str = "hostler-class";
/// The largest body of a request or its answer, in bytes.
pub(crate) const MAX_BODY: usize = 64 << 20;
/// The longest line of a report, in bytes.
pub(crate) const MAX_LINE: usize = 16 << 20;

/// Reads a body to its end, giving its window back as it arrives.
pub(crate) async fn read_body(body: &mut h2::RecvStream, most: usize) -> Result<Bytes> {
    let mut whole = BytesMut::new();
    while let Some(chunk) = poll_fn(|cx| body.poll_data(cx)).await {
        let chunk = chunk.map_err(|e| crate::http2::broken(&e))?;
        if whole.len() + chunk.len() > most {
            return Err(Error::new(Code::TooLarge, format!("a body on the link exceeds {most} bytes")));
        }
        whole.extend_from_slice(&chunk);
        let _ = body.flow_control().release_capacity(chunk.len());
    }
    Ok(whole.freeze())
}

/// Sends all of a body as fast as the other side takes it, and ends the stream.
pub(crate) async fn write_body(body: &mut h2::SendStream<Bytes>, bytes: Bytes) -> Result<()> {
    write_chunk(body, bytes).await?;
    body.send_data(Bytes::new(), true).map_err(|e| crate::http2::broken(&e))
}

/// Sends bytes as fast as the other side takes them.
pub(crate) async fn write_chunk(body: &mut h2::SendStream<Bytes>, mut bytes: Bytes) -> Result<()> {
    while !bytes.is_empty() {
        body.reserve_capacity(bytes.len().min(crate::http2::SEND_BUFFER));
        let granted = match poll_fn(|cx| body.poll_capacity(cx)).await {
            Some(Ok(n)) => n,
            Some(Err(e)) => return Err(crate::http2::broken(&e)),
            None => return Err(Error::unavailable("the other side of the link stopped reading")),
        };
        let part = bytes.split_to(granted.min(bytes.len()));
        body.send_data(part, false).map_err(|e| crate::http2::broken(&e))?;
    }
    Ok(())
}

/// The head of an answer that carries an error: the status of its code, the error as JSON in the body.
pub(crate) fn error_response(error: &Error) -> (Response<()>, Bytes) {
    let mut response = Response::new(());
    *response.status_mut() =
        StatusCode::from_u16(error.code.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (response, serde_json::to_vec(error).unwrap_or_default().into())
}

/// The error in an answer that carries one.
pub(crate) async fn read_error(status: StatusCode, body: &mut h2::RecvStream) -> Error {
    let unreadable = || Error::internal(format!("the worker answered {status} without saying why"));
    match read_body(body, 1 << 20).await {
        Ok(json) => serde_json::from_slice(&json).unwrap_or_else(|_| unreadable()),
        Err(e) => unreadable().because(e),
    }
}
