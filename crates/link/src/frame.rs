//! Messages on a byte stream: `[length, u32 big endian][payload]`. Carries `hostler.exec.v1` through a tunnel, where
//! the first byte of each payload names its [`Channel`].

pub use api::stream::Channel;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// The largest payload, in bytes.
pub const MAX_FRAME: usize = 1 << 20;
const HEADER: usize = 4;

/// Takes the first byte off a message.
fn split(mut message: Bytes) -> io::Result<(Channel, Bytes)> {
    let Some(first) = message.first() else {
        return Err(invalid("an empty message names no channel".into()));
    };
    let channel = Channel::try_from(*first).map_err(|e| invalid(e.message))?;
    message.advance(1);
    Ok((channel, message))
}

/// Reads messages. Cancel-safe: a dropped [`FrameReader::next`] loses nothing.
#[derive(Debug)]
pub struct FrameReader<R> {
    inner: R,
    buffer: BytesMut,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    /// Reads from `inner`.
    pub fn new(inner: R) -> Self {
        FrameReader { inner, buffer: BytesMut::new() }
    }

    /// The next message; `None` where the stream ended between two. A longer one than [`MAX_FRAME`] and an end in the
    /// middle of one are errors.
    pub async fn next(&mut self) -> io::Result<Option<Bytes>> {
        loop {
            if let Some(message) = self.take()? {
                return Ok(Some(message));
            }
            if self.inner.read_buf(&mut self.buffer).await? == 0 {
                return if self.buffer.is_empty() { Ok(None) } else { Err(cut()) };
            }
        }
    }

    /// The next message with its channel taken off.
    pub async fn next_on_channel(&mut self) -> io::Result<Option<(Channel, Bytes)>> {
        self.next().await?.map(split).transpose()
    }

    fn take(&mut self) -> io::Result<Option<Bytes>> {
        let Some(header) = self.buffer.first_chunk::<HEADER>() else {
            self.buffer.reserve(8 << 10);
            return Ok(None);
        };
        let length = u32::from_be_bytes(*header) as usize;
        if length > MAX_FRAME {
            return Err(invalid(format!("a message of {length} bytes is longer than {MAX_FRAME}")));
        }
        if self.buffer.len() < HEADER + length {
            self.buffer.reserve(HEADER + length - self.buffer.len());
            return Ok(None);
        }
        self.buffer.advance(HEADER);
        Ok(Some(self.buffer.split_to(length).freeze()))
    }
}

/// Writes messages. A dropped send keeps what is left of its message and writes it before the next one, so that the
/// framing never breaks.
#[derive(Debug)]
pub struct FrameWriter<W> {
    inner: W,
    pending: BytesMut,
}

impl<W: AsyncWrite + Unpin> FrameWriter<W> {
    /// Writes to `inner`.
    pub fn new(inner: W) -> Self {
        FrameWriter { inner, pending: BytesMut::new() }
    }

    /// Sends one message and flushes it.
    pub async fn send(&mut self, payload: &[u8]) -> io::Result<()> {
        self.queue(&[payload])?;
        self.drain().await
    }

    /// Sends bytes on a channel, in as many messages as they need, and flushes them.
    pub async fn send_on(&mut self, channel: Channel, bytes: &[u8]) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        for part in bytes.chunks(MAX_FRAME - 1) {
            self.queue(&[&[channel as u8], part])?;
            self.drain().await?;
        }
        Ok(())
    }

    /// Ends the stream: the other side reads `None`.
    pub async fn shutdown(&mut self) -> io::Result<()> {
        self.drain().await?;
        self.inner.shutdown().await
    }

    fn queue(&mut self, parts: &[&[u8]]) -> io::Result<()> {
        let length: usize = parts.iter().map(|p| p.len()).sum();
        let header = u32::try_from(length).ok().filter(|_| length <= MAX_FRAME);
        let too_long = || invalid(format!("a message of {length} bytes is longer than {MAX_FRAME}"));
        self.pending.reserve(HEADER + length);
        self.pending.put_u32(header.ok_or_else(too_long)?);
        for part in parts {
            self.pending.put_slice(part);
        }
        Ok(())
    }

    async fn drain(&mut self) -> io::Result<()> {
        while !self.pending.is_empty() {
            if self.inner.write_buf(&mut self.pending).await? == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
        }
        self.inner.flush().await
    }
}

fn cut() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the stream ended in a message")
}

fn invalid(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}

#[cfg(test)]
mod tests;
