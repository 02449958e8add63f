//! Tunnels over a real link: bytes, ends, refusals, many at once, stalls.

#![allow(clippy::unwrap_used)] // helpers of tests

mod common;

use base::Code;
use common::{Controller, Worker, check_echo, within};
use futures::future::join_all;
use link::{Class, controller_side::Session};
use sha2::{Digest, Sha256};
use std::io::ErrorKind;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

async fn link() -> (Controller, Worker, Session) {
    let controller = Controller::start().await;
    let worker = Worker::start(&controller);
    let session = controller.session_with_bulk().await;
    assert_eq!(session.worker(), worker.uid);
    (controller, worker, session)
}

/// Bytes that do not repeat soon.
fn noise(block: u64) -> Vec<u8> {
    let mut x = block.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        x.to_le_bytes()
    };
    (0..8192).flat_map(|_| next()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_megabytes_echo_unchanged() {
    let (_controller, _worker, session) = link().await;
    let tunnel = session.open_tunnel("echo", Class::Bulk).await.unwrap();
    let (mut reader, mut writer) = tokio::io::split(tunnel);
    let write = async {
        let mut sent = Sha256::new();
        for block in 0..3200 {
            let bytes = noise(block); // 64 KiB
            sent.update(&bytes);
            writer.write_all(&bytes).await.unwrap();
        }
        writer.shutdown().await.unwrap();
        sent.finalize()
    };
    let read = async {
        let (mut got, mut total, mut buffer) = (Sha256::new(), 0, vec![0; 100_000]);
        loop {
            match reader.read(&mut buffer).await.unwrap() {
                0 => return (got.finalize(), total),
                n => {
                    got.update(&buffer[..n]);
                    total += n;
                }
            }
        }
    };
    let (sent, (got, total)) = within("200 MB", async { tokio::join!(write, read) }).await;
    assert_eq!(total, 3200 * 65536);
    assert_eq!(sent, got);
}

#[tokio::test]
async fn two_hundred_tunnels_at_once() {
    let (_controller, _worker, session) = link().await;
    let one = |n: u64| {
        let session = &session;
        async move {
            let class = if n.is_multiple_of(2) { Class::Bulk } else { Class::Interactive };
            let mut tunnel = session.open_tunnel("echo", class).await.unwrap();
            let bytes = noise(n);
            let (mut reader, mut writer) = tokio::io::split(&mut tunnel);
            let mut back = Vec::new();
            let write = async {
                writer.write_all(&bytes).await.unwrap();
                writer.shutdown().await.unwrap();
            };
            let (read, ()) = tokio::join!(reader.read_to_end(&mut back), write);
            read.unwrap();
            assert!(back == bytes, "tunnel {n}");
        }
    };
    within("200 tunnels", join_all((0..200).map(one))).await;
}

#[tokio::test]
async fn the_controller_may_end_its_direction_first() {
    let (_controller, _worker, session) = link().await;
    let mut tunnel = session.open_tunnel("sink", Class::Interactive).await.unwrap();
    tunnel.write_all(&vec![7; 123_456]).await.unwrap();
    tunnel.shutdown().await.unwrap();
    tunnel.shutdown().await.unwrap(); // twice does no harm
    let mut answer = String::new();
    within("the count", tunnel.read_to_string(&mut answer)).await.unwrap();
    assert_eq!(answer, "123456");
    assert_eq!(tunnel.write(b"x").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
}

#[tokio::test]
async fn the_worker_may_end_its_direction_first() {
    let (_controller, _worker, session) = link().await;
    let mut tunnel = session.open_tunnel("greet-then-read", Class::Interactive).await.unwrap();
    let mut greeting = Vec::new();
    within("the greeting", tunnel.read_to_end(&mut greeting)).await.unwrap();
    assert_eq!(greeting.len(), 300_000);
    tunnel.write_all(b"the rest").await.unwrap();
    tunnel.shutdown().await.unwrap();
}

#[tokio::test]
async fn what_was_written_before_leaving_arrives() {
    let (_controller, _worker, session) = link().await;
    let mut tunnel = session.open_tunnel("write-and-leave", Class::Interactive).await.unwrap();
    let mut all = Vec::new();
    within("all of it", tunnel.read_to_end(&mut all)).await.unwrap();
    assert_eq!(all.len(), 900_000);
}

#[tokio::test]
async fn a_refusal_arrives_as_the_worker_said_it() {
    let (_controller, _worker, session) = link().await;
    for class in [Class::Interactive, Class::Bulk] {
        let refused =
            within("a refusal", session.open_tunnel("vms/x/ports/22?a=b", class)).await.unwrap_err();
        assert_eq!(refused.code, Code::Conflict);
        assert_eq!(refused.message, "vms/x/ports/22?a=b is stopped");
        assert_eq!(refused.field.as_deref(), Some("/vm"));
        assert_eq!(refused.cause.as_deref(), Some("it was told to"));
        assert_eq!(refused.hint.as_deref(), Some("start it: hostler vm start"));
    }
    let silent = within("a refusal", session.open_tunnel("silent", Class::Bulk)).await.unwrap_err();
    assert_eq!(silent.code, Code::Internal);
    let malformed = session.open_tunnel("no spaces", Class::Bulk).await.unwrap_err();
    assert_eq!(malformed.code, Code::Invalid);
    check_echo(&session, Class::Interactive).await;
}

#[tokio::test]
async fn a_late_failure_is_never_a_silent_end() {
    let (_controller, _worker, session) = link().await;
    // The reset may overtake the answer.
    match within("an answer", session.open_tunnel("fail-late", Class::Interactive)).await {
        Err(e) => assert_eq!(e.code, Code::Unavailable),
        Ok(mut tunnel) => {
            let reset = within("a reset", tunnel.read_to_end(&mut Vec::new())).await.unwrap_err();
            assert_eq!(reset.kind(), ErrorKind::ConnectionReset);
        }
    }
}

#[tokio::test]
async fn the_worker_learns_the_class_and_the_headers() {
    let (_controller, _worker, session) = link().await;
    for (class, name) in [(Class::Interactive, "Interactive hi"), (Class::Bulk, "Bulk hi")] {
        let headers = [("said", "hi")].map(|(k, v)| (k.parse().unwrap(), v.parse().unwrap()));
        let headers = headers.into_iter().collect();
        let mut tunnel = session.open_tunnel_with("class", class, headers).await.unwrap();
        let mut said = String::new();
        within("the class", tunnel.read_to_string(&mut said)).await.unwrap();
        assert_eq!(said, name);
    }
}

/// Forty consumers that never read fill their own windows, on each connection, and disturb nobody.
#[tokio::test]
async fn a_stalled_tunnel_stalls_no_other() {
    let (_controller, _worker, session) = link().await;
    let mut stalled = Vec::new();
    for class in [Class::Interactive, Class::Bulk] {
        for _ in 0..20 {
            stalled.push(session.open_tunnel("flood", class).await.unwrap());
        }
    }
    for tunnel in &mut stalled {
        let mut some = [0; 1000];
        within("the flood", tunnel.read_exact(&mut some)).await.unwrap(); // it flows, then nobody reads on
    }
    for _ in 0..20 {
        check_echo(&session, Class::Interactive).await;
        check_echo(&session, Class::Bulk).await;
    }
    let reply = within("assignments", session.put_assignments("still quick".into())).await.unwrap();
    assert_eq!(&reply[..], b"still quick");
}

/// Tunnels that are given up before or after they were answered leave room for others.
#[tokio::test]
async fn abandoned_tunnels_give_their_place_back() {
    let (_controller, _worker, session) = link().await;
    for round in 0..40 {
        let open: Vec<_> = (0..100).map(|_| session.open_tunnel("never", Class::Bulk)).collect();
        let any = async {
            tokio::select! {
                biased;
                _ = join_all(open) => panic!("answered"),
                () = tokio::task::yield_now() => {}
            }
        };
        within("giving up", any).await;
        let mut flood = session.open_tunnel("flood", Class::Bulk).await.unwrap();
        let mut some = vec![0; 100_000];
        within("a part", flood.read_exact(&mut some)).await.unwrap_or_else(|e| panic!("round {round}: {e}"));
    }
    check_echo(&session, Class::Bulk).await;
    assert!(session.has_bulk());
}

#[tokio::test]
async fn too_many_tunnels_are_refused_at_once() {
    let (_controller, _worker, session) = link().await;
    let mut open = Vec::new();
    let refused = within("the limit", async {
        loop {
            match session.open_tunnel("echo", Class::Bulk).await {
                Ok(tunnel) => open.push(tunnel),
                Err(e) => return e,
            }
        }
    })
    .await;
    assert_eq!(refused.code, Code::Exhausted);
    assert!(open.len() >= 200, "{}", open.len());
    check_echo(&session, Class::Interactive).await;
    drop(open);
    check_echo(&session, Class::Bulk).await;
}

/// A forwarded port: socket, tunnel, socket, with the ends of both directions where they belong.
#[tokio::test]
async fn a_relay_passes_bytes_and_ends_on() {
    let (_controller, _worker, session) = link().await;
    let target = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = target.local_addr().unwrap().port();
    let tunnel = session.open_tunnel(&format!("tcp/{port}"), Class::Bulk).await.unwrap();
    let (near, far) = tokio::io::duplex(100_000);
    let relayed = link::relay(tunnel, far);
    let client = async {
        let (mut read, mut write) = tokio::io::split(near);
        let sent: Vec<u8> = (0..100).flat_map(noise).collect();
        let mut answer = Vec::new();
        let write_all = async {
            write.write_all(&sent).await.unwrap();
            write.shutdown().await.unwrap();
        };
        let (read, ()) = tokio::join!(read.read_to_end(&mut answer), write_all);
        read.unwrap();
        assert_eq!(answer, b"thanks");
        sent
    };
    let server = async {
        let (mut tcp, _) = target.accept().await.unwrap();
        let mut got = Vec::new();
        tcp.read_to_end(&mut got).await.unwrap();
        tcp.write_all(b"thanks").await.unwrap();
        got
    };
    let (moved, sent, got) = within("a relay", async { tokio::join!(relayed, client, server) }).await;
    assert_eq!(moved.unwrap(), (100 * 65536, 6));
    assert!(sent == got);
}

#[tokio::test]
async fn a_relay_to_a_dead_port_is_refused_and_a_reset_is_passed_on() {
    let (_controller, _worker, session) = link().await;
    let refused = session.open_tunnel("tcp/1", Class::Bulk).await.unwrap_err();
    assert_eq!(refused.code, Code::Unavailable);

    let target = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = target.local_addr().unwrap().port();
    let mut tunnel = session.open_tunnel(&format!("tcp/{port}"), Class::Bulk).await.unwrap();
    let (tcp, _) = target.accept().await.unwrap();
    tcp.set_zero_linger().unwrap();
    drop(tcp);
    let reset = within("a reset", tunnel.read_to_end(&mut Vec::new())).await.unwrap_err();
    assert_eq!(reset.kind(), ErrorKind::ConnectionReset);
}
