//! Byte streams under TLS and HTTP/2.

use rt::clock::Instant;
use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Any byte stream with two directions.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// A byte stream whose kind does not matter.
pub type BoxedIo = Box<dyn Io>;

const SMALLEST: usize = 4 << 10;
const LARGEST: usize = 256 << 10;

/// Reads ahead from a socket. rustls asks for 4 KiB at a time, which would cost four or five system calls per TLS
/// record. The buffer starts small, so that thousands of idle connections stay cheap, and grows while reads fill it.
#[derive(Debug)]
pub struct ReadAhead<T> {
    inner: T,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

impl<T> ReadAhead<T> {
    /// Wraps a stream from which nothing was read yet.
    pub fn new(inner: T) -> Self {
        ReadAhead { inner, buffer: Vec::new(), start: 0, end: 0 }
    }
}

impl<T: AsyncRead + Unpin> ReadAhead<T> {
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.end == self.buffer.len() {
            let larger = (self.buffer.len() * 2).clamp(SMALLEST, LARGEST);
            self.buffer.resize(larger, 0); // the last read filled it (or there was none)
        }
        let mut buf = ReadBuf::new(&mut self.buffer);
        ready!(Pin::new(&mut self.inner).poll_read(cx, &mut buf))?;
        (self.start, self.end) = (0, buf.filled().len());
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for ReadAhead<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.start == self.end {
            ready!(self.poll_fill(cx))?;
        }
        let ready = &self.buffer[self.start..self.end];
        let n = ready.len().min(buf.remaining());
        buf.put_slice(&ready[..n]);
        self.start += n;
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for ReadAhead<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

/// When something last arrived, so that a keepalive can tell a busy link from a dead one.
#[derive(Debug)]
pub(crate) struct Arrivals {
    begin: Instant,
    /// Nanoseconds after the beginning.
    last: AtomicU64,
}

impl Arrivals {
    fn now() -> Self {
        Arrivals { begin: rt::clock::now(), last: AtomicU64::new(0) }
    }

    fn note(&self) {
        let nanos = u64::try_from(self.begin.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.last.store(nanos, Ordering::Relaxed);
    }

    /// The beginning, where nothing has arrived yet.
    pub(crate) fn last(&self) -> Instant {
        self.begin + Duration::from_nanos(self.last.load(Ordering::Relaxed))
    }
}

/// Notes when something arrives.
pub(crate) struct Watched {
    inner: BoxedIo,
    arrivals: Arc<Arrivals>,
}

impl Watched {
    pub(crate) fn new(inner: BoxedIo) -> (Self, Arc<Arrivals>) {
        let arrivals = Arc::new(Arrivals::now());
        (Watched { inner, arrivals: arrivals.clone() }, arrivals)
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(cx, buf))?;
        if buf.filled().len() > before {
            self.arrivals.note();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    proptest! {
        /// Whatever the sizes of the pieces that arrive and of the reads, no byte is lost or doubled.
        #[test]
        fn reading_ahead_changes_nothing(pieces in prop::collection::vec(1usize..9000, 0..20), read in 1usize..9000) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(async {
                let total: usize = pieces.iter().sum();
                let sent: Vec<u8> = (0..total).map(|n| n.to_le_bytes()[0] ^ n.to_le_bytes()[1]).collect();
                let (mut near, far) = tokio::io::duplex(6000);
                let bytes = sent.clone();
                let write = async move {
                    let mut rest = &bytes[..];
                    for n in pieces {
                        near.write_all(&rest[..n]).await.unwrap();
                        rest = &rest[n..];
                    }
                };
                let receive = async {
                    let (mut far, mut got, mut buffer) = (ReadAhead::new(far), Vec::new(), vec![0; read]);
                    loop {
                        match far.read(&mut buffer).await.unwrap() {
                            0 => return got,
                            n => got.extend_from_slice(&buffer[..n]),
                        }
                    }
                };
                let ((), got) = tokio::join!(write, receive);
                assert!(got == sent);
            });
        }
    }
}
