//! HTTP/2 as no honest client speaks it: streams opened and reset at once, heads and bodies that never end, answers that
//! nobody takes. Such a connection ends; others notice nothing.

#![allow(clippy::disallowed_methods)] // what drives a connection of h2 ends with it
#![allow(clippy::unwrap_used, clippy::expect_used)] // what is not as it must be ends the test

use bytes::Bytes;
use e2e::{Cluster, Http, Layout, Setup};
use futures::future::join_all;
use h2::{Reason, client::SendRequest};
use hyper::Request;
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// Longest time for an honest client's answer, on a machine that does other things as well.
const QUICK: Duration = Duration::from_secs(2);
/// Twice what a request's body may take.
const CUT: Duration = Duration::from_mins(1);
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

async fn start() -> (Cluster, Http) {
    let cluster = Cluster::start(Setup::synthetic(Layout::Dev, 1)).await;
    let admin = Http::admin(&cluster);
    (cluster, admin)
}

async fn is_quick(admin: &Http) {
    let answer = tokio::time::timeout(QUICK, admin.get("/v1/workers")).await;
    answer.expect("an honest client waits").is(200);
}

/// An HTTP/2 connection, and what it ended with.
async fn connect(address: &str) -> (SendRequest<Bytes>, tokio::task::JoinHandle<Result<(), h2::Error>>) {
    let tcp = TcpStream::connect(address).await.unwrap();
    let (sender, connection) = h2::client::handshake(tcp).await.unwrap();
    (sender, tokio::spawn(connection))
}

fn ask(cluster: &Cluster, method: &str, path: &str) -> Request<()> {
    let uri = format!("http://{}{path}", cluster.address());
    let token = format!("Bearer {}", cluster.token().expose_secret());
    Request::builder().method(method).uri(uri).header("authorization", token).body(()).unwrap()
}

/// A frame: length, type, flags, stream (RFC 9113, 4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_rapid_resets_end_their_connection_only() {
    let (cluster, admin) = start().await;
    let flood = (0..4).map(|_| async {
        let (mut sender, connection) = connect(&cluster.address()).await;
        let cluster = &cluster;
        let flooding = async move {
            for _ in 0..20_000 {
                sender = sender.ready().await?;
                let (_, mut stream) = sender.send_request(ask(cluster, "GET", "/v1/vms"), false)?;
                stream.send_reset(Reason::CANCEL);
            }
            Ok::<_, h2::Error>(())
        };
        // It ends early where the server hangs up.
        let _ = flooding.await;
        let ended = tokio::time::timeout(CUT, connection).await.expect("it ends").unwrap();
        let reason = ended.expect_err("the server hangs up").reason();
        assert!(matches!(reason, None | Some(Reason::ENHANCE_YOUR_CALM)), "{reason:?}");
    });
    let honest = async {
        for _ in 0..20 {
            is_quick(&admin).await;
        }
    };
    tokio::join!(join_all(flood), honest);
    is_quick(&admin).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_http2_clients_that_dawdle_are_cut() {
    let (cluster, admin) = start().await;
    let address = cluster.address();
    // A head without an end, of ever more continuations.
    let settings = frame(4, 0, 0, &[]);
    let opened = [PREFACE, &settings, &frame(1, 0, 1, &[0x82])].concat();
    let endless = async {
        let mut tcp = TcpStream::connect(&address).await.unwrap();
        tcp.write_all(&opened).await.unwrap();
        let (mut read, mut write) = tcp.split();
        let pour = async { while write.write_all(&frame(9, 0, 1, &[0x84; 1024])).await.is_ok() {} };
        let mut said = Vec::new();
        let ended = async { tokio::join!(pour, read.read_to_end(&mut said)).1 };
        let _ = tokio::time::timeout(CUT, ended).await.expect("an endless head is cut");
    };
    // Nothing but a preface, and one frame now and then.
    let silent = async {
        let mut tcp = TcpStream::connect(&address).await.unwrap();
        tcp.write_all(&opened).await.unwrap();
        let mut said = Vec::new();
        let _ = tokio::time::timeout(CUT, tcp.read_to_end(&mut said)).await.expect("a slow head is cut");
    };
    // A body that does not come is given up, and the connection serves on.
    let half = async {
        let (mut sender, _connection) = connect(&address).await;
        let (answer, _body) = sender.send_request(ask(&cluster, "POST", "/v1/projects"), false).unwrap();
        let answer = tokio::time::timeout(CUT, answer).await.expect("a slow body is cut").unwrap();
        assert!(matches!(answer.status().as_u16(), 408 | 415), "{}", answer.status());
        let (next, _) = sender.send_request(ask(&cluster, "GET", "/v1/whoami"), true).unwrap();
        assert_eq!(next.await.unwrap().status(), 200);
    };
    let honest = async {
        loop {
            is_quick(&admin).await;
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    tokio::select! {
        _ = async { tokio::join!(endless, silent, half) } => {}
        () = honest => unreachable!(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_floods_of_frames_and_of_untaken_answers_harm_nobody() {
    let (cluster, admin) = start().await;
    let address = cluster.address();
    // Pings and settings, each of which wants an answer that nobody reads.
    let pour = |frame: Vec<u8>| {
        let address = &address;
        async move {
            let mut tcp = TcpStream::connect(address).await.unwrap();
            tcp.write_all(&[PREFACE, &self::frame(4, 0, 0, &[])].concat()).await.unwrap();
            let many = frame.repeat(1000);
            let pouring = async { while tcp.write_all(&many).await.is_ok() {} };
            let _ = tokio::time::timeout(Duration::from_secs(5), pouring).await;
        }
    };
    // A window of nothing: whole answers wait in the server.
    let untaken = async {
        let tcp = TcpStream::connect(&address).await.unwrap();
        let mut builder = h2::client::Builder::new();
        let (mut sender, connection) =
            builder.initial_window_size(0).handshake::<_, Bytes>(tcp).await.unwrap();
        let connection = tokio::spawn(connection);
        let mut answers = Vec::new();
        for _ in 0..200 {
            sender = sender.ready().await.unwrap();
            answers.push(sender.send_request(ask(&cluster, "GET", "/openapi.json"), true).unwrap().0);
        }
        let honest = async {
            for _ in 0..10 {
                is_quick(&admin).await;
            }
        };
        tokio::join!(join_all(answers), honest);
        connection.abort();
    };
    tokio::join!(pour(frame(6, 0, 0, &[0; 8])), pour(frame(4, 0, 0, &[])), untaken);
    is_quick(&admin).await;
}
