//! How fast one tunnel of the link is, beside bare TLS with large buffers, in the same run on the same machine.
//!
//! `cargo run --release -p link --example tunnel_rate [GIGABYTES]`
#![allow(clippy::unwrap_used, clippy::disallowed_macros, clippy::disallowed_methods)] // a measurement, not the product

use base::Result;
use bytes::Bytes;
use futures::{Stream, stream};
use link::{
    Class, Hello, KeepAlive, TunnelReader, TunnelWriter, Welcome,
    accept::{Accepted, Acceptor},
    controller_side::{Admitted, Session, Sessions},
    pki::{Ca, WorkerKey, client_tls_ca, client_tls_worker, server_tls},
    worker_side::{Dial, Handler, Offer, TunnelRequest, run},
};
use rustls::pki_types::ServerName;
use std::{sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

const BLOCK: usize = 64 << 10;
/// What [`link::relay`] reads at most from a busy socket.
const RELAYED: usize = 256 << 10;

struct Sink;

impl Handler for Sink {
    async fn put_assignments(&self, assignments: Bytes) -> Result<Bytes> {
        Ok(assignments)
    }

    fn report(&self) -> impl Stream<Item = Bytes> + Send + 'static {
        stream::pending()
    }

    /// `sink` reads all and answers one byte; `source` writes for ever; `echo` answers each byte at once.
    async fn tunnel(&self, request: TunnelRequest, offer: Offer) -> Result<()> {
        let failed = |e| base::Error::io("serve a tunnel", &e);
        let (mut reader, mut writer) = offer.accept()?.into_split();
        match request.target.as_str() {
            "sink" => {
                receive(&mut reader, u64::MAX).await;
                writer.send(Bytes::from_static(b".")).await.map_err(failed)?;
                writer.finish().map_err(failed)
            }
            "source" => send(&mut writer, u64::MAX).await.map_err(failed),
            _ => link::into_tunnel(reader, writer).await.map(drop).map_err(failed),
        }
    }
}

async fn pour(to: &mut (impl AsyncWrite + Unpin), mut bytes: u64) -> std::io::Result<()> {
    let block = vec![0x5a; BLOCK];
    while bytes > 0 {
        let n = usize::try_from(bytes).unwrap_or(BLOCK).min(BLOCK);
        to.write_all(&block[..n]).await?;
        bytes -= n as u64;
    }
    to.flush().await
}

async fn swallow(from: &mut (impl AsyncRead + Unpin), mut bytes: u64) {
    let mut block = vec![0; BLOCK];
    while bytes > 0 {
        match from.read(&mut block).await {
            Ok(n @ 1..) => bytes = bytes.saturating_sub(n as u64),
            _ => return,
        }
    }
}

/// What a transfer took on the clock and of the processors.
struct Cost {
    wall: Duration,
    cpu: Duration,
}

async fn cost_of(transfer: impl Future<Output = ()>) -> Cost {
    let (since, before) = (rt::clock::now(), cpu_time());
    transfer.await;
    Cost { wall: since.elapsed(), cpu: cpu_time().saturating_sub(before) }
}

/// User and system time of this process (proc(5): fields 14 and 15, in hundredths of a second); 0 without /proc.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_ascii_whitespace();
    Duration::from_millis(fields.skip(11).take(2).map(|n| n.parse::<u64>().unwrap_or(0) * 10).sum())
}

#[allow(clippy::cast_precision_loss)]
fn show(what: &str, bytes: u64, cost: &Cost) -> f64 {
    let rate = bytes as f64 * 8.0 / cost.wall.as_secs_f64() / 1e9;
    let cpu = cost.cpu.as_secs_f64() / (bytes as f64 / f64::from(1 << 30));
    println!("{what:<34} {rate:6.2} Gbit/s  {cpu:5.2} CPU seconds per GiB");
    rate
}

/// TLS and nothing else: the floor under the link.
async fn bare(ca: &Ca, acceptor: &Acceptor, bytes: u64) -> Cost {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let tcp = TcpStream::connect(listener.local_addr().unwrap());
    let config = client_tls_ca(ca.certificate_pem()).unwrap();
    let client = async {
        let name = ServerName::try_from("127.0.0.1").unwrap();
        tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, tcp.await.unwrap()).await.unwrap()
    };
    let server = async {
        match acceptor.accept(listener.accept().await.unwrap().0).await.unwrap() {
            Accepted::Api { stream, .. } => stream,
            Accepted::Link(_) => unreachable!(),
        }
    };
    let (mut client, mut server) = tokio::join!(client, server);
    cost_of(async move {
        let writer = rt::task::spawn("writer", async move {
            pour(&mut client, bytes).await.unwrap();
            client
        });
        swallow(&mut server, bytes).await;
        drop(writer);
    })
    .await
}

async fn upload(session: &Session, bytes: u64) -> Cost {
    let (mut reader, mut writer) = session.open_tunnel("sink", Class::Bulk).await.unwrap().into_split();
    cost_of(async move {
        send(&mut writer, bytes).await.unwrap();
        writer.finish().unwrap();
        assert_eq!(reader.read_u8().await.unwrap(), b'.');
    })
    .await
}

async fn download(session: &Session, bytes: u64) -> Cost {
    let (mut reader, _writer) = session.open_tunnel("source", Class::Bulk).await.unwrap().into_split();
    cost_of(async move { receive(&mut reader, bytes).await }).await
}

/// One byte there and back, every 5 ms, while a bulk tunnel runs.
async fn keystrokes(session: &Session) -> (Duration, Duration) {
    let mut bulk = session.open_tunnel("source", Class::Bulk).await.unwrap();
    let load = rt::task::spawn("load", async move { swallow(&mut bulk, u64::MAX).await });
    let mut keys = session.open_tunnel("echo", Class::Interactive).await.unwrap();
    let mut times = Vec::new();
    for _ in 0..400 {
        rt::clock::sleep(Duration::from_millis(5)).await;
        let since = rt::clock::now();
        keys.write_all(b"k").await.unwrap();
        keys.read_u8().await.unwrap();
        times.push(since.elapsed());
    }
    drop(load);
    times.sort();
    (times[times.len() / 2], times[times.len() * 99 / 100])
}

/// Fresh blocks, as a relay reads them from a socket.
async fn send(to: &mut TunnelWriter, mut bytes: u64) -> std::io::Result<()> {
    let pattern = vec![0x5a; RELAYED];
    while bytes > 0 {
        to.send(Bytes::copy_from_slice(&pattern)).await?;
        bytes = bytes.saturating_sub(RELAYED as u64);
    }
    Ok(())
}

async fn receive(from: &mut TunnelReader, mut bytes: u64) {
    while bytes > 0 {
        match from.receive().await {
            Ok(Some(block)) => bytes = bytes.saturating_sub(block.len() as u64),
            _ => return,
        }
    }
}

#[tokio::main]
async fn main() {
    let gigabytes = std::env::args().nth(1).and_then(|a| a.parse().ok()).unwrap_or(2_u64);
    let bytes = gigabytes << 30;
    let ca = Ca::generate().unwrap();
    let identity = ca.issue_server(&["127.0.0.1".into()], None).unwrap();
    let acceptor = Acceptor::new(server_tls(&ca, &identity).unwrap());

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let uid = rt::ids::uid();
    let key = WorkerKey::generate().unwrap();
    let certificate = ca.issue_worker(uid, &key.csr_pem).unwrap();
    let tls = client_tls_worker(ca.certificate_pem(), &certificate, &key.key_pem).unwrap();
    let _worker = rt::task::spawn("worker", async move {
        match run(Dial::new(address, tls), Hello::new(uid, 1), Arc::new(Sink), |_| {}).await {}
    });
    let sessions = Sessions::new(Welcome::default(), KeepAlive::default());
    let mut session = None;
    for _ in 0..2 {
        let Ok(Accepted::Link(incoming)) = acceptor.accept(listener.accept().await.unwrap().0).await else {
            panic!("no link")
        };
        let (Admitted::Session(s) | Admitted::Bulk(s)) = sessions.admit(incoming).await.unwrap();
        session = Some(s);
    }
    let session = session.unwrap();

    for _ in 0..3 {
        let tls = show("bare TLS, one stream", bytes, &bare(&ca, &acceptor, bytes).await);
        let up = show("tunnel, controller to worker", bytes, &upload(&session, bytes).await);
        let down = show("tunnel, worker to controller", bytes, &download(&session, bytes).await);
        println!("{:<34} {:5.0} % and {:.0} %", "of bare TLS", up / tls * 100.0, down / tls * 100.0);
    }
    let (median, p99) = keystrokes(&session).await;
    println!("keystroke echo under bulk load     median {median:.2?}, p99 {p99:.2?}");
}
