//! The server's side of the controller's one port: the first byte tells TLS from plain, ALPN tells API from link.

use crate::{
    hello::{self, Hello, Role},
    io::{BoxedIo, ReadAhead},
    pki::{ALPN_H2, ALPN_LINK, ServerTls, worker_of},
};
use base::{Code, Error, Result, Uid};
use std::{fmt, net::SocketAddr, time::Duration};
use tokio::{io::AsyncWriteExt, net::TcpStream};
use tokio_rustls::{LazyConfigAcceptor, server::TlsStream};

/// The first byte of each TLS connection (RFC 8446, 5.1: content type `handshake`).
const TLS_HANDSHAKE: u8 = 0x16;
/// How many bytes of TLS records may wait for the socket: four frames of HTTP/2 at full size.
pub(crate) const TLS_BUFFER: usize = 1 << 20;

/// Accepts connections. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Acceptor {
    tls: ServerTls,
    plain_from_loopback: bool,
    deadline: Duration,
}

/// What a new connection is.
pub enum Accepted {
    /// A client of the API.
    Api {
        /// What it says from its first byte on.
        stream: BoxedIo,
        /// Whether it is encrypted.
        tls: bool,
        /// Whether ALPN chose HTTP/2; otherwise the client speaks HTTP/1.1 (or, in plain, either).
        http2: bool,
        /// Where it comes from.
        peer: SocketAddr,
    },
    /// A worker that has proven who it is and said hello. It waits for a welcome.
    Link(Incoming),
}

/// A worker's connection before it was welcomed.
pub struct Incoming {
    pub(crate) stream: BoxedIo,
    hello: Hello,
    peer: SocketAddr,
}

impl Incoming {
    /// Which worker, proven by its certificate.
    pub fn worker(&self) -> Uid {
        self.hello.worker
    }

    /// What the connection is for.
    pub fn role(&self) -> Role {
        self.hello.role
    }

    /// What the worker said.
    pub fn hello(&self) -> &Hello {
        &self.hello
    }

    /// Where it comes from.
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Sends the worker away with a reason that it shows.
    pub async fn refuse(mut self, reason: Error) {
        let words = hello::Welcome::refuse(reason);
        let goodbye = async {
            hello::send(&mut self.stream, &words).await?;
            self.stream.shutdown().await.map_err(|e| Error::io("close a link", &e))
        };
        let _ = rt::clock::timeout(Duration::from_secs(5), "a refusal", goodbye).await;
    }
}

impl Acceptor {
    /// Speaks TLS with this configuration; plain connections are refused; a handshake takes at most 10 s.
    pub fn new(tls: ServerTls) -> Self {
        Acceptor { tls, plain_from_loopback: false, deadline: Duration::from_secs(10) }
    }

    /// Also takes plain connections to the API, from loopback addresses only. The link is never plain.
    #[must_use]
    pub fn plain_from_loopback(mut self, allowed: bool) -> Self {
        self.plain_from_loopback = allowed;
        self
    }

    /// Changes the time within which a client has said its first byte, shaken hands and, on the link, said hello.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Finds out what a new connection is. Run this in a task per connection: it waits for the client.
    pub async fn accept(&self, tcp: TcpStream) -> Result<Accepted> {
        // Boxed: a handshake needs much room, and the caller keeps its own for the life of the connection.
        let classified = Box::pin(self.classify(tcp));
        rt::clock::timeout(self.deadline, "the handshake", classified).await?
    }

    async fn classify(&self, tcp: TcpStream) -> Result<Accepted> {
        let peer = tcp.peer_addr().map_err(|e| lost(&e))?;
        tcp.set_nodelay(true).map_err(|e| lost(&e))?;
        let mut first = [0];
        if tcp.peek(&mut first).await.map_err(|e| lost(&e))? == 0 {
            return Err(Error::unavailable("the client closed the connection before it said anything"));
        }
        if first[0] == TLS_HANDSHAKE {
            return self.tls(tcp, peer).await;
        }
        if self.plain_from_loopback && peer.ip().to_canonical().is_loopback() {
            return Ok(Accepted::Api { stream: Box::new(tcp), tls: false, http2: false, peer });
        }
        Err(refuse_plain(tcp).await)
    }

    async fn tls(&self, tcp: TcpStream, peer: SocketAddr) -> Result<Accepted> {
        let start = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), ReadAhead::new(tcp))
            .await
            .map_err(|e| lost(&e))?;
        let offered = start.client_hello();
        let config = self.tls.choose(offered.alpn().into_iter().flatten());
        let stream = start
            .into_stream_with(config, |session| session.set_buffer_limit(Some(TLS_BUFFER)))
            .await
            .map_err(|e| lost(&e))?;
        match stream.get_ref().1.alpn_protocol() {
            Some(ALPN_LINK) => link(stream, peer).await.map(Accepted::Link),
            alpn => {
                let http2 = alpn == Some(ALPN_H2);
                Ok(Accepted::Api { stream: Box::new(stream), tls: true, http2, peer })
            }
        }
    }
}

/// Reads the hello and compares it with the certificate.
async fn link(mut stream: TlsStream<ReadAhead<TcpStream>>, peer: SocketAddr) -> Result<Incoming> {
    let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
    let certified = worker_of(certificate.ok_or_else(|| Error::internal("a link without a certificate"))?)?;
    let hello: Hello = hello::receive(&mut stream).await?;
    let incoming = Incoming { stream: Box::new(stream), hello, peer };
    let problem = if incoming.worker() == certified {
        hello::check_version("worker", incoming.hello.version).err()
    } else {
        Some(Error::new(Code::Forbidden, "a worker said another uid than its certificate"))
    };
    match problem {
        None => Ok(incoming),
        Some(error) => {
            incoming.refuse(error.clone()).await;
            Err(error)
        }
    }
}

/// Answers a plain HTTP client in its own language, so that `curl http://` says what is wrong.
async fn refuse_plain(mut tcp: TcpStream) -> Error {
    let error = Error::new(Code::Invalid, "this port speaks TLS").hint("use https:// instead of http://");
    let body = format!(
        "{{\"type\":\"about:blank\",\"title\":\"{}\",\"status\":400,\"code\":\"invalid\",\"hint\":\"{}\"}}\n",
        error.message,
        error.hint.as_deref().unwrap_or_default()
    );
    let answer = format!(
        "HTTP/1.1 400 Bad Request\r\ncontent-type: application/problem+json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    let _ = tcp.write_all(answer.as_bytes()).await;
    let _ = tcp.shutdown().await;
    drain(&mut tcp).await;
    error
}

/// Reads what the client had sent: closing over unread bytes would reset the connection and take the answer with it.
async fn drain(tcp: &mut TcpStream) {
    let mut rest = [0; 4096];
    let read = async {
        for _ in 0..16 {
            if !matches!(tokio::io::AsyncReadExt::read(tcp, &mut rest).await, Ok(1..)) {
                return;
            }
        }
    };
    let _ = rt::clock::timeout(Duration::from_secs(1), "the rest of a request", read).await;
}

fn lost(error: &std::io::Error) -> Error {
    Error::unavailable("the handshake failed").because(error)
}

impl fmt::Debug for Accepted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Accepted::Api { tls, http2, peer, .. } => {
                write!(f, "Api {{ tls: {tls}, http2: {http2}, peer: {peer} }}")
            }
            Accepted::Link(incoming) => incoming.fmt(f),
        }
    }
}

impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Link {{ peer: {}, {:?} }}", self.peer, self.hello)
    }
}
