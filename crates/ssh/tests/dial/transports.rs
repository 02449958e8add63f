//! The same over both transports: ours, and the program `ssh`.

use crate::{Home, host_lines, known_line, known_server, logins, says, target};
use base::Code;
use bytes::Bytes;
use ssh::{
    Connection, DialOptions, Dialer, ExecEvent, ExecRequest, HostKeyPolicy, KeyPair, Target, Transport,
};
use std::time::Duration;
use testkit::sshd::Sshd;

const PATIENCE: Duration = Duration::from_mins(1);
const BOTH: [Transport; 2] = [Transport::Native, Transport::OpenSsh];

fn dialer(home: &Home, transport: Transport, policy: HostKeyPolicy) -> Dialer {
    let options = DialOptions { transport: Some(transport), ..home.options(Some(policy)) };
    Dialer::new(&home.surroundings(), options).unwrap()
}

/// OpenSSH looks for a user's files where the system says that the home is, so these are named.
fn name_known_hosts(home: &Home) {
    let known = home.path("known_hosts");
    home.write("config", &format!("UserKnownHostsFile {}\n{}", known.display(), home.read("config")));
}

async fn both(check: impl AsyncFn(&Sshd, Connection)) {
    for transport in BOTH {
        let (server, home) = known_server(&["AcceptEnv ALLOWED*"]).await;
        name_known_hosts(&home);
        let connection = dialer(&home, transport, HostKeyPolicy::Strict).connect(&target("web1")).await;
        let connection = connection.unwrap_or_else(|e| panic!("{transport:?}: {e}"));
        check(&server, connection).await;
    }
}

#[tokio::test]
async fn outputs_codes_and_inputs() {
    both(async |_, connection| {
        let request = ExecRequest::command("cat; echo err >&2; exit 7");
        let output = connection.output(request, Bytes::from_static(b"in\n"), 1 << 20).await.unwrap();
        assert_eq!((output.code, output.signal), (Some(7), None));
        assert_eq!((output.stdout.as_slice(), output.stderr.as_slice()), (&b"in\n"[..], &b"err\n"[..]));
        let output = connection.output(ExecRequest::command("exit 255"), Bytes::new(), 1).await.unwrap();
        assert_eq!(output.code, Some(255));
        assert_eq!(says(&connection, "printf '%s' 'a  b' \"$((1+1))\"").await, "a  b2");
    })
    .await;
}

#[tokio::test]
async fn much_data_goes_both_ways() {
    both(async |_, connection| {
        let data = Bytes::from(vec![b'x'; 3 << 20]);
        let output = connection.output(ExecRequest::command("cat"), data.clone(), 4 << 20).await.unwrap();
        assert!(output.stdout == data, "{} bytes came back", output.stdout.len());
    })
    .await;
}

#[tokio::test]
async fn many_commands_share_one_login() {
    both(async |server, connection| {
        let line = |n: u32| ExecRequest::command(format!("echo {n}"));
        let runs = (0..8).map(|n| connection.output(line(n), Bytes::new(), 100));
        for (n, output) in futures::future::join_all(runs).await.into_iter().enumerate() {
            assert_eq!(output.unwrap().stdout, format!("{n}\n").into_bytes());
        }
        assert_eq!(logins(server), 1);
    })
    .await;
}

#[tokio::test]
async fn files_are_copied() {
    both(async |server, connection| {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("here"), "content").unwrap();
        let there = server.home().join("there");
        let sftp = connection.sftp().await.unwrap();
        sftp.upload(&dir.path().join("here"), there.to_str().unwrap(), false, |_, _| {}).await.unwrap();
        assert_eq!(std::fs::read_to_string(there).unwrap(), "content");
    })
    .await;
}

#[tokio::test]
async fn variables_reach_the_command() {
    both(async |_, connection| {
        let env = vec![("ALLOWED_1".to_owned(), "it's \"one\"".to_owned())];
        let request = ExecRequest { env, ..ExecRequest::command("echo \"$ALLOWED_1\"") };
        let output = connection.output(request, Bytes::new(), 100).await.unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), "it's \"one\"\n");
    })
    .await;
}

#[tokio::test]
async fn terminals_are_terminals() {
    both(async |_, connection| {
        let pty = ssh::Pty { term: "vt220".into(), rows: 24, cols: 80 };
        let request = ExecRequest { pty: Some(pty), ..ExecRequest::command("test -t 0 && echo $TERM") };
        let output = connection.output(request, Bytes::new(), 100).await.unwrap();
        // Without a terminal of its own, ssh asks for none of the usual treatment of line ends.
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim_end(), "vt220");
    })
    .await;
}

#[tokio::test]
async fn the_end_of_a_connection_ends_its_commands() {
    both(async |_, connection| {
        let (_sender, mut receiver) =
            connection.exec(ExecRequest::command("echo up; cat")).await.unwrap().split();
        assert_eq!(receiver.next().await, Some(ExecEvent::Stdout("up\n".into())));
        connection.close().await;
        let end = async {
            loop {
                match receiver.next().await {
                    None => return,
                    Some(ExecEvent::Exit { .. }) => panic!("an exit would be a lie"),
                    Some(_) => {}
                }
            }
        };
        rt::clock::timeout(PATIENCE, "the end", end).await.unwrap();
        assert_eq!(receiver.lost().code, Code::Unavailable);
        assert!(connection.is_closed());
        let e = connection.exec(ExecRequest::command("true")).await.unwrap_err();
        assert_eq!(e.code, Code::Unavailable);
    })
    .await;
}

#[tokio::test]
async fn a_dropped_command_is_hung_up() {
    both(async |server, connection| {
        let mark = server.home().join("mark");
        // It ends when nobody reads any more.
        let line =
            format!("trap '' PIPE; echo up; while echo x; do sleep 0.05; done; touch {}", mark.display());
        let (sender, mut receiver) = connection.exec(ExecRequest::command(line)).await.unwrap().split();
        assert!(receiver.next().await.is_some());
        drop((sender, receiver));
        assert_eq!(says(&connection, "echo alive").await, "alive\n");
        let gone = async {
            while !mark.exists() {
                rt::clock::sleep(Duration::from_millis(20)).await;
            }
        };
        rt::clock::timeout(PATIENCE, "the end of the command", gone).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn host_keys_are_checked() {
    for transport in BOTH {
        let (server, home) = known_server(&[]).await;
        name_known_hosts(&home);
        home.write("known_hosts", "");
        let e = dialer(&home, transport, HostKeyPolicy::Strict).connect(&target("web1")).await.unwrap_err();
        assert_eq!(
            (e.code, e.message.contains("is not known")),
            (Code::Forbidden, true),
            "{transport:?}: {e}"
        );
        dialer(&home, transport, HostKeyPolicy::FirstUse).connect(&target("web1")).await.unwrap();
        assert_eq!(home.read("known_hosts"), known_line(&server), "{transport:?}");
        let name = known_line(&server).split(' ').next().unwrap().to_owned();
        let other = KeyPair::generate().public_openssh().unwrap();
        home.write("known_hosts", &format!("{name} {other}\n"));
        for policy in [HostKeyPolicy::Strict, HostKeyPolicy::FirstUse] {
            let e = dialer(&home, transport, policy).connect(&target("web1")).await.unwrap_err();
            assert_eq!(
                (e.code, e.message.contains("HAS CHANGED")),
                (Code::Forbidden, true),
                "{transport:?}: {e}"
            );
            assert!(e.hint.unwrap().contains("hostler node trust web1"));
        }
        let given = Target { host_keys: vec![server.host_key().to_owned()], ..target("web1") };
        dialer(&home, transport, HostKeyPolicy::Strict).connect(&given).await.unwrap();
        let wrong = Target { host_keys: vec![other], ..target("web1") };
        let e = dialer(&home, transport, HostKeyPolicy::Strict).connect(&wrong).await.unwrap_err();
        assert_eq!(e.code, Code::Forbidden, "{transport:?}: {e}");
    }
}

#[tokio::test]
async fn failures_have_the_same_codes() {
    for transport in BOTH {
        let (server, home) = known_server(&[]).await;
        name_known_hosts(&home);
        std::fs::write(server.identity().with_file_name("authorized_keys"), "").unwrap();
        let dialer = dialer(&home, transport, HostKeyPolicy::Strict);
        let e = dialer.connect(&target("web1")).await.unwrap_err();
        assert_eq!(e.code, Code::Unauthenticated, "{transport:?}: {e}");
        drop(server);
        let e = dialer.connect(&target("web1")).await.unwrap_err();
        assert_eq!(e.code, Code::Unavailable, "{transport:?}: {e}");
    }
}

#[tokio::test]
async fn hosts_behind_others_are_reached() {
    for transport in BOTH {
        let (gate, web1) = (Sshd::start(&[]).await.unwrap(), Sshd::start(&[]).await.unwrap());
        let home = Home::new();
        home.write("config", &(host_lines("gate", &gate) + &host_lines("web1", &web1) + " ProxyJump gate\n"));
        home.write("known_hosts", &(known_line(&gate) + &known_line(&web1)));
        name_known_hosts(&home);
        let connection =
            dialer(&home, transport, HostKeyPolicy::Strict).connect(&target("web1")).await.unwrap();
        assert_eq!(says(&connection, "echo here").await, "here\n");
        assert_eq!((logins(&gate), logins(&web1)), (1, 1), "{transport:?}");
    }
}

#[tokio::test]
async fn one_transport_may_go_over_the_other() {
    let (gate, web1) = (Sshd::start(&[]).await.unwrap(), Sshd::start(&[]).await.unwrap());
    let home = Home::new();
    // A keyword that only OpenSSH can follow makes it the one to ask.
    let foreign = " KnownHostsCommand none\n";
    home.write(
        "config",
        &(host_lines("gate", &gate) + foreign + &host_lines("web1", &web1) + " ProxyJump gate\n"),
    );
    home.write("known_hosts", &(known_line(&gate) + &known_line(&web1)));
    name_known_hosts(&home);
    let dialer = home.strict();
    let connection = dialer.connect(&target("web1")).await.unwrap();
    assert_eq!(says(&connection, "echo here").await, "here\n");
    assert!(!connection.host_key_seen().is_empty(), "ours");
    assert!(dialer.connect(&target("gate")).await.unwrap().host_key_seen().is_empty(), "the program's");
    assert_eq!((logins(&gate), logins(&web1)), (1, 1));
}
