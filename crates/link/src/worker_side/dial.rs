//! Keeps a worker connected.

use super::serve::{Handler, serve};
use crate::{
    accept::TLS_BUFFER,
    hello::{self, Hello, Role, Welcome},
    http2::KeepAlive,
    io::{BoxedIo, ReadAhead},
    pki::explain_tls,
};
use base::{Code, Error, Result};
use rustls::{ClientConfig, pki_types::ServerName};
use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// A link that lived this long was a good one: the next dial after it waits for nothing.
const GOOD: Duration = Duration::from_secs(1);

/// Whom to dial, and how.
#[derive(Clone, Debug)]
pub struct Dial {
    /// `host:port` of the controller; an IPv6 address in brackets. The certificate must name the host.
    pub address: String,
    /// From [`crate::pki::client_tls_worker`].
    pub tls: Arc<ClientConfig>,
    /// When a silent controller counts as gone.
    pub keep_alive: KeepAlive,
    /// The time for connect, handshake and welcome together.
    pub deadline: Duration,
    /// The first delay between two dials; it doubles up to [`Dial::slowest`].
    pub first_delay: Duration,
    /// The longest delay between two dials.
    pub slowest: Duration,
}

impl Dial {
    /// With the usual times: 10 s to connect, 100 ms to 5 s between dials.
    pub fn new(address: impl Into<String>, tls: ClientConfig) -> Self {
        Dial {
            address: address.into(),
            tls: Arc::new(tls),
            keep_alive: KeepAlive::default(),
            deadline: Duration::from_secs(10),
            first_delay: Duration::from_millis(100),
            slowest: Duration::from_secs(5),
        }
    }
}

/// What happens to a worker's connections.
#[derive(Clone, Debug)]
pub enum Event {
    /// The controller welcomed a connection.
    Connected(Role, Welcome),
    /// A dial failed or was refused; the next one follows by itself.
    Failed(Role, Error),
    /// A connection that was up has ended; the next dial follows by itself.
    Disconnected(Role, Error),
}

/// Dials for as long as it is polled: a control connection, and beside each one a bulk connection. Drop it to leave.
pub async fn run<H: Handler>(
    dial: Dial,
    hello: Hello,
    handler: Arc<H>,
    events: impl Fn(Event) + Send + Sync,
) -> Infallible {
    let dialler = Dialler { dial, hello, handler, events, connection: AtomicU64::new(0) };
    match dialler.keep(Role::Control).await {}
}

struct Dialler<H, E> {
    dial: Dial,
    hello: Hello,
    handler: Arc<H>,
    events: E,
    connection: AtomicU64,
}

impl<H: Handler, E: Fn(Event) + Send + Sync> Dialler<H, E> {
    /// Keeps one connection of this role up.
    async fn keep(&self, role: Role) -> Infallible {
        let mut backoff = rt::clock::Backoff::new(self.dial.first_delay, self.dial.slowest);
        loop {
            let connection = self.connection.fetch_add(1, Ordering::Relaxed) + 1;
            let hello = Hello { role, connection, ..self.hello.clone() };
            match connect(&self.dial, &hello).await {
                Err(e) => (self.events)(Event::Failed(role, e)),
                Ok((stream, welcome)) => {
                    let since = rt::clock::now();
                    (self.events)(Event::Connected(role, welcome));
                    let reason = self.serve(stream, role).await;
                    (self.events)(Event::Disconnected(role, reason));
                    if since.elapsed() >= GOOD {
                        backoff.reset();
                        continue;
                    }
                }
            }
            rt::clock::sleep(backoff.delay()).await;
        }
    }

    /// Serves a connection to its end. The bulk connection lives beside the control connection and ends with it.
    async fn serve(&self, stream: BoxedIo, role: Role) -> Error {
        let serving = serve(stream, role, self.handler.clone(), self.dial.keep_alive);
        if role == Role::Bulk {
            return serving.await;
        }
        let bulk = Box::pin(self.keep(Role::Bulk)); // boxed: the future contains itself otherwise
        tokio::select! {
            reason = serving => reason,
            never = bulk => match never {},
        }
    }
}

/// Dials once: connects, proves who both are, says hello and waits for the welcome.
pub async fn connect(dial: &Dial, hello: &Hello) -> Result<(BoxedIo, Welcome)> {
    let attempt = Box::pin(attempt(dial, hello));
    rt::clock::timeout(dial.deadline, &format!("the link to {}", dial.address), attempt).await?
}

async fn attempt(dial: &Dial, hello: &Hello) -> Result<(BoxedIo, Welcome)> {
    let address = &dial.address;
    let tcp = TcpStream::connect(address.as_str())
        .await
        .map_err(|e| Error::io(format_args!("connect to {address}"), &e))?;
    tcp.set_nodelay(true).map_err(|e| Error::io(format_args!("connect to {address}"), &e))?;
    let mut stream = TlsConnector::from(dial.tls.clone())
        .connect_with(server_name(address)?, ReadAhead::new(tcp), |session| {
            session.set_buffer_limit(Some(TLS_BUFFER));
        })
        .await
        .map_err(|e| explain_tls(address, &e))?;
    if stream.get_ref().1.alpn_protocol() != Some(crate::pki::ALPN_LINK) {
        return Err(Error::unavailable(format!("{address} does not speak the link")).hint("check the port"));
    }
    hello::send(&mut stream, hello).await.map_err(|e| refined(address, e))?;
    let welcome: Welcome = hello::receive(&mut stream).await.map_err(|e| refined(address, e))?;
    if let Some(refused) = welcome.refused {
        return Err(refused);
    }
    hello::check_version("controller", welcome.version)?;
    Ok((Box::new(stream), welcome))
}

/// In TLS 1.3 the client is done before the server has looked at its certificate: a refusal arrives with the hello.
fn refined(address: &str, error: Error) -> Error {
    match &error.cause {
        Some(cause) if cause.contains("fatal alert") => {
            Error::new(Code::Unauthenticated, format!("{address} does not accept our certificate"))
                .because(cause)
                .hint("join again with a new join token")
        }
        _ => error,
    }
}

fn server_name(address: &str) -> Result<ServerName<'static>> {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    ServerName::try_from(host.to_owned()).map_err(|e| {
        Error::new(Code::Invalid, format!("'{address}' is not an address"))
            .because(e)
            .hint("write HOST:PORT, and an IPv6 address in brackets")
    })
}
