//! A controller's port and a worker, on loopback, with real TLS.
#![allow(dead_code, unused_imports)] // each test binary uses its part
#![allow(clippy::unwrap_used)] // helpers of tests

// By path: `testkit` as a whole needs crates above this one.
#[path = "../../../testkit/src/fault_proxy.rs"]
pub mod fault_proxy;

use base::{Code, Error, Result, Uid};
use bytes::Bytes;
use futures::{Stream, StreamExt, stream};
use link::{
    Class, Hello, KeepAlive, TunnelStream, Welcome,
    accept::{Accepted, Acceptor},
    controller_side::{Admitted, Session, Sessions},
    pki::{Ca, ServerIdentity, WorkerKey, client_tls_worker, server_tls},
    worker_side::{Dial, Event, Handler, Offer, TunnelRequest, run},
};
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::{Mutex, mpsc, watch},
};

/// No wait in these tests is longer.
pub const LIMIT: Duration = Duration::from_mins(1);

/// Waits, but not for ever.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    rt::clock::timeout(LIMIT, what, future).await.unwrap()
}

/// Installs nothing and proves it: every configuration names its provider.
pub fn ca() -> (Ca, ServerIdentity) {
    let ca = Ca::generate().unwrap();
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    let identity = ca.issue_server(&names, None).unwrap();
    (ca, identity)
}

/// A TLS configuration of a worker that joined `ca`.
pub fn worker_tls(ca: &Ca, worker: Uid) -> rustls::ClientConfig {
    let key = WorkerKey::generate().unwrap();
    let certificate = ca.issue_worker(worker, &key.csr_pem).unwrap();
    client_tls_worker(ca.certificate_pem(), &certificate, &key.key_pem).unwrap()
}

/// A controller: a port, and what was admitted on it.
pub struct Controller {
    pub address: SocketAddr,
    pub ca: Ca,
    pub sessions: Arc<Sessions>,
    /// Each connection as it was admitted or refused.
    pub admitted: Mutex<mpsc::UnboundedReceiver<Result<Admitted>>>,
    _task: rt::task::Task<()>,
}

impl Controller {
    pub async fn start() -> Self {
        Self::start_with(KeepAlive::default()).await
    }

    pub async fn start_with(keep_alive: KeepAlive) -> Self {
        let (ca, identity) = ca();
        let acceptor = Acceptor::new(server_tls(&ca, &identity).unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let sessions = Arc::new(Sessions::new(Welcome::default(), keep_alive));
        let (send, admitted) = mpsc::unbounded_channel();
        let admit = {
            let sessions = sessions.clone();
            async move {
                let group = rt::task::Group::new();
                loop {
                    let (tcp, _) = listener.accept().await.unwrap();
                    let (acceptor, sessions, send) = (acceptor.clone(), sessions.clone(), send.clone());
                    group.spawn("connection", async move {
                        let outcome = match acceptor.accept(tcp).await {
                            Ok(Accepted::Link(incoming)) => sessions.admit(incoming).await,
                            Ok(Accepted::Api { .. }) => Err(Error::internal("not a link")),
                            Err(e) => Err(e),
                        };
                        let _ = send.send(outcome);
                    });
                }
            }
        };
        let task = rt::task::spawn("controller", admit);
        Controller { address, ca, sessions, admitted: Mutex::new(admitted), _task: task }
    }

    /// The next session that comes up.
    pub async fn session(&self) -> Session {
        let mut admitted = self.admitted.lock().await;
        within("a session", async {
            loop {
                if let Ok(Admitted::Session(session)) = admitted.recv().await.unwrap() {
                    return session;
                }
            }
        })
        .await
    }

    /// The next session, once its bulk connection is up too.
    pub async fn session_with_bulk(&self) -> Session {
        let mut admitted = self.admitted.lock().await;
        within("a bulk connection", async {
            loop {
                if let Ok(Admitted::Bulk(session)) = admitted.recv().await.unwrap() {
                    return session;
                }
            }
        })
        .await
    }
}

/// A worker that runs until it is dropped.
pub struct Worker {
    pub uid: Uid,
    pub events: Mutex<mpsc::UnboundedReceiver<Event>>,
    _task: rt::task::Task<()>,
}

impl Worker {
    pub fn start(controller: &Controller) -> Self {
        let uid = rt::ids::uid();
        Self::start_as(Dial::new(controller.address.to_string(), worker_tls(&controller.ca, uid)), uid, 1)
    }

    pub fn start_as(dial: Dial, uid: Uid, generation: u64) -> Self {
        let (send, events) = mpsc::unbounded_channel();
        let report = move |event| {
            let _ = send.send(event);
        };
        let task = rt::task::spawn("worker", async move {
            match run(dial, Hello::new(uid, generation), Arc::new(TestHandler::default()), report).await {}
        });
        Worker { uid, events: Mutex::new(events), _task: task }
    }

    pub async fn event(&self, wanted: impl Fn(&Event) -> bool) -> Event {
        let mut events = self.events.lock().await;
        within("an event", async {
            loop {
                let event = events.recv().await.unwrap();
                if wanted(&event) {
                    return event;
                }
            }
        })
        .await
    }
}

/// What the worker of these tests does.
#[derive(Default)]
pub struct TestHandler {
    /// How many lines of the report were asked for.
    pub lines: Arc<std::sync::atomic::AtomicU64>,
}

impl Handler for TestHandler {
    async fn put_assignments(&self, assignments: Bytes) -> Result<Bytes> {
        match &assignments[..] {
            b"bad" => {
                Err(Error::invalid("/vms/0", "no such runtime").because("kvm is missing").hint("load it"))
            }
            _ => Ok(assignments),
        }
    }

    /// Numbered lines without end, 1 KiB each.
    fn report(&self) -> impl Stream<Item = Bytes> + Send + 'static {
        let asked = self.lines.clone();
        stream::iter(0_u64..).map(move |n| {
            asked.store(n, std::sync::atomic::Ordering::SeqCst);
            Bytes::from(format!("{n:01024}"))
        })
    }

    async fn tunnel(&self, request: TunnelRequest, offer: Offer) -> Result<()> {
        match request.target.as_str() {
            "echo" => echo(offer.accept()?).await,
            "sink" => {
                let (mut reader, mut writer) = offer.accept()?.into_split();
                let mut total = 0;
                while let Some(bytes) = reader.receive().await.map_err(|e| io(&e))? {
                    total += bytes.len();
                }
                writer.send(total.to_string().into()).await.map_err(|e| io(&e))?;
                writer.finish().map_err(|e| io(&e))
            }
            "greet-then-read" => {
                let mut stream = offer.accept()?;
                stream.write_all(&vec![b'g'; 300_000]).await.map_err(|e| io(&e))?;
                stream.shutdown().await.map_err(|e| io(&e))?;
                let mut rest = Vec::new();
                stream.read_to_end(&mut rest).await.map_err(|e| io(&e))?;
                assert_eq!(rest, b"the rest");
                Ok(())
            }
            "write-and-leave" => {
                let mut stream = offer.accept()?;
                stream.write_all(&vec![b'w'; 900_000]).await.map_err(|e| io(&e))?;
                stream.shutdown().await.map_err(|e| io(&e))
            }
            "flood" => {
                let mut stream = offer.accept()?;
                let block = vec![b'f'; 65536];
                loop {
                    stream.write_all(&block).await.map_err(|e| io(&e))?;
                }
            }
            "fail-late" => {
                let _stream = offer.accept()?;
                Err(Error::internal("changed my mind"))
            }
            "never" => std::future::pending().await,
            "silent" => Ok(()),
            "class" => {
                let mut stream = offer.accept()?;
                let said = request.headers.get("said").map_or(&b""[..], |v| v.as_bytes());
                stream.write_all(format!("{:?} ", request.class).as_bytes()).await.map_err(|e| io(&e))?;
                stream.write_all(said).await.map_err(|e| io(&e))?;
                stream.shutdown().await.map_err(|e| io(&e))
            }
            other if other.starts_with("tcp/") => {
                let port: u16 = other[4..].parse().unwrap();
                let tcp = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.map_err(|e| io(&e))?;
                link::relay(offer.accept()?, tcp).await.map(drop).map_err(|e| io(&e))
            }
            other => Err(Error::new(Code::Conflict, format!("{other} is stopped"))
                .at("/vm")
                .because("it was told to")
                .hint("start it: hostler vm start")),
        }
    }
}

async fn echo(stream: TunnelStream) -> Result<()> {
    let (mut reader, mut writer) = stream.into_split();
    while let Some(bytes) = reader.receive().await.map_err(|e| io(&e))? {
        writer.send(bytes).await.map_err(|e| io(&e))?;
    }
    writer.finish().map_err(|e| io(&e))
}

fn io(error: &std::io::Error) -> Error {
    Error::io("serve a test tunnel", error)
}

/// Writes and reads back a short text: the tunnel works.
pub async fn check_echo(session: &Session, class: Class) {
    let mut tunnel = within("a tunnel", session.open_tunnel("echo", class)).await.unwrap();
    let mut back = [0; 5];
    within("an echo", async {
        tunnel.write_all(b"hello").await.unwrap();
        tunnel.read_exact(&mut back).await.unwrap();
    })
    .await;
    assert_eq!(&back, b"hello");
}
