//! The controller's one port: who gets in, and as what.

#![allow(clippy::unwrap_used)] // helpers of tests

mod common;

use base::{Code, Error};
use common::{ca, fault_proxy::FaultProxy, within, worker_tls};
use link::{
    BoxedIo, Hello, Role,
    accept::{Accepted, Acceptor, Incoming},
    pki::{self, Ca, JoinToken, ServerIdentity, client_tls_ca, client_tls_pinned, explain_tls, server_tls},
    worker_side::{Dial, connect},
};
use rustls::{ClientConfig, pki_types::ServerName};
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// A port that accepts one connection at a time.
struct Port {
    listener: TcpListener,
    address: SocketAddr,
    acceptor: Acceptor,
}

async fn port(ca: &Ca, identity: &ServerIdentity) -> Port {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    Port { listener, address, acceptor: Acceptor::new(server_tls(ca, identity).unwrap()) }
}

impl Port {
    async fn accept(&self) -> Result<Accepted, Error> {
        let (tcp, _) = self.listener.accept().await.unwrap();
        self.acceptor.accept(tcp).await
    }

    async fn tls(&self, config: ClientConfig) -> std::io::Result<TlsStream<TcpStream>> {
        self.tls_as("127.0.0.1", config).await
    }

    async fn tls_as(&self, name: &str, config: ClientConfig) -> std::io::Result<TlsStream<TcpStream>> {
        let tcp = TcpStream::connect(self.address).await?;
        let name = ServerName::try_from(name.to_owned()).unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, tcp).await
    }

    /// Both ends of one dial.
    async fn dial(&self, dial: &Dial, hello: &Hello) -> (Result<Accepted, Error>, Result<BoxedIo, Error>) {
        within("a dial", async {
            tokio::join!(self.accept(), async { connect(dial, hello).await.map(|(stream, _)| stream) })
        })
        .await
    }
}

fn api(accepted: Result<Accepted, Error>) -> (BoxedIo, bool, bool) {
    match accepted.unwrap() {
        Accepted::Api { stream, tls, http2, .. } => (stream, tls, http2),
        Accepted::Link(_) => panic!("a link"),
    }
}

fn incoming(accepted: Result<Accepted, Error>) -> Incoming {
    match accepted.unwrap() {
        Accepted::Link(incoming) => incoming,
        Accepted::Api { .. } => panic!("the API"),
    }
}

#[tokio::test]
async fn the_api_asks_for_no_certificate() {
    let (ca, identity) = ca();
    let port = port(&ca, &identity).await;
    let offers: [(&[&[u8]], bool); 3] =
        [(&[b"h2", b"http/1.1"], true), (&[b"http/1.1"], false), (&[], false)];
    for (alpn, is_http2) in offers {
        let mut config = client_tls_ca(ca.certificate_pem()).unwrap();
        config.alpn_protocols = alpn.iter().map(|p| p.to_vec()).collect();
        let (accepted, client) =
            within("a handshake", async { tokio::join!(port.accept(), port.tls(config)) }).await;
        let (mut stream, tls, http2) = api(accepted);
        assert!(tls);
        assert_eq!(http2, is_http2);
        let mut client = client.unwrap();
        client.write_all(b"question").await.unwrap();
        client.flush().await.unwrap();
        let mut got = [0; 8];
        within("bytes", stream.read_exact(&mut got)).await.unwrap();
        assert_eq!(&got, b"question");
    }
}

#[tokio::test]
async fn plain_is_for_loopback_and_only_where_allowed() {
    let (ca, identity) = ca();
    let mut port = port(&ca, &identity).await;
    port.acceptor = port.acceptor.clone().plain_from_loopback(true);
    let client = async {
        let mut tcp = TcpStream::connect(port.address).await.unwrap();
        tcp.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        tcp
    };
    let (accepted, _client) = within("a connection", async { tokio::join!(port.accept(), client) }).await;
    let (mut stream, tls, _) = api(accepted);
    assert!(!tls);
    let mut first = [0; 3];
    stream.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"GET", "the first byte is still there");

    port.acceptor = port.acceptor.clone().plain_from_loopback(false);
    let client = async {
        let mut tcp = TcpStream::connect(port.address).await.unwrap();
        tcp.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        tcp.read_to_string(&mut answer).await.unwrap();
        answer
    };
    let (accepted, answer) = within("a refusal", async { tokio::join!(port.accept(), client) }).await;
    assert_eq!(accepted.unwrap_err().code, Code::Invalid);
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("use https://"), "{answer}");
}

#[tokio::test]
async fn a_joining_worker_trusts_the_pinned_ca_and_no_other() {
    let (ca, identity) = ca();
    let port = port(&ca, &identity).await;
    let token: JoinToken = JoinToken::generate(ca.pin()).expose_secret().parse().unwrap();
    let pinned = client_tls_pinned(token.ca_pin).unwrap();
    let (accepted, client) =
        within("a handshake", async { tokio::join!(port.accept(), port.tls(pinned.clone())) }).await;
    client.unwrap();
    assert!(api(accepted).1);

    let other = client_tls_pinned(Ca::generate().unwrap().pin()).unwrap();
    let (accepted, client) =
        within("a handshake", async { tokio::join!(port.accept(), port.tls(other)) }).await;
    let refused = explain_tls("the controller", &client.unwrap_err());
    assert_eq!(refused.code, Code::Unauthenticated);
    assert!(refused.message.contains("another CA") && refused.hint.is_some(), "{refused:?}");
    assert!(accepted.is_err());

    let elsewhere = async { port.tls_as("elsewhere.example", pinned).await };
    let (_, client) = within("a handshake", async { tokio::join!(port.accept(), elsewhere) }).await;
    let refused = explain_tls("elsewhere.example", &client.unwrap_err());
    assert!(refused.message.contains("other names"), "{refused:?}");
}

/// Someone in the middle shows the true CA's certificate beside a certificate of his own making.
#[tokio::test]
async fn showing_the_pinned_ca_is_not_enough() {
    let (ca, _) = ca();
    let imposter = Ca::generate().unwrap();
    let mut identity = imposter.issue_server(&["127.0.0.1".into()], None).unwrap();
    let leaf_end = identity.chain_pem.find("-----END CERTIFICATE-----").unwrap() + 26;
    identity.chain_pem.replace_range(leaf_end.., ca.certificate_pem());
    let port = port(&imposter, &identity).await;
    let pinned = client_tls_pinned(ca.pin()).unwrap();
    let (_, client) = within("a handshake", async { tokio::join!(port.accept(), port.tls(pinned)) }).await;
    assert_eq!(explain_tls("x", &client.unwrap_err()).code, Code::Unauthenticated);
}

/// A worker's certificate comes from the same CA, and yet makes no server.
#[tokio::test]
async fn a_worker_cannot_pose_as_the_controller() {
    let (ca, _) = ca();
    let key = pki::WorkerKey::generate().unwrap();
    let certificate = ca.issue_worker(rt::ids::uid(), &key.csr_pem).unwrap();
    let identity = ServerIdentity { chain_pem: certificate + ca.certificate_pem(), key_pem: key.key_pem };
    let port = port(&ca, &identity).await;
    for config in [client_tls_pinned(ca.pin()).unwrap(), client_tls_ca(ca.certificate_pem()).unwrap()] {
        let (_, client) =
            within("a handshake", async { tokio::join!(port.accept(), port.tls(config)) }).await;
        assert_eq!(explain_tls("x", &client.unwrap_err()).code, Code::Unauthenticated);
    }
}

#[tokio::test]
async fn a_link_knows_its_worker() {
    let (ca, identity) = ca();
    let port = port(&ca, &identity).await;
    let worker = rt::ids::uid();
    let dial = Dial::new(port.address.to_string(), worker_tls(&ca, worker));
    let hello = Hello { role: Role::Bulk, ..Hello::new(worker, 7).software("test 1").capability("x") };
    let serve = async {
        let incoming = incoming(port.accept().await);
        assert_eq!((incoming.worker(), incoming.role()), (worker, Role::Bulk));
        assert_eq!(incoming.hello(), &hello);
        incoming.refuse(Error::new(Code::Forbidden, "removed").hint("join again")).await;
    };
    let (refused, ()) = within("a link", async { tokio::join!(connect(&dial, &hello), serve) }).await;
    let Err(refused) = refused else { panic!("welcomed") };
    assert_eq!((refused.code, refused.hint.as_deref()), (Code::Forbidden, Some("join again")));
}

#[tokio::test]
async fn a_link_needs_a_certificate_of_our_ca() {
    let (ca, identity) = ca();
    let port = port(&ca, &identity).await;
    let worker = rt::ids::uid();
    let hello = Hello::new(worker, 1);

    let mut without = client_tls_ca(ca.certificate_pem()).unwrap();
    without.alpn_protocols = vec![pki::ALPN_LINK.to_vec()];
    let (accepted, dialled) = port.dial(&Dial::new(port.address.to_string(), without), &hello).await;
    assert!(accepted.is_err());
    assert_eq!(dialled.map(drop).unwrap_err().code, Code::Unauthenticated);

    // Of another CA, by someone who trusts our server.
    let (other, key) = (Ca::generate().unwrap(), pki::WorkerKey::generate().unwrap());
    let stranger = other.issue_worker(worker, &key.csr_pem).unwrap();
    let config = pki::client_tls_worker(ca.certificate_pem(), &stranger, &key.key_pem).unwrap();
    let (accepted, dialled) = port.dial(&Dial::new(port.address.to_string(), config), &hello).await;
    assert!(accepted.is_err());
    let refused = dialled.map(drop).unwrap_err();
    assert_eq!(refused.code, Code::Unauthenticated);
    assert!(refused.hint.is_some(), "{refused:?}");

    // Of our CA, but the controller's own: no worker.
    let config =
        pki::client_tls_worker(ca.certificate_pem(), &identity.chain_pem, &identity.key_pem).unwrap();
    let (accepted, dialled) = port.dial(&Dial::new(port.address.to_string(), config), &hello).await;
    assert!(accepted.is_err() && dialled.is_err());
}

#[tokio::test]
async fn a_worker_speaks_for_itself_only() {
    let (ca, identity) = ca();
    let port = port(&ca, &identity).await;
    let dial = Dial::new(port.address.to_string(), worker_tls(&ca, rt::ids::uid()));
    let (accepted, dialled) = port.dial(&dial, &Hello::new(rt::ids::uid(), 1)).await;
    assert_eq!(accepted.unwrap_err().code, Code::Forbidden);
    assert_eq!(dialled.map(drop).unwrap_err().code, Code::Forbidden);
}

#[tokio::test]
async fn an_old_worker_is_told_to_upgrade() {
    let (ca, identity) = ca();
    let port = port(&ca, &identity).await;
    let worker = rt::ids::uid();
    let dial = Dial::new(port.address.to_string(), worker_tls(&ca, worker));
    let (accepted, dialled) = port.dial(&dial, &Hello { version: 0, ..Hello::new(worker, 1) }).await;
    assert!(accepted.is_err());
    assert_eq!(dialled.map(drop).unwrap_err().hint.as_deref(), Some("upgrade the worker"));
}

#[tokio::test]
async fn slow_handshakes_are_cut() {
    let (ca, identity) = ca();
    let mut port = port(&ca, &identity).await;
    port.acceptor = port.acceptor.clone().deadline(Duration::from_millis(300));

    let silent = TcpStream::connect(port.address).await.unwrap();
    let cut = within("a deadline", port.accept()).await.unwrap_err();
    assert_eq!(cut.code, Code::Timeout);
    drop(silent);

    let slow = FaultProxy::start(port.address).await.unwrap();
    slow.bytes_per_second(Some(1));
    let config = client_tls_ca(ca.certificate_pem()).unwrap();
    let client = async {
        let tcp = TcpStream::connect(slow.address()).await.unwrap();
        let name = ServerName::try_from("127.0.0.1").unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, tcp).await
    };
    let (accepted, client) = within("a deadline", async { tokio::join!(port.accept(), client) }).await;
    assert_eq!(accepted.unwrap_err().code, Code::Timeout);
    assert!(client.is_err());
}

#[tokio::test]
async fn strangers_are_explained() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let worker = rt::ids::uid();
    let (ca, _) = ca();
    let dial = Dial::new(address, worker_tls(&ca, worker));
    let hello = Hello::new(worker, 1);
    let http = async {
        let (mut tcp, _) = listener.accept().await.unwrap();
        tcp.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        let _ = tcp.read_to_end(&mut Vec::new()).await;
    };
    let (dialled, ()) = within("a dial", async { tokio::join!(connect(&dial, &hello), http) }).await;
    let Err(error) = dialled else { panic!("connected") };
    assert!(error.message.contains("does not speak TLS"), "{error:?}");
}
