//! Watches that are cut, and WebSockets that are half closed.
#![allow(clippy::unwrap_used)] // a test fails by it

use api::{
    Vm,
    stream::{ChangeKind, Control, EXEC_PROTOCOL, ExecRequest, TCP_PROTOCOL},
};
use base::{Code, Error, Revision};
use bytes::Bytes;
use client::{
    Client, Key, Options,
    exec::{ExecEvent, Exit},
    wait::{self, Goal},
};
use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};
use testkit::fake_http::{End, FakeServer, Reply, Seen, Socket};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::tungstenite::{
    Message,
    protocol::{CloseFrame, frame::coding::CloseCode},
};

async fn in_turn(answer: impl Fn(usize, &Seen) -> Reply + Send + Sync + 'static) -> (FakeServer, Client) {
    let count = AtomicUsize::new(0);
    let server =
        FakeServer::start(move |seen| answer(count.fetch_add(1, Ordering::SeqCst), seen)).await.unwrap();
    let client = Client::new(Options::new(server.url())).unwrap();
    (server, client)
}

fn web() -> Key {
    Key::in_project("default", "web")
}

fn event(change: &str, revision: &str, object: Option<&Value>) -> Bytes {
    let data = json!({"change": change, "kind": "vm", "revision": revision, "object": object});
    format!("id: {revision}\nevent: vm\ndata: {data}\n\n").into()
}

fn without_id(event: &Bytes) -> Bytes {
    let text = std::str::from_utf8(event).unwrap();
    text.split_once('\n').unwrap().1.to_owned().into()
}

#[tokio::test]
async fn a_cut_watch_goes_on_where_it_was() {
    let (server, client) = in_turn(|n, _| match n {
        // Two changes of one revision, cut between them.
        0 => Reply::Stream(
            vec![event("bookmark", "1-5", None), without_id(&event("put", "1-6", None))],
            End::Broken,
        ),
        1 => Reply::problem(Error::unavailable("restarting"), "r"),
        2 => Reply::Stream(vec![event("bookmark", "1-8", None)], End::Well),
        _ => Reply::Stream(vec![event("deleted", "1-9", None)], End::Never),
    })
    .await;
    let mut watch = client.watch(&["vm", "worker"], Some("ci"), Some(Revision::new(1, 4)));
    let mut kinds = Vec::new();
    for _ in 0..4 {
        kinds.push(watch.next().await.unwrap().change);
    }
    assert_eq!(kinds, [ChangeKind::Bookmark, ChangeKind::Put, ChangeKind::Bookmark, ChangeKind::Deleted]);
    assert_eq!(watch.revision(), Some(Revision::new(1, 9)));
    let seen = server.seen();
    assert_eq!(seen[0].path, "/v1/watch?kinds=vm%2Cworker&project=ci&since=1-4");
    let resumed: Vec<String> = seen.iter().map(|s| s.header("last-event-id")).collect();
    assert_eq!(resumed, ["1-4", "1-5", "1-5", "1-8"]);
}

#[tokio::test]
async fn what_is_no_longer_kept_is_told() {
    let gone = || Error::new(Code::Gone, "older than what is kept");
    let (_server, client) = in_turn(move |_, _| Reply::problem(gone(), "r")).await;
    let error = client.watch(&["vm"], None, Some(Revision::new(1, 1))).next().await.unwrap_err();
    assert_eq!(error.code(), Code::Gone);
    // A reader that is too slow is told in the middle of the stream.
    let problem = serde_json::to_string(&api::Problem::new(gone(), "req-3")).unwrap();
    let (_server, client) = in_turn(move |_, _| {
        Reply::Stream(vec![format!("event: problem\ndata: {problem}\n\n").into()], End::Never)
    })
    .await;
    let error = client.watch(&["vm"], None, None).next().await.unwrap_err();
    assert_eq!((error.code(), &*error.request_id), (Code::Gone, "req-3"));
}

#[tokio::test]
async fn a_server_that_stays_away_ends_the_watch() {
    let (_server, client) = in_turn(|_, _| Reply::Stream(vec![], End::Well)).await;
    let mut watch = client.watch(&["vm"], None, None).patience(Duration::from_millis(300));
    assert_eq!(watch.next().await.unwrap_err().code(), Code::Unavailable);
}

fn vm(phase: &str, revision: &str) -> Value {
    let uid = base::Uid::from_parts(1, &[7; 10]);
    json!({"metadata": {"uid": uid, "name": "web", "project": "default", "createdAt": "2026-01-01T00:00:00Z",
        "generation": 1, "revision": revision}, "spec": {"image": "tiny"}, "status": {"phase": phase,
        "message": "as told", "fix": "add a worker"}})
}

/// A server with one VM, which is in these phases one look after the other, with a change before each.
async fn phases(phases: &'static [&'static str]) -> (FakeServer, Client) {
    let looks = AtomicUsize::new(0);
    in_turn(move |_, seen| match seen.path.as_str() {
        path if path.starts_with("/v1/watch") => {
            let changes =
                (0..phases.len()).map(|i| event("put", &format!("1-{}", i + 2), Some(&vm("x", "1-2"))));
            Reply::Stream(changes.collect(), End::Never)
        }
        path if path.contains("limit=1") => Reply::Json(200, json!({"items": [], "revision": "1-1"})),
        _ => {
            let n = looks.fetch_add(1, Ordering::SeqCst).min(phases.len() - 1);
            match phases[n] {
                "" => Reply::problem(Error::not_found("no VM"), "r"),
                phase => Reply::Json(200, vm(phase, &format!("1-{}", n + 1))),
            }
        }
    })
    .await
}

#[tokio::test]
async fn a_wait_ends_on_success_on_failure_and_in_time() {
    let long = Duration::from_secs(20);
    let (_server, client) = phases(&["Pending", "Starting", "Running"]).await;
    let mut seen = Vec::new();
    let found =
        wait::vm(&client, &web(), Goal::Ready, long, |vm: &Vm| seen.push(vm.status.phase.as_str())).await;
    assert_eq!(found.unwrap().unwrap().status.phase, api::VmPhase::Running);
    assert_eq!(seen, ["Pending", "Starting", "Running"]);

    let (_server, client) = phases(&["Pending", "Failed"]).await;
    let error = wait::vm(&client, &web(), Goal::Ready, long, |_| {}).await.unwrap_err();
    assert_eq!((error.code(), error.error.cause.as_deref()), (Code::Internal, Some("as told")));

    let (_server, client) = phases(&["Running", "Deleting", ""]).await;
    assert!(wait::vm(&client, &web(), Goal::Deleted, long, |_| {}).await.unwrap().is_none());

    let (_server, client) = phases(&["Pending"]).await;
    let error = wait::vm(&client, &web(), Goal::Ready, Duration::from_millis(300), |_| {}).await.unwrap_err();
    assert_eq!((error.code(), error.error.hint.as_deref()), (Code::Timeout, Some("add a worker")));
    assert!(error.error.message.contains("still Pending"), "{error}");
}

#[tokio::test]
async fn a_port_is_a_stream_that_is_closed_by_halves() {
    let (server, client) = in_turn(|_, _| Reply::socket(TCP_PROTOCOL, echo_after_the_end)).await;
    let mut stream = client.vm_port(&web(), 80).await.unwrap();
    let sent: Vec<u8> = (0..1_000_000_u32).map(|n| u8::try_from(n % 251).unwrap()).collect();
    stream.write_all(&sent).await.unwrap();
    stream.shutdown().await.unwrap();
    assert!(stream.write_all(b"x").await.is_err(), "our half is closed");
    let mut received = Vec::new();
    stream.read_to_end(&mut received).await.unwrap();
    assert!(received == sent, "all that was sent came back after our end");
    let seen = &server.seen()[0];
    assert_eq!(seen.path, "/v1/projects/default/vms/web/ports/80");
    assert_eq!(seen.header("sec-websocket-protocol"), TCP_PROTOCOL);
}

/// Says everything back only when the other half is closed, then closes its own.
async fn echo_after_the_end(mut socket: Socket) {
    let mut all = Vec::new();
    while let Some(Ok(Message::Binary(bytes))) = socket.next().await {
        if bytes.is_empty() {
            break;
        }
        all.extend_from_slice(&bytes);
    }
    socket.send(Message::Ping(Bytes::new())).await.unwrap();
    for chunk in all.chunks(50_000) {
        socket.send(Message::Binary(Bytes::copy_from_slice(chunk))).await.unwrap();
    }
    socket.send(Message::Binary(Bytes::new())).await.unwrap();
    while socket.next().await.is_some() {} // the answer to the ping must not hit a closed socket
}

#[tokio::test]
async fn a_stream_that_breaks_is_no_end() {
    let cut = |mut socket: Socket| async move {
        socket.send(Message::Binary("half".into())).await.unwrap();
    };
    let (_server, client) = in_turn(move |_, _| Reply::socket(TCP_PROTOCOL, cut)).await;
    let mut stream = client.vm_console(&web()).await.unwrap();
    let mut received = Vec::new();
    let error = stream.read_to_end(&mut received).await.unwrap_err();
    assert_eq!(received, b"half");
    assert_eq!(client::tcp::unwrap_io("read", &error).code(), Code::Unavailable);
}

#[tokio::test]
async fn a_server_that_closes_says_why() {
    let close = |mut socket: Socket| async move {
        let frame = CloseFrame { code: CloseCode::Policy, reason: "your role was taken away".into() };
        socket.close(Some(frame)).await.unwrap();
        while socket.next().await.is_some() {}
    };
    let (_server, client) = in_turn(move |_, _| Reply::socket(TCP_PROTOCOL, close)).await;
    let mut stream = client.vm_vnc(&web()).await.unwrap();
    let error = stream.read_to_end(&mut Vec::new()).await.unwrap_err();
    let error = client::tcp::unwrap_io("read", &error);
    assert_eq!(
        (error.code(), error.error.cause.as_deref()),
        (Code::Forbidden, Some("your role was taken away"))
    );
}

#[tokio::test]
async fn a_refused_stream_is_a_problem() {
    let (server, client) = in_turn(|n, _| match n {
        0 => Reply::problem(Error::unavailable("the worker reconnects"), "r"),
        _ => Reply::problem(Error::conflict("VM web does not run").hint("hostler vm start web"), "req-9"),
    })
    .await;
    let error = client.vm_port(&web(), 80).await.unwrap_err();
    assert_eq!((error.code(), &*error.request_id), (Code::Conflict, "req-9"));
    assert_eq!(server.seen().len(), 2, "what is away for a moment is asked again");
    let (_server, client) = in_turn(|_, _| Reply::socket("other.v9", |_| async {})).await;
    assert_eq!(client.vm_port(&web(), 80).await.unwrap_err().code(), Code::Internal);
}

fn binary(channel: u8, text: &str) -> Message {
    Message::Binary([&[channel], text.as_bytes()].concat().into())
}

fn control(control: &Control) -> Message {
    binary(3, &serde_json::to_string(control).unwrap())
}

/// A `cat` that also says its end of input on stderr, then exits with 7.
async fn cat(mut socket: Socket) {
    while let Some(Ok(Message::Binary(bytes))) = socket.next().await {
        if bytes[0] == 0 {
            socket.send(binary(1, std::str::from_utf8(&bytes[1..]).unwrap())).await.unwrap();
            continue;
        }
        let said: Control = serde_json::from_slice(&bytes[1..]).unwrap();
        socket.send(binary(2, &format!("{said:?}\n"))).await.unwrap();
        if said == (Control::Eof {}) {
            break;
        }
    }
    socket.send(binary(3, r#"{"type":"news","of":"tomorrow"}"#)).await.unwrap();
    socket.send(control(&Control::Exit { code: Some(7), signal: None })).await.unwrap();
}

#[tokio::test]
async fn a_command_has_input_output_and_an_end() {
    let (server, client) = in_turn(|_, _| Reply::socket(EXEC_PROTOCOL, cat)).await;
    let request = ExecRequest { command: Some("cat".into()), wait: Some(30), ..ExecRequest::default() };
    let (mut sender, mut receiver) = client.vm_exec(&web(), &request).await.unwrap();
    sender.stdin(b"hello").await.unwrap();
    assert_eq!(receiver.next().await.unwrap(), ExecEvent::Stdout("hello".into()));
    sender.resize(30, 90).await.unwrap();
    sender.signal("INT").await.unwrap();
    sender.eof().await.unwrap();
    let mut stderr = String::new();
    let exit = loop {
        match receiver.next().await.unwrap() {
            ExecEvent::Stderr(bytes) => stderr.push_str(std::str::from_utf8(&bytes).unwrap()),
            ExecEvent::Exit(exit) => break exit,
            ExecEvent::Stdout(_) => panic!("no more output"),
        }
    };
    assert_eq!(exit, Exit { code: Some(7), signal: None });
    assert_eq!(stderr, "Resize { rows: 30, cols: 90 }\nSignal { name: \"INT\" }\nEof\n");
    assert_eq!(server.seen()[0].path, "/v1/projects/default/vms/web/exec?command=cat&wait=30");
}

#[tokio::test]
async fn a_command_that_was_lost_is_an_error() {
    let failed = |mut socket: Socket| async move {
        let error = Error::unavailable("the guest rebooted");
        socket.send(control(&Control::Error { error })).await.unwrap();
    };
    let (_server, client) = in_turn(move |n, _| match n {
        0 => Reply::socket(EXEC_PROTOCOL, failed),
        _ => Reply::socket(EXEC_PROTOCOL, |_| async {}),
    })
    .await;
    for words in ["the guest rebooted", "the connection to the guest broke"] {
        let (_sender, mut receiver) = client.vm_exec(&web(), &ExecRequest::default()).await.unwrap();
        let error = receiver.next().await.unwrap_err();
        assert_eq!((error.code(), error.error.message.as_str()), (Code::Unavailable, words));
    }
}

#[tokio::test]
async fn a_subsystem_is_one_stream() {
    let (_server, client) = in_turn(|_, _| Reply::socket(EXEC_PROTOCOL, cat)).await;
    let request = ExecRequest { subsystem: Some("sftp".into()), ..ExecRequest::default() };
    let mut stream = client.vm_exec_stream(&web(), &request).await.unwrap();
    stream.write_all(b"abc").await.unwrap();
    stream.flush().await.unwrap();
    let mut three = [0; 3];
    stream.read_exact(&mut three).await.unwrap();
    assert_eq!(&three, b"abc");
    stream.shutdown().await.unwrap();
    assert_eq!(stream.read_to_end(&mut Vec::new()).await.unwrap(), 0);
    assert_eq!(stream.stderr(), "Eof");
}
