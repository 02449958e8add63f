//! Clients that take their time, or too much of everything: they are cut off, and honest clients notice nothing.

#![allow(clippy::unwrap_used, clippy::expect_used)] // what is not as it must be ends the test

use api::stream::TCP_PROTOCOL;
use e2e::{Cluster, Http, Layout, Setup, eventually};
use futures::future::join_all;
use serde_json::json;
use std::time::{Duration, Instant};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const VMS: &str = "/v1/projects/default/vms";
/// Longest time for an honest client's answer, on a machine that does other things as well.
const QUICK: Duration = Duration::from_secs(2);

async fn start() -> (Cluster, Http) {
    let cluster = Cluster::start(Setup::synthetic(Layout::Dev, 1)).await;
    let admin = Http::admin(&cluster);
    (cluster, admin)
}

#[allow(clippy::disallowed_methods)] // a test measures
fn now() -> Instant {
    Instant::now()
}

/// An honest client's request is answered at once.
async fn is_quick(admin: &Http) {
    let begin = now();
    admin.get("/v1/workers").await.is(200);
    let took = begin.elapsed();
    assert!(took < QUICK, "an honest client waited {took:?}");
}

/// How long until the server ends a connection that sends this, then a byte now and then, and what it said.
async fn dawdle(address: &str, first: &[u8], drip: &[u8]) -> (Duration, String) {
    let begin = now();
    let mut tcp = TcpStream::connect(address).await.unwrap();
    tcp.write_all(first).await.unwrap();
    let mut said = Vec::new();
    let mut buffer = [0; 4096];
    while begin.elapsed() < Duration::from_secs(50) {
        match tokio::time::timeout(Duration::from_millis(500), tcp.read(&mut buffer)).await {
            Ok(Ok(0) | Err(_)) => break,
            Ok(Ok(n)) => said.extend_from_slice(&buffer[..n]),
            Err(_) if tcp.write_all(drip).await.is_err() => break,
            Err(_) => {}
        }
    }
    (begin.elapsed(), String::from_utf8_lossy(&said).into_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_slow_heads_and_bodies_are_cut() {
    let (cluster, admin) = start().await;
    let address = cluster.address();
    let token = cluster.token().expose_secret().to_owned();
    let post = |path: &str, length: usize| {
        format!(
            "POST {path} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {token}\r\n\
             content-type: application/json\r\ncontent-length: {length}\r\n\r\n{{"
        )
    };
    let body = post(VMS, 10_000);
    admin
        .send("POST", "/v1/images", &json!({"name": "slow", "spec": {"format": "raw", "arch": "amd64"}}))
        .await
        .is(201);
    let upload = post("/v1/images/slow/parts/disk", 10_000).replace("POST", "PUT");
    // What is sent first, what is sent every half second, how long that may last, what the server says.
    let cases: [(&[u8], &[u8], u64, &str); 7] = [
        (b"", b"", 12, ""),
        (b"GET /livez HTTP/1.1\r\nhost: x\r\nx-slow: ", b"a", 12, ""),
        (b"GE", b"", 12, ""),
        (b"PRI * HTTP/2", b"", 12, ""),
        (b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n", b"", 13, "200 OK"),
        (body.as_bytes(), b" ", 33, "408 Request Timeout"),
        (upload.as_bytes(), b"", 33, "408 Request Timeout"),
    ];
    let dawdling = join_all(cases.map(|(first, drip, limit, says)| {
        let address = address.clone();
        async move {
            let (took, said) = dawdle(&address, first, drip).await;
            let what = String::from_utf8_lossy(first).lines().next().unwrap_or_default().to_owned();
            assert!(took < Duration::from_secs(limit + 5), "{what}: cut only after {took:?}: {said}");
            assert!(said.contains(says), "{what}: {said}");
        }
    }));
    let honest = async {
        loop {
            is_quick(&admin).await;
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    tokio::select! {
        _ = dawdling => {}
        () = honest => unreachable!(),
    }
    assert_eq!(admin.get("/v1/images/slow").await.is(200)["status"]["ready"], false);
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_idle_connections_cost_others_nothing() {
    let (cluster, admin) = start().await;
    let address = cluster.address();
    let mut idle = Vec::new();
    for n in 0..1000 {
        let mut tcp = TcpStream::connect(&address).await.unwrap();
        if n % 2 == 0 {
            tcp.write_all(b"GET /livez HTTP/1.1\r\nhost: x\r\n").await.unwrap(); // and no end
        }
        idle.push(tcp);
    }
    for _ in 0..20 {
        is_quick(&admin).await;
    }
    cluster.cli().run(&["vm", "create", "web", "--image", "synthetic", "--wait"]).await.ok();
    // All of them are ended, without our doing.
    let ended = join_all(idle.iter_mut().map(|tcp| async move {
        let mut bytes = Vec::new();
        tokio::time::timeout(Duration::from_secs(20), tcp.read_to_end(&mut bytes)).await.is_ok()
    }));
    assert!(ended.await.into_iter().all(|e| e), "a connection that asks for nothing stays");
    is_quick(&admin).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_too_much_of_a_request_is_refused() {
    let (cluster, admin) = start().await;
    let address = cluster.address();
    let raw = async |bytes: Vec<u8>| -> String {
        let mut tcp = TcpStream::connect(&address).await.unwrap();
        let _ = tcp.write_all(&bytes).await; // it may hang up before it has read all
        let mut said = Vec::new();
        let _ =
            tokio::time::timeout(Duration::from_secs(20), tcp.read_to_end(&mut said)).await.expect("an end");
        String::from_utf8_lossy(&said).into_owned()
    };
    let many = format!("GET /livez HTTP/1.1\r\nhost: x\r\n{}\r\n", "x-y: z\r\n".repeat(500));
    assert!(!raw(many.into_bytes()).await.contains("200 OK"));
    let long = format!("GET /livez HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n", "y".repeat(200_000));
    assert!(!raw(long.into_bytes()).await.contains("200 OK"));
    let path = format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "y".repeat(200_000));
    assert!(!raw(path.into_bytes()).await.contains("200 OK"));
    let garbage: Vec<u8> =
        (0..20_000_u32).map(|n| u8::try_from(n.wrapping_mul(2_654_435_761) >> 24).unwrap()).collect();
    assert!(!raw(garbage).await.contains("200 OK"));
    let mut both =
        b"POST /v1/vms HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n"
            .to_vec();
    both.extend_from_slice(b"0\r\n\r\nGET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    let _ = raw(both).await; // whatever it says, it says it once and lives
    let deep = |open: &str, close: &str| format!("{}1{}", open.repeat(100_000), close.repeat(100_000));
    for body in [deep("[", "]"), deep("{\"a\":", "}"), format!("{{\"labels\": {}}}", deep("{\"a\":", "}"))] {
        let ask = admin.ask("PATCH", "/v1/settings").header("content-type", "application/json").body(body);
        ask.send().await.problem(400);
    }
    let wide: serde_json::Map<String, serde_json::Value> =
        (0..20_000).map(|n| (format!("l{n}"), json!(""))).collect();
    let made = json!({"name": "web", "labels": wide, "spec": {"image": "synthetic"}});
    assert_eq!(admin.send("POST", VMS, &made).await.problem(400)["field"], "/labels");
    is_quick(&admin).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_floods_of_streams_harm_nobody() {
    let (_cluster, admin) = start().await;
    admin.send("POST", VMS, &json!({"name": "web", "spec": {"image": "synthetic"}})).await.is(201);
    eventually("it runs", Duration::from_secs(30), || async {
        let vm = admin.get(&format!("{VMS}/web")).await.is(200);
        (vm["status"]["phase"] == "Running").then_some(())
    })
    .await;
    let path = format!("{VMS}/web/ports/7");
    let flood = (0..40).map(|_| async {
        let (response, connection) = admin.ask("GET", &path).websocket(TCP_PROTOCOL).open().await;
        assert_eq!(response.status(), 101);
        let stream = hyper::upgrade::on(response).await.unwrap();
        let mut stream = hyper_util::rt::TokioIo::new(stream);
        // Masked binary frames of 4 KiB as fast as they go, and nobody reads what comes back.
        let mut frame = vec![0x82, 0xfe, 0x10, 0x00, 0, 0, 0, 0];
        frame.extend_from_slice(&[7; 4096]);
        let pouring = async { while stream.write_all(&frame).await.is_ok() {} };
        let _ = tokio::time::timeout(Duration::from_secs(3), pouring).await;
        drop(connection);
    });
    let honest = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        for _ in 0..10 {
            is_quick(&admin).await;
        }
    };
    tokio::join!(join_all(flood), honest);
    // A frame larger than any that is allowed ends that stream, and that one only.
    let (response, _connection) = admin.ask("GET", &path).websocket(TCP_PROTOCOL).open().await;
    let stream = hyper::upgrade::on(response).await.unwrap();
    let mut stream = hyper_util::rt::TokioIo::new(stream);
    let mut head = vec![0x82, 0xff];
    head.extend_from_slice(&(1_u64 << 40).to_be_bytes());
    head.extend_from_slice(&[0; 4]);
    stream.write_all(&head).await.unwrap();
    let mut said = Vec::new();
    let _ =
        tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut said)).await.expect("it ends");
    is_quick(&admin).await;
    let vm = admin.get(&format!("{VMS}/web")).await.is(200);
    assert_eq!(vm["status"]["phase"], "Running");
}
