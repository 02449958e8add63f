//! A command as a byte stream.

use crate::{ExecEvent, ExecReceiver, ExecSender, exec::OpenChannel};
use bytes::{Buf, Bytes};
use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::sync::WaitForCancellationFutureOwned;

/// The standard input and output of a command: what a protocol such as SFTP runs over. Shutting it down ends the input.
pub struct ExecStream {
    receiver: ExecReceiver,
    /// What was received and not yet read.
    rest: Bytes,
    writer: Box<dyn AsyncWrite + Send + Unpin>,
    closed: Pin<Box<WaitForCancellationFutureOwned>>,
    ended: Pin<Box<WaitForCancellationFutureOwned>>,
    _channel: Arc<OpenChannel>,
}

impl ExecStream {
    pub(crate) fn new(sender: ExecSender, receiver: ExecReceiver) -> Self {
        let channel = Arc::clone(&sender.channel);
        sender.forget_end();
        ExecStream {
            receiver,
            rest: Bytes::new(),
            writer: Box::new(channel.write.make_writer()),
            closed: Box::pin(channel.closed.clone().cancelled_owned()),
            ended: Box::pin(channel.connection.state.ended.clone().cancelled_owned()),
            _channel: channel,
        }
    }

    /// The library waits for a window that a closed channel never opens.
    fn is_gone(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let gone = self.closed.as_mut().poll(cx).is_ready() || self.ended.as_mut().poll(cx).is_ready();
        if gone {
            Err(io::Error::new(io::ErrorKind::BrokenPipe, "the SSH channel was closed"))
        } else {
            Ok(())
        }
    }
}

impl AsyncRead for ExecStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.rest.is_empty() {
            match ready!(self.receiver.poll_next(cx)) {
                Some(ExecEvent::Stdout(data)) => self.rest = data,
                Some(ExecEvent::Stderr(_)) => {}
                Some(ExecEvent::Exit { .. }) | None => return Poll::Ready(Ok(())),
            }
        }
        let n = self.rest.len().min(buf.remaining());
        buf.put_slice(&self.rest[..n]);
        self.rest.advance(n);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ExecStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        self.is_gone(cx)?;
        if data.is_empty() {
            return Poll::Ready(Ok(0));
        }
        Pin::new(&mut self.writer).poll_write(cx, data)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_gone(cx).is_err() {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.writer).poll_shutdown(cx)
    }
}
