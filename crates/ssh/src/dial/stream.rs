//! Ways to the bytes of an SSH server: a socket, a channel of another connection, a command.

use super::{Leg, tcp};
use crate::{Connection, config::Proxy};
use base::{Error, Result};
use std::{
    io,
    net::IpAddr,
    pin::Pin,
    process::Stdio,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    process::{Child, ChildStdin, ChildStdout},
};

/// Anything that bytes go through in both directions.
pub(super) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Duplex for T {}

/// An open way to a server.
pub(super) struct Open {
    pub(super) stream: Box<dyn Duplex>,
    /// The address at the other end, where it is known.
    pub(super) address: Option<IpAddr>,
}

/// Where a server is, as far as it can be told before connecting.
pub(super) enum Place {
    Addresses(Vec<std::net::SocketAddr>),
    Behind(Connection),
    Command(String),
}

impl Place {
    pub(super) async fn find(leg: &Leg, before: Option<&Connection>, limit: Duration) -> Result<Self> {
        Ok(match (&leg.host.proxy, before) {
            (Proxy::Command(command), _) => Place::Command(command.clone()),
            (_, Some(jump)) => Place::Behind(jump.clone()),
            _ => Place::Addresses(tcp::addresses(&leg.host, limit).await?),
        })
    }

    /// What tells one server from others, for whoever counts its visitors.
    pub(super) fn server(&self, leg: &Leg) -> String {
        let there = format!("{}:{}", leg.host.host_name, leg.host.port);
        match self {
            Place::Addresses(addresses) => addresses.first().map_or(there, ToString::to_string),
            Place::Behind(_) => format!("{there} over {:?}", leg.host.proxy),
            Place::Command(command) => format!("{there} by {command}"),
        }
    }

    pub(super) async fn open(&self, leg: &Leg, limit: Duration) -> Result<Open> {
        match self {
            Place::Addresses(addresses) => {
                let stream = tcp::connect(&leg.host, addresses, limit).await?;
                let address = stream.peer_addr().ok().map(|a| a.ip());
                Ok(Open { stream: Box::new(stream), address })
            }
            Place::Behind(jump) => {
                let exec = jump.first().tunnel(&leg.host.host_name, leg.host.port).await?;
                Ok(Open { stream: Box::new(exec.into_stream()), address: None })
            }
            Place::Command(command) => {
                Ok(Open { stream: Box::new(CommandStream::start(command)?), address: None })
            }
        }
    }
}

/// The standard input and output of a `ProxyCommand`, which ends with it. What it says on standard error goes to ours, as
/// with `ssh`.
struct CommandStream {
    stdin: ChildStdin,
    stdout: ChildStdout,
    child: Child,
    /// Whether nothing came from it yet.
    silent: bool,
}

impl CommandStream {
    fn start(line: &str) -> Result<Self> {
        let mut command = rt::process::command("/bin/sh");
        command.arg("-c").arg(format!("exec {line}"));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = command.spawn().map_err(|e| rt::process::cannot_start("/bin/sh", &e))?;
        match (child.stdin.take(), child.stdout.take()) {
            (Some(stdin), Some(stdout)) => Ok(CommandStream { stdin, stdout, child, silent: true }),
            _ => Err(Error::internal("a command has no standard input or output")),
        }
    }

    /// Waits for its end, and says whether the shell could run it at all (IEEE 1003.1, 2.8.2).
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let ended = ready!(std::pin::pin!(self.child.wait()).poll(cx))?;
        match ended.code() {
            Some(code @ (126 | 127)) => {
                let words = format!("its ProxyCommand cannot be run: it ended with {code}");
                Poll::Ready(Err(io::Error::new(io::ErrorKind::NotFound, words)))
            }
            _ => Poll::Ready(Ok(())),
        }
    }
}

impl AsyncRead for CommandStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stdout).poll_read(cx, buf))?;
        if self.silent && buf.filled().len() == before {
            return self.poll_end(cx);
        }
        self.silent = false;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for CommandStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stdin).poll_write(cx, data));
        if written.is_err() && self.silent {
            ready!(self.poll_end(cx))?;
        }
        Poll::Ready(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stdin).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stdin).poll_shutdown(cx)
    }
}
