//! Joins a tunnel and a byte stream.

use crate::tunnel::{TunnelReader, TunnelStream, TunnelWriter};
use bytes::BytesMut;
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

const SMALLEST: usize = 8 << 10;
const LARGEST: usize = 256 << 10;

/// Moves bytes both ways until both directions have ended, and passes each end on as it comes. The numbers of bytes are
/// (into the tunnel, out of it). An error ends both directions; the tunnel is reset then.
///
/// Cheaper than [`tokio::io::copy_bidirectional`]: bytes go into and out of the tunnel without a copy, and a busy
/// stream is read in large pieces.
pub async fn relay(tunnel: TunnelStream, io: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<(u64, u64)> {
    let (reader, writer) = tunnel.into_split();
    let (from, to) = tokio::io::split(io);
    tokio::try_join!(into_tunnel(from, writer), out_of_tunnel(reader, to))
}

/// Sends all that can be read from `from`, and its end. Returns the number of bytes.
pub async fn into_tunnel(mut from: impl AsyncRead + Unpin, mut tunnel: TunnelWriter) -> io::Result<u64> {
    let mut buffer = BytesMut::new();
    let (mut total, mut room) = (0, SMALLEST);
    loop {
        // An idle tunnel keeps little, a busy one asks for more each time.
        buffer.reserve(room);
        let n = from.read_buf(&mut buffer).await?;
        if n == 0 {
            tunnel.finish()?;
            return Ok(total);
        }
        total += n as u64;
        room = next_room(room, n);
        tunnel.send(buffer.split().freeze()).await?;
    }
}

fn next_room(room: usize, filled: usize) -> usize {
    match filled {
        _ if filled >= room => (room * 2).min(LARGEST),
        _ if filled < room / 4 => (room / 2).max(SMALLEST),
        _ => room,
    }
}

/// Writes all that arrives, and its end. Returns the number of bytes.
pub async fn out_of_tunnel(mut tunnel: TunnelReader, mut to: impl AsyncWrite + Unpin) -> io::Result<u64> {
    let mut total = 0;
    while let Some(bytes) = tunnel.receive().await? {
        to.write_all(&bytes).await?;
        to.flush().await?;
        total += bytes.len() as u64;
    }
    to.shutdown().await?;
    Ok(total)
}
