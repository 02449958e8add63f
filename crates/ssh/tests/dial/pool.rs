//! Connections that are shared, and servers that are not overrun.

use crate::{Home, host_lines, known_line, known_server, logins, says, target};
use bytes::Bytes;
use ssh::{Connection, ExecRequest, HostKeyPolicy, Target};
use std::{net::Ipv4Addr, time::Duration};
use testkit::sshd::Sshd;

const PATIENCE: Duration = Duration::from_mins(1);

#[tokio::test]
async fn names_for_the_same_login_share_a_connection() {
    let (server, home) = known_server(&[]).await;
    home.write("config", &(host_lines("web2", &server) + &home.read("config")));
    let dialer = home.strict();
    for name in ["web1", "web2", "web1"] {
        assert_eq!(says(&dialer.connect(&target(name)).await.unwrap(), "echo x").await, "x\n");
    }
    assert_eq!(logins(&server), 1);
    let other = Target { options: vec![("SetEnv".into(), "A=1".into())], ..target("web1") };
    dialer.connect(&other).await.unwrap();
    assert_eq!(logins(&server), 2, "what differs is not shared");
}

#[tokio::test]
async fn a_connection_that_ended_is_opened_again() {
    let (server, home) = known_server(&[]).await;
    let dialer = home.strict();
    dialer.connect(&target("web1")).await.unwrap().close().await;
    let again = dialer.connect(&target("web1")).await.unwrap();
    assert_eq!(says(&again, "echo x").await, "x\n");
    dialer.close().await;
    assert!(again.is_closed());
    dialer.connect(&target("web1")).await.unwrap();
    assert_eq!(logins(&server), 3);
}

#[tokio::test]
async fn connections_end_with_the_dialer_and_its_users() {
    let (_server, home) = known_server(&[]).await;
    let dialer = home.strict();
    let connection = dialer.connect(&target("web1")).await.unwrap();
    drop(dialer);
    assert_eq!(says(&connection, "echo still").await, "still\n");
    let (sender, mut receiver) = connection.exec(ExecRequest::command("cat")).await.unwrap().split();
    drop(connection);
    drop(sender);
    let end = rt::clock::timeout(PATIENCE, "the end", receiver.next()).await.unwrap();
    assert_eq!(end, Some(ssh::ExecEvent::Exit { code: Some(0), signal: None }));
}

#[tokio::test]
async fn more_sessions_than_a_connection_may_have_get_others() {
    let (server, home) = known_server(&["MaxSessions 3"]).await;
    let connection = home.strict().connect(&target("web1")).await.unwrap();
    let line = "read x; echo $x";
    let started =
        futures::future::join_all((0..10).map(|_| connection.exec(ExecRequest::command(line)))).await;
    let running: Vec<_> = started.into_iter().map(|exec| exec.unwrap().split()).collect();
    assert_eq!(logins(&server), 4, "three sessions on each of four");
    for (sender, mut receiver) in running {
        sender.stdin(Bytes::from("word\n")).await.unwrap();
        let event = rt::clock::timeout(PATIENCE, "an answer", receiver.next()).await.unwrap();
        assert_eq!(event, Some(ssh::ExecEvent::Stdout("word\n".into())));
    }
    assert_eq!(says(&connection, "echo again").await, "again\n");
    assert_eq!(logins(&server), 4, "and they are used again");
}

async fn all(home: &Home, targets: Vec<Target>) -> Vec<Connection> {
    let dialer = home.dialer(Some(HostKeyPolicy::FirstUse));
    let connecting = targets.into_iter().map(|target| {
        let dialer = dialer.clone();
        async move {
            let connection = dialer.connect(&target).await.unwrap_or_else(|e| panic!("{}: {e}", target.host));
            assert_eq!(says(&connection, "echo x").await, "x\n");
            connection
        }
    });
    futures::future::join_all(connecting).await
}

/// What sshd has where nobody says otherwise.
const USUAL: &str = "MaxStartups 10:30:100";

#[tokio::test]
async fn a_hundred_logins_at_one_server_all_succeed() {
    let (server, home) = known_server(&[USUAL]).await;
    let one = |n| Target { options: vec![("SetEnv".into(), format!("N={n}"))], ..target("web1") };
    let open = all(&home, (0..100).map(one).collect()).await;
    assert_eq!((open.len(), logins(&server)), (100, 100));
    assert_eq!(server.log().matches("MaxStartups").count(), 0, "none was even dropped");
}

#[tokio::test]
async fn a_hundred_addresses_of_one_server_all_answer() {
    let server = Sshd::start_at(Ipv4Addr::UNSPECIFIED, async |_| Ok(vec![USUAL.to_owned()])).await.unwrap();
    let home = Home::new();
    home.write("config", &host_lines("*", &server).replace(" HostName 127.0.0.1\n", ""));
    let one = |n| target(&format!("127.0.1.{n}"));
    let open = all(&home, (1..=100).map(one).collect()).await;
    assert_eq!((open.len(), logins(&server)), (100, 100));
}

#[tokio::test]
async fn a_hundred_hosts_behind_one_gate_all_answer() {
    let gate = Sshd::start(&[USUAL]).await.unwrap();
    let server = Sshd::start_at(Ipv4Addr::UNSPECIFIED, async |_| Ok(vec![USUAL.to_owned()])).await.unwrap();
    let home = Home::new();
    let behind = host_lines("127.*", &server).replace(" HostName 127.0.0.1\n", " ProxyJump gate\n");
    home.write("config", &(host_lines("gate", &gate) + &behind));
    home.write("known_hosts", &known_line(&gate));
    let open = all(&home, (1..=100).map(|n| target(&format!("127.0.1.{n}"))).collect()).await;
    assert_eq!((open.len(), logins(&server), logins(&gate)), (100, 100, 1));
}

#[tokio::test]
async fn a_server_that_always_hangs_up_is_given_up() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let _hanging_up = rt::task::spawn("hang up", async move {
        while let Ok((stream, _)) = listener.accept().await {
            drop(stream);
            let _ = tell.send(());
        }
    });
    let home = Home::new();
    home.write("config", "");
    let busy = Target { port: Some(port), ..target("127.0.0.1") };
    let connecting = home.strict();
    let e = rt::clock::timeout(PATIENCE, "giving up", connecting.connect(&busy)).await.unwrap().unwrap_err();
    assert_eq!(e.code, base::Code::Unavailable, "{e}");
    let mut tries = 0;
    while told.try_recv().is_ok() {
        tries += 1;
    }
    assert_eq!(tries, 7);
}
