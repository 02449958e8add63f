//! The life of a link: assignments, reports, cuts, silence, and who replaces whom.

#![allow(clippy::unwrap_used)] // helpers of tests

mod common;

use base::Code;
use common::{Controller, TestHandler, Worker, check_echo, fault_proxy::FaultProxy, within, worker_tls};
use futures::StreamExt;
use link::{
    Class, Hello, KeepAlive, Role,
    controller_side::Admitted,
    worker_side::{Dial, Event, run},
};
use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::test]
async fn assignments_go_there_and_back() {
    let controller = Controller::start().await;
    let worker = Worker::start(&controller);
    let session = controller.session().await;
    assert_eq!(session.hello().generation, 1);
    assert!(controller.sessions.get(worker.uid).unwrap().is(&session));
    let large = vec![b'x'; 20 << 20];
    let reply = within("a reply", session.put_assignments(large.clone().into())).await.unwrap();
    assert!(reply == large);
    let refused = within("a refusal", session.put_assignments("bad".into())).await.unwrap_err();
    assert_eq!((refused.code, refused.field.as_deref()), (Code::Invalid, Some("/vms/0")));
    assert_eq!(refused.hint.as_deref(), Some("load it"));
}

#[tokio::test]
async fn too_large_assignments_are_refused_in_words() {
    let controller = Controller::start().await;
    let _worker = Worker::start(&controller);
    let session = controller.session().await;
    let refused =
        within("a refusal", session.put_assignments(vec![0; (64 << 20) + 1].into())).await.unwrap_err();
    assert_eq!(refused.code, Code::TooLarge);
    within("a reply", session.put_assignments("ok".into())).await.unwrap();
}

#[tokio::test]
async fn a_slow_reader_slows_the_report_down() {
    let controller = Controller::start().await;
    let uid = rt::ids::uid();
    let handler = Arc::new(TestHandler::default());
    let asked = handler.lines.clone();
    let dial = Dial::new(controller.address.to_string(), worker_tls(&controller.ca, uid));
    let _worker =
        rt::task::spawn(
            "worker",
            async move { match run(dial, Hello::new(uid, 1), handler, |_| {}).await {} },
        );
    let session = controller.session().await;
    let mut report = within("a report", session.report()).await.unwrap();
    let first = within("a line", report.next()).await.unwrap().unwrap();
    assert_eq!(first, format!("{:01024}", 0));
    // Nobody reads on. The worker fills what may be under way, and stops.
    let mut before = u64::MAX;
    within("the worker stops", async {
        while asked.load(Ordering::SeqCst) != before {
            before = asked.load(Ordering::SeqCst);
            for _ in 0..20 {
                Box::pin(check_echo(&session, Class::Interactive)).await; // the link is quick all the while
            }
        }
    })
    .await;
    assert!(before < 4 << 10, "{before} KiB were asked for ahead of the reader");
    for n in 1..10_000 {
        let line = within("a line", report.next()).await.unwrap().unwrap();
        assert_eq!(line, format!("{n:01024}"));
    }
}

#[tokio::test]
async fn a_cut_link_ends_its_tunnels_and_comes_back() {
    let controller = Controller::start().await;
    let proxy = FaultProxy::start(controller.address).await.unwrap();
    let uid = rt::ids::uid();
    let dial = Dial::new(proxy.address().to_string(), worker_tls(&controller.ca, uid));
    let worker = Worker::start_as(dial, uid, 1);
    for _ in 0..3 {
        let session = controller.session_with_bulk().await;
        let mut tunnels = Vec::new();
        for class in [Class::Interactive, Class::Bulk] {
            let mut tunnel = session.open_tunnel("echo", class).await.unwrap();
            tunnel.write_all(b"x").await.unwrap();
            tunnel.read_u8().await.unwrap();
            tunnels.push(tunnel);
        }
        let mut report = session.report().await.unwrap();
        let cut = rt::clock::now();
        proxy.cut();
        for tunnel in &mut tunnels {
            within("the end of a tunnel", tunnel.read_u8()).await.unwrap_err();
            within("the end of a tunnel", tunnel.write_all(&vec![0; 8 << 20])).await.unwrap_err();
        }
        let reason = within("the end of the session", session.closed()).await;
        assert_eq!(reason.code, Code::Unavailable);
        assert!(cut.elapsed() < Duration::from_secs(5), "a cut shows at once");
        let last = within("the end of the report", async {
            report.by_ref().filter(|l| std::future::ready(l.is_err())).next().await
        });
        assert!(last.await.is_some());
        let refused = session.open_tunnel("echo", Class::Interactive).await.unwrap_err();
        assert_eq!(refused.code, Code::Unavailable);
        worker.event(|e| matches!(e, Event::Disconnected(Role::Control, _))).await;
    }
    let session = controller.session_with_bulk().await;
    check_echo(&session, Class::Interactive).await;
    check_echo(&session, Class::Bulk).await;
    assert!(controller.sessions.get(uid).unwrap().is(&session));
    assert_eq!(controller.sessions.all().len(), 1);
}

#[tokio::test]
async fn a_worker_waits_for_its_controller() {
    let controller = Controller::start().await;
    let proxy = FaultProxy::start(controller.address).await.unwrap();
    proxy.refuse(true);
    let uid = rt::ids::uid();
    let dial = Dial::new(proxy.address().to_string(), worker_tls(&controller.ca, uid));
    let worker = Worker::start_as(dial, uid, 1);
    for _ in 0..3 {
        worker.event(|e| matches!(e, Event::Failed(Role::Control, _))).await;
    }
    proxy.refuse(false);
    check_echo(&controller.session().await, Class::Interactive).await;
}

#[tokio::test]
async fn silence_is_noticed_on_both_sides() {
    let quick = KeepAlive { interval: Duration::from_millis(100), timeout: Duration::from_secs(2) };
    let controller = Controller::start_with(quick).await;
    let proxy = FaultProxy::start(controller.address).await.unwrap();
    let uid = rt::ids::uid();
    let mut dial = Dial::new(proxy.address().to_string(), worker_tls(&controller.ca, uid));
    dial.keep_alive = quick;
    let worker = Worker::start_as(dial, uid, 1);
    let session = controller.session_with_bulk().await;
    let mut tunnel = session.open_tunnel("echo", Class::Bulk).await.unwrap();
    proxy.stall(true);
    let reason = within("the controller notices", session.closed()).await;
    within("the end of a bulk tunnel", tunnel.read_u8()).await.unwrap_err();
    assert!(reason.message.contains("silent"), "{reason:?}");
    let event = worker.event(|e| matches!(e, Event::Disconnected(Role::Control, _))).await;
    let Event::Disconnected(_, reason) = event else { unreachable!() };
    assert!(reason.message.contains("silent"), "{reason:?}");
    proxy.stall(false);
    check_echo(&controller.session().await, Class::Interactive).await;
}

/// A ping that waits behind much data on a slow link does not end it.
#[tokio::test]
async fn a_slow_link_is_not_a_silent_one() {
    // The echo takes longer than a silence may last, a round trip much less.
    let quick = KeepAlive { interval: Duration::from_millis(50), timeout: Duration::from_millis(1500) };
    let controller = Controller::start_with(quick).await;
    let proxy = FaultProxy::start(controller.address).await.unwrap();
    let uid = rt::ids::uid();
    let mut dial = Dial::new(proxy.address().to_string(), worker_tls(&controller.ca, uid));
    dial.keep_alive = quick;
    let _worker = Worker::start_as(dial, uid, 1);
    let session = controller.session_with_bulk().await;
    proxy.delay(Duration::from_millis(300));
    let mut tunnel = session.open_tunnel("echo", Class::Bulk).await.unwrap();
    let bytes = vec![5; 20 << 20];
    let (mut reader, mut writer) = tokio::io::split(&mut tunnel);
    let mut back = vec![0; bytes.len()];
    let (read, written) =
        within("20 MB", async { tokio::join!(reader.read_exact(&mut back), writer.write_all(&bytes)) }).await;
    read.unwrap();
    written.unwrap();
    assert!(back == bytes);
    assert!(!session.is_closed());
}

#[tokio::test]
async fn a_newer_agent_replaces_an_older_one() {
    let controller = Controller::start().await;
    let uid = rt::ids::uid();
    let dial = || Dial::new(controller.address.to_string(), worker_tls(&controller.ca, uid));
    let older = Worker::start_as(dial(), uid, 1);
    let first = controller.session().await;
    let newer = Worker::start_as(dial(), uid, 2);
    let second = controller.session().await;
    assert_eq!(second.hello().generation, 2);
    let reason = within("the older one ends", first.closed()).await;
    assert_eq!(reason.code, Code::Conflict);
    let refused =
        older.event(|e| matches!(e, Event::Failed(Role::Control, e) if e.code == Code::Conflict)).await;
    let Event::Failed(_, refused) = refused else { unreachable!() };
    assert!(refused.hint.is_some());
    assert!(controller.sessions.get(uid).unwrap().is(&second));
    check_echo(&second, Class::Bulk).await;
    drop(newer);
    within("the newer one leaves", second.closed()).await;
    assert!(controller.session().await.hello().generation == 1, "then the older one may come back");
}

#[tokio::test]
async fn a_bulk_connection_needs_its_control_connection() {
    let controller = Controller::start().await;
    let uid = rt::ids::uid();
    let dial = Dial::new(controller.address.to_string(), worker_tls(&controller.ca, uid));
    let bulk = Hello { role: Role::Bulk, ..Hello::new(uid, 1) };
    let Err(refused) = within("a refusal", link::worker_side::connect(&dial, &bulk)).await else {
        panic!("welcomed");
    };
    assert_eq!(refused.code, Code::Unavailable);
    assert!(matches!(controller.admitted.lock().await.recv().await, Some(Err(_))));
}

#[tokio::test]
async fn a_worker_that_is_sent_away_hears_it() {
    let controller = Controller::start().await;
    let worker = Worker::start(&controller);
    let session = controller.session_with_bulk().await;
    let mut tunnel = session.open_tunnel("echo", Class::Bulk).await.unwrap();
    session.close(base::Error::new(Code::Forbidden, "removed"));
    assert_eq!(within("the end", session.closed()).await.message, "removed");
    within("the end of a tunnel", tunnel.read_u8()).await.unwrap_err();
    assert!(
        controller.sessions.get(worker.uid).is_none()
            || !controller.sessions.get(worker.uid).unwrap().is(&session)
    );
    worker.event(|e| matches!(e, Event::Disconnected(Role::Control, _))).await;
    controller.sessions.remove(&session);
    let admitted = within("another stay", async { controller.session().await }).await;
    assert!(!admitted.is(&session));
    assert!(matches!(Admitted::Session(admitted), Admitted::Session(_)));
}
