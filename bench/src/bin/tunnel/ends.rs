//! What the streams are measured from, and, for the peers, what they lead to.

use bench::Latencies;
use rt::task::{Group, Task};
use std::{net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

const BLOCK: usize = 256 << 10;
/// The time between two keystrokes.
const KEYSTROKE: Duration = Duration::from_millis(10);

/// Where a stream without end comes from, and where one is swallowed.
#[derive(Clone, Copy, Debug)]
pub struct Ends {
    pub source: SocketAddr,
    pub sink: SocketAddr,
}

/// A source and a sink in this process.
pub struct Server {
    pub ends: Ends,
    _accepting: [Task<()>; 2],
}

impl Server {
    pub async fn start() -> Self {
        let [source, sink] = [listen().await, listen().await];
        let ends = Ends { source: address(&source), sink: address(&sink) };
        let accepting = [
            rt::task::spawn("source", accept(source, |stream| Box::pin(pour(stream)))),
            rt::task::spawn("sink", accept(sink, |stream| Box::pin(swallow(stream)))),
        ];
        Server { ends, _accepting: accepting }
    }
}

pub async fn listen() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.expect("a free port")
}

pub fn address(listener: &TcpListener) -> SocketAddr {
    listener.local_addr().expect("an address")
}

async fn accept(listener: TcpListener, serve: fn(TcpStream) -> futures::future::BoxFuture<'static, ()>) {
    let group = Group::new();
    loop {
        let (stream, _) = listener.accept().await.expect("a connection");
        group.spawn("connection", serve(stream));
    }
}

async fn pour(mut stream: TcpStream) {
    let block = vec![b'#'; BLOCK];
    while stream.write_all(&block).await.is_ok() {}
}

async fn swallow(mut stream: TcpStream) {
    let mut block = vec![0; BLOCK];
    while matches!(stream.read(&mut block).await, Ok(1..)) {}
    let _ = stream.shutdown().await; // tells that all has arrived
}

pub async fn connect(to: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(to).await.expect("a connection");
    stream.set_nodelay(true).expect("a socket");
    stream
}

/// Reads so many bytes. Gbit/s, from the first byte on: making a connection is another figure.
pub async fn download(from: SocketAddr, bytes: u64) -> f64 {
    let mut stream = connect(from).await;
    stream.read_u8().await.expect("a first byte");
    let start = rt::clock::now();
    let (mut block, mut left) = (vec![0; BLOCK], bytes);
    while left > 0 {
        let n = stream.read(&mut block).await.expect("bytes");
        assert!(n > 0, "the stream ended {left} bytes early");
        left = left.saturating_sub(n as u64);
    }
    gigabits(bytes, start.elapsed())
}

/// Sends so many bytes and waits until the other end says that it has them all.
pub async fn upload(to: SocketAddr, bytes: u64) -> f64 {
    let mut stream = connect(to).await;
    let (block, mut left) = (vec![b'#'; BLOCK], bytes);
    let start = rt::clock::now();
    while left > 0 {
        stream.write_all(&block).await.expect("room");
        left = left.saturating_sub(BLOCK as u64);
    }
    stream.shutdown().await.expect("an end");
    assert_eq!(stream.read(&mut [0; 1]).await.expect("the other end"), 0);
    gigabits(bytes, start.elapsed())
}

#[allow(clippy::cast_precision_loss)] // a rate is shown with two decimals
fn gigabits(bytes: u64, elapsed: Duration) -> f64 {
    bytes as f64 * 8.0 / elapsed.as_secs_f64() / 1e9
}

/// Reads for ever.
pub async fn load(from: SocketAddr) {
    let mut stream = connect(from).await;
    let mut block = vec![0; BLOCK];
    while matches!(stream.read(&mut block).await, Ok(1..)) {}
}

/// One byte there and back, again and again.
pub async fn echo_times(mut stream: impl AsyncRead + AsyncWrite + Unpin, span: Duration) -> Latencies {
    let (mut times, begin) = (Latencies::default(), rt::clock::now());
    while begin.elapsed() < span {
        rt::clock::sleep(KEYSTROKE).await;
        let sent = rt::clock::now();
        stream.write_all(b"k").await.expect("room");
        stream.flush().await.expect("room");
        stream.read_u8().await.expect("the echo");
        times.add(sent.elapsed());
    }
    times
}
