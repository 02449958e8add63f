//! Commands in a guest: `hostler.exec.v1`.

use crate::{
    Client, Error, Key, Result,
    socket::{self, CHUNK, Socket, closed, failure},
    tcp::project,
};
use api::{
    routes::RouteId,
    stream::{Channel, Control, EXEC_PROTOCOL, ExecRequest},
};
use base::Error as Failure;
use bytes::{Buf, Bytes, BytesMut};
use futures::{
    Sink, SinkExt, Stream, StreamExt,
    stream::{SplitSink, SplitStream},
};
use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::tungstenite::Message;

/// What comes from a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExecEvent {
    /// Its standard output.
    Stdout(Bytes),
    /// Its standard error.
    Stderr(Bytes),
    /// It has ended, and nothing follows.
    Exit(Exit),
}

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exit {
    /// Its exit code, unless a signal ended it.
    pub code: Option<u32>,
    /// The signal that ended it, without `SIG`.
    pub signal: Option<String>,
}

impl Exit {
    /// The exit code for a shell: the command's own, or 128 and the signal's number as shells say it. 255 where neither
    /// is known.
    pub fn shell_code(&self) -> u8 {
        match (self.code, self.signal.as_deref()) {
            (Some(code), _) => u8::try_from(code).unwrap_or(255),
            (None, Some(signal)) => signal_number(signal).map_or(255, |n| 128 + n),
            (None, None) => 255,
        }
    }
}

/// The numbers that Linux and macOS share (signal(7)).
fn signal_number(name: &str) -> Option<u8> {
    Some(match name.trim_start_matches("SIG") {
        "HUP" => 1,
        "INT" => 2,
        "QUIT" => 3,
        "ILL" => 4,
        "TRAP" => 5,
        "ABRT" => 6,
        "FPE" => 8,
        "KILL" => 9,
        "SEGV" => 11,
        "PIPE" => 13,
        "ALRM" => 14,
        "TERM" => 15,
        _ => return None,
    })
}

/// The way to a command.
#[derive(Debug)]
pub struct ExecSender(SplitSink<Socket, Message>);

/// The way from a command.
#[derive(Debug)]
pub struct ExecReceiver(SplitStream<Socket>);

impl Client {
    /// Starts a command, a login shell, or a subsystem in the guest.
    pub async fn vm_exec(&self, vm: &Key, request: &ExecRequest) -> Result<(ExecSender, ExecReceiver)> {
        let (sink, stream) = self.exec_socket(vm, request).await?.split();
        Ok((ExecSender(sink), ExecReceiver(stream)))
    }

    /// The same as one stream: standard input and output.
    pub async fn vm_exec_stream(&self, vm: &Key, request: &ExecRequest) -> Result<ExecStream> {
        let socket = self.exec_socket(vm, request).await?;
        Ok(ExecStream {
            socket,
            incoming: Bytes::new(),
            stderr: BytesMut::new(),
            ended: false,
            eof_sent: false,
        })
    }

    async fn exec_socket(&self, vm: &Key, request: &ExecRequest) -> Result<Socket> {
        let call = self.call(RouteId::ExecVm, &[project(vm), &vm.name]).query(request);
        socket::open(call, EXEC_PROTOCOL).await
    }
}

impl ExecSender {
    /// Gives bytes to the command; waits while it does not take them.
    pub async fn stdin(&mut self, bytes: &[u8]) -> Result<()> {
        for chunk in bytes.chunks(CHUNK) {
            self.send(frame(Channel::Stdin, chunk)).await?;
        }
        Ok(())
    }

    /// No more input.
    pub async fn eof(&mut self) -> Result<()> {
        self.control(&Control::Eof {}).await
    }

    /// The terminal has another size.
    pub async fn resize(&mut self, rows: u16, cols: u16) -> Result<()> {
        self.control(&Control::Resize { rows, cols }).await
    }

    /// Sends a signal: `INT`, `TERM`, ...
    pub async fn signal(&mut self, name: &str) -> Result<()> {
        self.control(&Control::Signal { name: name.to_owned() }).await
    }

    async fn control(&mut self, control: &Control) -> Result<()> {
        self.send(control_frame(control)?).await
    }

    async fn send(&mut self, message: Message) -> Result<()> {
        self.0.send(message).await.map_err(|e| failure(&e))
    }
}

impl ExecReceiver {
    /// What comes next. After [`ExecEvent::Exit`] nothing does.
    ///
    /// # Errors
    /// Why the command could not be run, or that the connection broke before its end was known.
    pub async fn next(&mut self) -> Result<ExecEvent> {
        loop {
            let message = self.0.next().await.ok_or_else(|| closed(None))?.map_err(|e| failure(&e))?;
            if let Some(event) = event(message)? {
                return Ok(event);
            }
        }
    }
}

fn frame(channel: Channel, bytes: &[u8]) -> Message {
    let mut message = BytesMut::with_capacity(bytes.len() + 1);
    message.extend_from_slice(&[channel as u8]);
    message.extend_from_slice(bytes);
    Message::Binary(message.freeze())
}

fn control_frame(control: &Control) -> Result<Message> {
    let json = serde_json::to_vec(control)
        .map_err(|e| Failure::internal("cannot write a control message").because(e))?;
    Ok(frame(Channel::Control, &json))
}

/// What a message says. Control messages that this program does not know are passed over.
fn event(message: Message) -> Result<Option<ExecEvent>> {
    let mut bytes = match message {
        Message::Binary(bytes) if !bytes.is_empty() => bytes,
        Message::Close(frame) => return Err(closed(frame.as_ref())),
        _ => return Ok(None),
    };
    let channel = Channel::try_from(bytes.get_u8())?;
    Ok(match channel {
        Channel::Stdout => Some(ExecEvent::Stdout(bytes)),
        Channel::Stderr => Some(ExecEvent::Stderr(bytes)),
        Channel::Stdin => None,
        Channel::Control => match serde_json::from_slice(&bytes) {
            Ok(Control::Exit { code, signal }) => Some(ExecEvent::Exit(Exit { code, signal })),
            Ok(Control::Error { error }) => return Err(error.into()),
            _ => None,
        },
    })
}

/// Standard input and output of a command as one stream. Shutting it down is the end of input.
#[derive(Debug)]
pub struct ExecStream {
    socket: Socket,
    incoming: Bytes,
    stderr: BytesMut,
    ended: bool,
    eof_sent: bool,
}

/// Enough of a command's complaints to be told.
const MOST_STDERR: usize = 4096;

impl ExecStream {
    /// The first of what the command wrote to its standard error.
    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.stderr).trim().to_owned()
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let message = match ready!(Pin::new(&mut self.socket).poll_next(cx)) {
            Some(Ok(message)) => message,
            Some(Err(e)) => return Poll::Ready(Err(failure(&e))),
            None => return Poll::Ready(Err(closed(None))),
        };
        match event(message)? {
            Some(ExecEvent::Stdout(bytes)) => self.incoming = bytes,
            Some(ExecEvent::Stderr(bytes)) => {
                let room = MOST_STDERR.saturating_sub(self.stderr.len()).min(bytes.len());
                self.stderr.extend_from_slice(&bytes[..room]);
            }
            Some(ExecEvent::Exit(_)) => self.ended = true,
            None => {}
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for ExecStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let _ = socket::poll_nudge(Pin::new(&mut self.socket), cx); // a broken socket shows in the read
        while self.incoming.is_empty() && !self.ended {
            ready!(self.poll_event(cx)).map_err(|e: Error| socket::io(e))?;
        }
        let n = self.incoming.len().min(buf.remaining());
        buf.put_slice(&self.incoming[..n]);
        self.incoming.advance(n);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ExecStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        if self.eof_sent {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let n = data.len().min(CHUNK);
        let message = || Ok(frame(Channel::Stdin, &data[..n]));
        ready!(socket::poll_send(Pin::new(&mut self.socket), cx, message))?;
        Poll::Ready(Ok(n))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx).map_err(|e| socket::io(failure(&e)))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.eof_sent {
            let message = || control_frame(&Control::Eof {});
            ready!(socket::poll_send(Pin::new(&mut self.socket), cx, message))?;
            self.eof_sent = true;
        }
        self.poll_flush(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_knows_how_a_command_ended() {
        let exit = |code, signal: Option<&str>| Exit { code, signal: signal.map(str::to_owned) }.shell_code();
        assert_eq!(exit(Some(7), None), 7);
        assert_eq!(exit(None, Some("KILL")), 137);
        assert_eq!(exit(None, Some("SIGTERM")), 143);
        assert_eq!(exit(None, Some("WINCH")), 255);
        assert_eq!(exit(Some(300), None), 255);
    }
}
