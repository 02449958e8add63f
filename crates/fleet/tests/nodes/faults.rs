//! Bad days of one node.

use super::*;
use base::{Code, Error};
use testkit::fault_proxy::FaultProxy;

async fn refused(node: &Node) -> Error {
    let connectors = connectors();
    rt::clock::timeout(SOON, "a refusal", connectors.connect(node)).await.unwrap().unwrap_err()
}

#[tokio::test]
async fn a_lost_session_ends_all_that_a_command_started() {
    for server in Server::each_of_ssh("a_lost_session_ends_all_that_a_command_started").await {
        let proxy = FaultProxy::start(server.address()).await.unwrap();
        for stdin in ["", "some input"] {
            let mark = mark();
            let session = connectors().connect(&server.node_at(proxy.address())).await.unwrap();
            let command = Command { stdin: stdin.into(), ..Command::sh(lingering(&mark)) };
            let mut cut = |_| proxy.cut();
            let running = session.run(command, &mut cut);
            let e = rt::clock::timeout(SOON, "a lost session", running).await.unwrap().unwrap_err();
            assert_eq!(e.code, Code::Unavailable, "{e}");
            none_marked(&mark, &format!("a lost session on {}", server.name())).await;
        }
    }
}

#[tokio::test]
async fn giving_up_ends_all_that_a_command_started() {
    for server in Server::each("giving_up_ends_all_that_a_command_started").await {
        let session = server.session().await;
        let mark = mark();
        let (tell, started) = tokio::sync::oneshot::channel();
        let mut tell = Some(tell);
        let mut first = |_| {
            let _ = tell.take().map(|tell| tell.send(()));
        };
        tokio::select! {
            ended = session.run(Command::sh(lingering(&mark)), &mut first) => panic!("it ended: {ended:?}"),
            _ = started => {}
        }
        none_marked(&mark, "giving up").await;
    }
}

#[tokio::test]
async fn a_node_that_is_down_silent_or_another_is_told_apart() {
    let server = Server::open_ssh().await;
    // Nobody listens there.
    let mut node = server.node();
    let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    node.metadata.insert("ssh_port".into(), free.port().into());
    assert_eq!(refused(&node).await.code, Code::Unavailable);

    // Somebody listens, and says nothing.
    let proxy = FaultProxy::start(server.address()).await.unwrap();
    proxy.stall(true);
    let silent = server.node_at(proxy.address());
    let begin = rt::clock::now();
    assert_eq!(refused(&silent).await.code, Code::Timeout);
    assert!(begin.elapsed() < Duration::from_secs(20));

    // It has another key than we know.
    let other = Server::open_ssh().await;
    let mut changed = server.node();
    changed.metadata.insert("host_keys".into(), other.host_key().into());
    let e = refused(&changed).await;
    assert_eq!(e.code, Code::Forbidden);
    assert!(e.message.contains("HOST KEY"), "{e}");

    // It does not let us in.
    let mut stranger = server.node();
    stranger.metadata.insert("ssh_private_key_file".into(), other.identity().to_string_lossy().into());
    assert_eq!(refused(&stranger).await.code, Code::Unauthenticated);

    // The metadata is wrong.
    let mut wrong = server.node();
    wrong.metadata.insert("ssh_port".into(), "70000".into());
    let e = refused(&wrong).await;
    assert_eq!((e.code, e.field.as_deref()), (Code::Invalid, Some("OpenSSH/ssh_port")));
}

#[tokio::test]
async fn one_connection_serves_all_commands() {
    let server = Server::open_ssh().await;
    let connectors = connectors();
    let node = server.node();
    for _ in 0..3 {
        let session = connectors.connect(&node).await.unwrap();
        assert_eq!(output(&session, Command::sh("exit 3")).await.ended, code(3));
    }
    let Server::OpenSsh(sshd) = &server else { unreachable!() };
    assert_eq!(sshd.log().matches("Accepted publickey").count(), 1, "{}", sshd.log());
}

#[tokio::test]
async fn a_container_that_is_gone_stopped_or_another_is_told_apart() {
    if let Some(reason) = Engine::missing().await {
        println!("SKIPPED a_container_that_is_gone_stopped_or_another_is_told_apart: {reason}");
        return;
    }
    let server = Server::container().await;
    let Server::Container(engine) = &server else { unreachable!() };

    // It is killed, or started again, while a command runs.
    for act in ["kill", "restart"] {
        let session = server.session().await;
        let (tell, started) = tokio::sync::oneshot::channel();
        let mut tell = Some(tell);
        let mut first = |_| {
            let _ = tell.take().map(|tell| tell.send(()));
        };
        let ending = async {
            started.await.unwrap();
            engine.run(&[act, CONTAINER]).await.unwrap();
        };
        let lingering = lingering(&mark());
        let (e, ()) = tokio::join!(session.run(Command::sh(lingering), &mut first), ending);
        let e = e.unwrap_err();
        assert_eq!(e.code, Code::Unavailable, "{e}");
        engine.run(&["start", CONTAINER]).await.unwrap();
    }

    engine.run(&["pause", CONTAINER]).await.unwrap();
    let e = refused(&server.node()).await;
    assert_eq!((e.code, e.message.as_str()), (Code::Unavailable, "the container box is paused"));
    engine.run(&["unpause", CONTAINER]).await.unwrap();
    engine.run(&["kill", CONTAINER]).await.unwrap();
    let e = refused(&server.node()).await;
    assert_eq!((e.code, e.message.as_str()), (Code::Unavailable, "the container box is exited"));
    assert_eq!(e.hint.as_deref(), Some("docker start box"));
    engine.run(&["rm", CONTAINER]).await.unwrap();
    let e = refused(&server.node()).await;
    assert_eq!((e.code, e.message.as_str()), (Code::Unavailable, "there is no container box"));

    // Nobody is there to ask, or the metadata is wrong.
    let mut node = server.node();
    node.metadata.insert("docker_host".into(), "unix:///nowhere/docker.sock".into());
    let e = refused(&node).await;
    assert_eq!((e.code, e.message.as_str()), (Code::Unavailable, "the Docker engine does not answer"));
    for wrong in ["", "--privileged"] {
        node.metadata.insert("docker".into(), wrong.into());
        let e = refused(&node).await;
        assert_eq!((e.code, e.field.as_deref()), (Code::Invalid, Some("Docker/docker")));
    }
}

#[tokio::test]
async fn commands_in_a_container_run_as_the_user_of_the_metadata() {
    if let Some(reason) = Engine::missing().await {
        println!("SKIPPED commands_in_a_container_run_as_the_user_of_the_metadata: {reason}");
        return;
    }
    let server = Server::container().await;
    let mut node = server.node();
    for (user, wanted) in [("guest", "1000\n"), ("0", "0\n")] {
        node.metadata.insert("docker_user".into(), user.into());
        let session = connectors().connect(&node).await.unwrap();
        assert_eq!(text(&output(&session, Command::sh("id -u")).await.stdout), wanted);
    }
}
