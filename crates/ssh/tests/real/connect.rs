//! Host keys, logins, and the ends of connections.

use crate::Server;
use base::{Code, Secret};
use ssh::{Auth, Connection, ExecEvent, ExecRequest, HostKeyCheck, KeyPair, Options, read_banner};
use std::{sync::Arc, time::Duration};
use tokio::{net::TcpListener, sync::Notify};

const SOON: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_connection_starts_and_ends() {
    let server = Server::start().await;
    let connection = server.connect().await;
    let seen = connection.host_key_seen();
    assert!(server.0.host_key().starts_with(&seen) && seen.starts_with("ssh-ed25519 AAAA"), "{seen}");
    assert!(!connection.is_closed());
    let other = connection.clone();
    connection.close().await;
    assert!(other.is_closed());
    let e = other.exec(ExecRequest::command("true")).await.err().unwrap();
    assert_eq!(e.code, Code::Unavailable);
}

#[tokio::test]
async fn another_host_key_is_refused_loudly() {
    let server = Server::start().await;
    let wrong = KeyPair::generate();
    let pinned = HostKeyCheck::Pinned(vec![wrong.public_openssh().unwrap()]);
    let e = server.connect_with(Options { host_key: pinned, ..server.options() }).await.err().unwrap();
    assert_eq!(e.code, Code::Forbidden);
    assert!(e.message.contains("HOST KEY"), "{e}");
    let cause = e.cause.unwrap();
    let came = fingerprint(server.0.host_key()).await;
    assert!(cause.contains(&wrong.fingerprint()) && cause.contains(&came), "{cause} lacks {came}");
    assert!(!server.0.log().contains("Accepted"), "nobody must have logged in");
}

/// As OpenSSH computes it.
async fn fingerprint(line: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("key.pub");
    std::fs::write(&path, line).unwrap();
    let mut command = rt::process::command("ssh-keygen");
    command.arg("-l").arg("-f").arg(&path);
    let shown = rt::process::run(command, SOON).await.unwrap().stdout;
    shown.split_whitespace().nth(1).unwrap().to_owned()
}

#[tokio::test]
async fn a_pinned_key_of_another_type_is_a_mismatch_too() {
    // The server has an ed25519 key only, so the pinned type cannot even be negotiated.
    let server = Server::start().await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("key");
    let mut command = rt::process::command("ssh-keygen");
    command.args(["-q", "-t", "ecdsa", "-N", "", "-f"]).arg(&path);
    rt::process::run(command, SOON).await.unwrap();
    let line = std::fs::read_to_string(path.with_extension("pub")).unwrap();
    let pinned = HostKeyCheck::Pinned(vec![line]);
    let e = server.connect_with(Options { host_key: pinned, ..server.options() }).await.err().unwrap();
    assert_eq!(e.code, Code::Forbidden, "{e}");
}

#[tokio::test]
async fn one_of_several_pinned_keys_is_enough() {
    let server = Server::start().await;
    let other = KeyPair::generate().public_openssh().unwrap();
    let pinned = HostKeyCheck::Pinned(vec![other, server.0.host_key().to_owned()]);
    server.connect_with(Options { host_key: pinned, ..server.options() }).await.unwrap();
}

#[tokio::test]
async fn a_key_can_be_learned_at_first_contact() {
    let server = Server::start().await;
    let first =
        server.connect_with(Options { host_key: HostKeyCheck::AcceptAny, ..server.options() }).await.unwrap();
    let pinned = HostKeyCheck::Pinned(vec![first.host_key_seen()]);
    server.connect_with(Options { host_key: pinned, ..server.options() }).await.unwrap();
}

#[tokio::test]
async fn a_damaged_pin_is_an_error_of_its_own() {
    let server = Server::start().await;
    let pinned = HostKeyCheck::Pinned(vec!["ssh-ed25519 nonsense".into()]);
    let e = server.connect_with(Options { host_key: pinned, ..server.options() }).await.err().unwrap();
    assert_eq!(e.code, Code::Invalid);
}

#[tokio::test]
async fn a_refused_login_says_who_and_how() {
    let server = Server::start().await;
    let (a, b) = (KeyPair::generate(), KeyPair::generate());
    let password = Secret::new("not this one");
    let auth = vec![Auth::Key(a.clone()), Auth::Key(b.clone()), Auth::Password(password)];
    let e = server.connect_with(Options { auth, ..server.options() }).await.err().unwrap();
    assert_eq!(e.code, Code::Unauthenticated);
    assert!(e.message.contains(&format!("'{}'", server.0.user())), "{e}");
    let cause = e.cause.unwrap();
    for part in [a.fingerprint().as_str(), &b.fingerprint(), "password", "the server accepts publickey"] {
        assert!(cause.contains(part), "'{cause}' lacks '{part}'");
    }
    assert!(!cause.contains("not this one"));
}

#[tokio::test]
async fn the_second_key_may_be_the_right_one() {
    let server = Server::start().await;
    let mut options = server.options();
    options.auth.insert(0, Auth::Key(KeyPair::generate()));
    server.connect_with(options).await.unwrap();
}

#[tokio::test]
async fn a_server_that_hangs_up_on_too_many_tries_is_told_apart() {
    let server = Server::start_with(&["MaxAuthTries 2"]).await;
    let auth = (0..6).map(|_| Auth::Key(KeyPair::generate())).collect();
    let e = server.connect_with(Options { auth, ..server.options() }).await.err().unwrap();
    assert_eq!(e.code, Code::Unauthenticated);
    assert!(e.cause.unwrap().contains("Too many authentication failures"));
}

#[tokio::test]
async fn the_banner_of_a_server_is_read_and_that_of_a_dead_one_times_out() {
    let server = Server::start().await;
    let line = read_banner(server.0.dial().await.unwrap(), SOON).await.unwrap();
    assert!(line.starts_with("SSH-2.0-OpenSSH"), "{line}");
    // It accepts, as the forwarding of a hypervisor does, and says nothing.
    let dead = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let stream = tokio::net::TcpStream::connect(dead.local_addr().unwrap()).await.unwrap();
    let e = read_banner(stream, Duration::from_millis(100)).await.unwrap_err();
    assert_eq!(e.code, Code::Timeout);
}

#[tokio::test]
async fn a_silent_server_is_a_timeout() {
    let (ours, _theirs) = tokio::io::duplex(1 << 16);
    let options = Options {
        connect_timeout: Duration::from_millis(100),
        ..Options::new("root", Vec::new(), HostKeyCheck::AcceptAny)
    };
    assert_eq!(Connection::connect(ours, options).await.err().unwrap().code, Code::Timeout);
}

#[tokio::test]
async fn another_protocol_is_named_so() {
    let (ours, mut theirs) = tokio::io::duplex(1 << 16);
    let talk = rt::task::spawn("talk", async move {
        let _ = tokio::io::AsyncWriteExt::write_all(&mut theirs, b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    });
    let e = Connection::connect(ours, Options::new("root", Vec::new(), HostKeyCheck::AcceptAny))
        .await
        .err()
        .unwrap();
    assert_eq!(e.code, Code::Unavailable, "{e}");
    drop(talk);
}

/// A stream that the test can break.
async fn breakable(server: &Server) -> (Connection, rt::task::Task<()>) {
    let (ours, mut theirs) = tokio::io::duplex(1 << 16);
    let mut outside = server.0.dial().await.unwrap();
    let relay = rt::task::spawn("relay", async move {
        let _ = tokio::io::copy_bidirectional(&mut theirs, &mut outside).await;
    });
    (Connection::connect(ours, server.options()).await.unwrap(), relay)
}

#[tokio::test]
async fn a_lost_connection_ends_its_commands() {
    let server = Server::start().await;
    let (connection, relay) = breakable(&server).await;
    let (sender, mut receiver) = connection.exec(ExecRequest::command("cat")).await.unwrap().split();
    sender.stdin("here".into()).await.unwrap();
    assert_eq!(receiver.next().await, Some(ExecEvent::Stdout("here".into())));
    drop(relay);
    let end = rt::clock::timeout(SOON, "the end", receiver.next()).await.unwrap();
    assert_eq!(end, None, "an exit would be a lie");
    assert_eq!(receiver.lost().code, Code::Unavailable);
    rt::clock::timeout(SOON, "the end", connection.closed()).await.unwrap();
    assert_eq!(sender.stdin("more".into()).await.unwrap_err().code, Code::Unavailable);
}

/// A connection to what can freeze: it then neither reads nor writes, and does not hang up.
async fn freezable(
    server: &Server,
    keepalive: Option<Duration>,
) -> (Connection, Arc<Notify>, rt::task::Task<()>) {
    let mut outside = server.0.dial().await.unwrap();
    let (ours, mut far) = tokio::io::duplex(1 << 16);
    let freeze = Arc::new(Notify::new());
    let told = Arc::clone(&freeze);
    let relay = rt::task::spawn("relay", async move {
        tokio::select! {
            _ = tokio::io::copy_bidirectional(&mut far, &mut outside) => {}
            () = told.notified() => std::future::pending().await,
        }
    });
    let options = Options { keepalive, ..server.options() };
    (Connection::connect(ours, options).await.unwrap(), freeze, relay)
}

#[tokio::test]
async fn a_frozen_guest_is_noticed() {
    let server = Server::start().await;
    let (connection, freeze, _relay) = freezable(&server, Some(Duration::from_millis(50))).await;
    freeze.notify_one();
    rt::clock::timeout(SOON, "noticing", connection.closed()).await.unwrap();
    let e = connection.exec(ExecRequest::command("true")).await.err().unwrap();
    assert_eq!(e.code, Code::Unavailable);
    assert!(e.cause.unwrap().contains("no longer answers"));
}

#[tokio::test]
async fn a_frozen_guest_does_not_hold_us_up() {
    let server = Server::start().await;
    let (connection, freeze, _relay) = freezable(&server, None).await;
    let (sender, _receiver) = connection.exec(ExecRequest::command("sleep 1000")).await.unwrap().split();
    freeze.notify_one();
    let filling = async { while sender.stdin(vec![0; 1 << 20].into()).await.is_ok() {} };
    let both = async { tokio::join!(filling, connection.close()) };
    rt::clock::timeout(SOON, "the end", Box::pin(both)).await.unwrap();
    assert!(connection.is_closed());
}
