//! A command as a byte stream.

use super::{ExecEvent, ExecReceiver, Input, channel::OpenChannel};
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
    channel: Option<Watched>,
}

/// A channel whose end is noticed.
struct Watched {
    closed: Pin<Box<WaitForCancellationFutureOwned>>,
    ended: Pin<Box<WaitForCancellationFutureOwned>>,
    _channel: Arc<OpenChannel>,
}

impl ExecStream {
    pub(super) fn new(input: Input, receiver: ExecReceiver) -> Self {
        let (writer, channel): (Box<dyn AsyncWrite + Send + Unpin>, _) = match input {
            Input::Channel(input) => {
                let channel = Arc::clone(&input.channel);
                input.forget_end();
                let writer = Box::new(channel.write.make_writer());
                (writer, Some(Watched::new(channel)))
            }
            Input::Program(input) => (input.into_writer(), None),
        };
        ExecStream { receiver, rest: Bytes::new(), writer, channel }
    }

    /// The library waits for a window that a closed channel never opens.
    fn is_gone(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let Some(channel) = &mut self.channel else { return Ok(()) };
        if channel.closed.as_mut().poll(cx).is_ready() || channel.ended.as_mut().poll(cx).is_ready() {
            Err(io::Error::new(io::ErrorKind::BrokenPipe, "the SSH channel was closed"))
        } else {
            Ok(())
        }
    }
}

impl Watched {
    fn new(channel: Arc<OpenChannel>) -> Self {
        Watched {
            closed: Box::pin(channel.closed.clone().cancelled_owned()),
            ended: Box::pin(channel.connection.state.ended.clone().cancelled_owned()),
            _channel: channel,
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

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.writer).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_gone(cx).is_err() {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.writer).poll_shutdown(cx)
    }
}
