//! A stream that can be cut from outside. The protocol library keeps a stream in a task of its own; cutting is how that
//! task is made to end even while the other side neither reads nor writes.

use rt::task::CancellationToken;
use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::sync::WaitForCancellationFutureOwned;

type Cut = Pin<Box<WaitForCancellationFutureOwned>>;

/// Passes everything on until the token is cancelled, then fails.
pub(crate) struct Valve<S> {
    stream: S,
    // One each, since the reading and the writing task may differ and a future wakes one task only.
    read_cut: Cut,
    write_cut: Cut,
}

impl<S> Valve<S> {
    pub(crate) fn new(stream: S, cut: &CancellationToken) -> Self {
        let wait = || Box::pin(cut.clone().cancelled_owned());
        Valve { stream, read_cut: wait(), write_cut: wait() }
    }
}

fn is_cut(cut: &mut Cut, cx: &mut Context<'_>) -> io::Result<()> {
    match cut.as_mut().poll(cx) {
        Poll::Ready(()) => Err(io::Error::new(io::ErrorKind::ConnectionAborted, "we closed the connection")),
        Poll::Pending => Ok(()),
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Valve<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        is_cut(&mut self.read_cut, cx)?;
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Valve<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        is_cut(&mut self.write_cut, cx)?;
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        is_cut(&mut self.write_cut, cx)?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        is_cut(&mut self.write_cut, cx)?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
