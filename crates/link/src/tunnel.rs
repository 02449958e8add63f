//! One tunnel: a byte stream with two directions and flow control of its own, inside a link.

use crate::http2::{SEND_BUFFER, io_error};
use bytes::{Buf, Bytes};
use std::{
    fmt,
    future::poll_fn,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::OwnedSemaphorePermit,
};

/// Which of a worker's two connections carries a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// Someone types into it, or looks at it.
    Interactive,
    /// It moves much data: files, forwarded ports.
    Bulk,
}

impl Class {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Class::Interactive => "interactive",
            Class::Bulk => "bulk",
        }
    }
}

/// A tunnel. Shutting it down ends one direction (the peer reads an end) and leaves the other open. Dropping it before
/// both directions ended resets it: the peer gets an error, never a silent end.
#[derive(Debug)]
pub struct TunnelStream {
    reader: TunnelReader,
    writer: TunnelWriter,
}

/// The receiving direction of a tunnel.
pub struct TunnelReader {
    stream: h2::RecvStream,
    chunk: Bytes,
    _slot: Option<std::sync::Arc<OwnedSemaphorePermit>>,
}

/// The sending direction of a tunnel. Dropping it without a shutdown resets the tunnel.
pub struct TunnelWriter {
    stream: h2::SendStream<Bytes>,
    ended: bool,
    _slot: Option<std::sync::Arc<OwnedSemaphorePermit>>,
}

impl TunnelStream {
    pub(crate) fn new(
        send: h2::SendStream<Bytes>,
        receive: h2::RecvStream,
        slot: Option<OwnedSemaphorePermit>,
    ) -> Self {
        let slot = slot.map(std::sync::Arc::new);
        TunnelStream {
            reader: TunnelReader { stream: receive, chunk: Bytes::new(), _slot: slot.clone() },
            writer: TunnelWriter { stream: send, ended: false, _slot: slot },
        }
    }

    /// Both directions, to be used apart.
    pub fn into_split(self) -> (TunnelReader, TunnelWriter) {
        (self.reader, self.writer)
    }
}

impl TunnelReader {
    /// The next bytes as they arrived, without a copy; `None` at the end.
    pub async fn receive(&mut self) -> io::Result<Option<Bytes>> {
        poll_fn(|cx| self.poll_receive(cx)).await
    }

    /// [`TunnelReader::receive`] for hand-written futures.
    pub fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
        ready!(self.poll_chunk(cx))?;
        let chunk = std::mem::take(&mut self.chunk);
        self.release(chunk.len());
        Poll::Ready(Ok(Some(chunk).filter(|c| !c.is_empty())))
    }

    /// Fills `chunk`; it stays empty only at the end of the stream.
    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.chunk.is_empty() {
            match ready!(self.stream.poll_data(cx)) {
                Some(Ok(chunk)) => self.chunk = chunk,
                Some(Err(e)) => return Poll::Ready(Err(io_error(e))),
                None => break,
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Lets the peer send as much again.
    fn release(&mut self, bytes: usize) {
        let _ = self.stream.flow_control().release_capacity(bytes); // fails only on a stream that is over
    }
}

impl AsyncRead for TunnelReader {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.poll_chunk(cx))?;
        let n = self.chunk.len().min(buf.remaining());
        buf.put_slice(&self.chunk[..n]);
        self.chunk.advance(n);
        self.release(n);
        Poll::Ready(Ok(()))
    }
}

impl TunnelWriter {
    /// Sends bytes without a copy, as fast as the peer takes them. Not cancel-safe: a dropped send may have sent a part.
    pub async fn send(&mut self, mut bytes: Bytes) -> io::Result<()> {
        while !bytes.is_empty() {
            let granted = poll_fn(|cx| self.poll_granted(cx, bytes.len())).await?;
            let part = bytes.split_to(granted.min(bytes.len()));
            self.stream.send_data(part, false).map_err(io_error)?;
        }
        Ok(())
    }

    /// Ends this direction: the peer reads an end.
    pub fn finish(&mut self) -> io::Result<()> {
        if std::mem::replace(&mut self.ended, true) {
            return Ok(());
        }
        self.stream.send_data(Bytes::new(), true).map_err(io_error)
    }

    /// How many bytes may be sent now, at least one.
    fn poll_granted(&mut self, cx: &mut Context<'_>, wanted: usize) -> Poll<io::Result<usize>> {
        self.stream.reserve_capacity(wanted.min(SEND_BUFFER));
        let granted = self.stream.capacity();
        if granted > 0 {
            return Poll::Ready(Ok(granted));
        }
        match ready!(self.stream.poll_capacity(cx)) {
            Some(Ok(granted)) => Poll::Ready(Ok(granted)),
            Some(Err(e)) => Poll::Ready(Err(io_error(e))),
            None => Poll::Ready(Err(self.why_closed(cx))),
        }
    }

    fn why_closed(&mut self, cx: &mut Context<'_>) -> io::Error {
        match self.stream.poll_reset(cx) {
            Poll::Ready(Err(e)) => io_error(e),
            Poll::Ready(Ok(reason)) => {
                io::Error::new(io::ErrorKind::ConnectionReset, h2::Error::from(reason))
            }
            Poll::Pending => io::ErrorKind::BrokenPipe.into(),
        }
    }
}

impl AsyncWrite for TunnelWriter {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if buf.is_empty() {
            return Poll::Ready(Ok(0)); // an empty frame would say nothing, and h2 counts them against the peer
        }
        if self.ended {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let n = ready!(self.poll_granted(cx, buf.len()))?.min(buf.len());
        self.stream.send_data(Bytes::copy_from_slice(&buf[..n]), false).map_err(io_error)?;
        Poll::Ready(Ok(n))
    }

    /// What was written is on its way: the link's own task sends it.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.finish())
    }
}

impl Drop for TunnelWriter {
    fn drop(&mut self) {
        if !self.ended {
            self.stream.send_reset(h2::Reason::CANCEL);
        }
    }
}

impl AsyncRead for TunnelStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.reader).poll_read(cx, buf)
    }
}

impl AsyncWrite for TunnelStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.writer).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.writer.finish())
    }
}

impl fmt::Debug for TunnelReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TunnelReader({:?})", self.stream.stream_id())
    }
}

impl fmt::Debug for TunnelWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TunnelWriter({:?})", self.stream.stream_id())
    }
}
