//! Bytes to and from a guest: `hostler.tcp.v1`.

use crate::{
    Client, Key, Result,
    socket::{self, CHUNK, Socket, closed, failure},
};
use api::{access::DEFAULT_PROJECT, routes::RouteId, stream::TCP_PROTOCOL};
use base::Error;
use bytes::{Buf, Bytes};
use futures::{Sink, Stream};
use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::tungstenite::{self, Message};

pub use crate::socket::unwrap_io;

/// A stream of bytes. Shutting it down ends our direction only; reading ends when the other side ended its own.
#[derive(Debug)]
pub struct TcpStream {
    socket: Socket,
    incoming: Bytes,
    read_ended: bool,
    write_ended: bool,
}

impl Client {
    /// A connection to a TCP port of the guest.
    pub async fn vm_port(&self, vm: &Key, port: u16) -> Result<TcpStream> {
        self.tcp(RouteId::PortVm, &[project(vm), &vm.name, &port.to_string()]).await
    }

    /// The guest's screen: RFB (RFC 6143).
    pub async fn vm_vnc(&self, vm: &Key) -> Result<TcpStream> {
        self.tcp(RouteId::VncVm, &[project(vm), &vm.name]).await
    }

    /// The guest's serial console.
    pub async fn vm_console(&self, vm: &Key) -> Result<TcpStream> {
        self.tcp(RouteId::ConsoleVm, &[project(vm), &vm.name]).await
    }

    async fn tcp(&self, route: RouteId, parameters: &[&str]) -> Result<TcpStream> {
        let socket = socket::open(self.call(route, parameters), TCP_PROTOCOL).await?;
        Ok(TcpStream { socket, incoming: Bytes::new(), read_ended: false, write_ended: false })
    }
}

pub(crate) fn project(vm: &Key) -> &str {
    vm.project.as_deref().unwrap_or(DEFAULT_PROJECT)
}

fn broken(error: &tungstenite::Error) -> io::Error {
    socket::io(failure(error))
}

impl TcpStream {
    /// Takes the next message that carries bytes, or learns that none will come.
    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            match ready!(Pin::new(&mut self.socket).poll_next(cx)) {
                Some(Ok(Message::Binary(bytes))) => {
                    self.read_ended = bytes.is_empty();
                    self.incoming = bytes;
                    return Poll::Ready(Ok(()));
                }
                Some(Ok(Message::Close(frame))) => {
                    return Poll::Ready(Err(socket::io(closed(frame.as_ref()))));
                }
                Some(Ok(Message::Text(_))) => {
                    let error =
                        Error::internal(format!("a text message does not belong into {TCP_PROTOCOL}"));
                    return Poll::Ready(Err(socket::io(error.into())));
                }
                Some(Ok(_)) => {}
                Some(Err(e)) => return Poll::Ready(Err(broken(&e))),
                None => return Poll::Ready(Err(socket::io(closed(None)))),
            }
        }
    }
}

impl AsyncRead for TcpStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let _ = socket::poll_nudge(Pin::new(&mut this.socket), cx); // a broken socket shows in the read
        while this.incoming.is_empty() && !this.read_ended {
            ready!(this.poll_message(cx))?;
        }
        let n = this.incoming.len().min(buf.remaining());
        buf.put_slice(&this.incoming[..n]);
        this.incoming.advance(n);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for TcpStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        if self.write_ended {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if data.is_empty() {
            return Poll::Ready(Ok(0)); // an empty message would end the stream
        }
        let n = data.len().min(CHUNK);
        let message = || Ok(Message::Binary(Bytes::copy_from_slice(&data[..n])));
        ready!(socket::poll_send(Pin::new(&mut self.socket), cx, message))?;
        Poll::Ready(Ok(n))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx).map_err(|e| broken(&e))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.write_ended {
            let message = || Ok(Message::Binary(Bytes::new()));
            ready!(socket::poll_send(Pin::new(&mut self.socket), cx, message))?;
            self.write_ended = true;
        }
        self.poll_flush(cx)
    }
}
