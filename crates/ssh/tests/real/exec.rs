//! Commands: their outputs, codes, signals, inputs and terminals.

use crate::Server;
use base::Code;
use bytes::Bytes;
use sha2::{Digest, Sha256};
use ssh::{Connection, Exec, ExecEvent, ExecReceiver, ExecRequest, Output, Pty, shell_command_with_env};
use std::time::Duration;

const SOON: Duration = Duration::from_mins(1);
const PLENTY: usize = 1 << 20;

async fn run(server: &Server, line: &str) -> Output {
    let connection = server.connect().await;
    connection.output(ExecRequest::command(line), Bytes::new(), PLENTY).await.unwrap()
}

#[tokio::test]
async fn outputs_and_codes_come_back() {
    let server = Server::start().await;
    let output = run(&server, "echo out; echo err >&2; exit 7").await;
    let expected = Output {
        code: Some(7),
        signal: None,
        stdout: b"out\n".to_vec(),
        stderr: b"err\n".to_vec(),
        truncated: false,
    };
    assert_eq!(output, expected);
    assert!(run(&server, "true").await.success());
    assert_eq!(run(&server, "exit 255").await.code, Some(255));
    assert_eq!(run(&server, "no-such-command").await.code, Some(127));
}

#[tokio::test]
async fn a_signal_is_an_exit_without_a_code() {
    let server = Server::start().await;
    let output = run(&server, "kill -TERM $$").await;
    assert_eq!((output.code, output.signal.as_deref()), (None, Some("TERM")));
    let output = run(&server, "kill -KILL $$").await;
    assert_eq!((output.code, output.signal.as_deref()), (None, Some("KILL")));
}

fn exit(code: u32) -> ExecEvent {
    ExecEvent::Exit { code: Some(code), signal: None }
}

/// All standard output, and the last event.
async fn drain(receiver: &mut ExecReceiver) -> (String, ExecEvent) {
    let mut text = Vec::new();
    let reading = async {
        loop {
            match receiver.next().await {
                Some(ExecEvent::Stdout(data)) => text.extend_from_slice(&data),
                Some(ExecEvent::Stderr(_)) => {}
                Some(end) => return end,
                None => panic!("{}", receiver.lost()),
            }
        }
    };
    let end = rt::clock::timeout(SOON, "the end of the output", reading).await.unwrap();
    assert_eq!(receiver.next().await, None);
    (String::from_utf8(text).unwrap(), end)
}

#[tokio::test]
async fn the_last_output_is_not_lost() {
    // The exit status often comes before it.
    let server = Server::start().await;
    let connection = server.connect().await;
    for _ in 0..20 {
        let line = "head -c 300000 /dev/zero | tr '\\0' x";
        let output = connection.output(ExecRequest::command(line), Bytes::new(), PLENTY).await.unwrap();
        assert_eq!((output.stdout.len(), output.code), (300_000, Some(0)));
    }
}

#[tokio::test]
async fn what_is_too_much_is_cut() {
    let server = Server::start().await;
    let connection = server.connect().await;
    let request = ExecRequest::command("head -c 3000000 /dev/zero");
    let output = connection.output(request, Bytes::new(), 1000).await.unwrap();
    assert_eq!((output.stdout.len(), output.truncated, output.code), (1000, true, Some(0)));
}

#[tokio::test]
async fn input_reaches_the_command_and_ends() {
    let server = Server::start().await;
    let connection = server.connect().await;
    let output =
        connection.output(ExecRequest::command("wc -c; echo done"), "12345".into(), PLENTY).await.unwrap();
    assert_eq!(
        String::from_utf8(output.stdout).unwrap().split_whitespace().collect::<Vec<_>>(),
        ["5", "done"]
    );
    // A command that reads nothing ends all the same, whatever it is given.
    let much = Bytes::from(vec![0; 20 << 20]);
    let output = connection.output(ExecRequest::command("exit 4"), much, PLENTY).await.unwrap();
    assert_eq!(output.code, Some(4));
}

#[tokio::test]
async fn after_its_end_a_command_takes_no_input() {
    let server = Server::start().await;
    let connection = server.connect().await;
    let (sender, mut receiver) = connection.exec(ExecRequest::command("exit 0")).await.unwrap().split();
    drain(&mut receiver).await;
    assert_eq!(sender.stdin("x".into()).await.unwrap_err().code, Code::Conflict);
}

const BULK: usize = 50 << 20;

#[tokio::test]
async fn fifty_megabytes_go_both_ways_at_once() {
    let server = Server::start().await;
    let connection = server.connect().await;
    let (sent, received) = rt::clock::timeout(
        SOON,
        "the echo",
        echo(connection.exec(ExecRequest::command("cat")).await.unwrap()),
    )
    .await
    .unwrap();
    assert_eq!(sent, received);
}

#[tokio::test]
async fn new_keys_in_the_middle_change_nothing() {
    let server = Server::start_with(&["RekeyLimit 3M"]).await;
    let connection = server.connect().await;
    let exec = connection.exec(ExecRequest::command("cat")).await.unwrap();
    let (sent, received) = rt::clock::timeout(SOON, "the echo", echo(exec)).await.unwrap();
    assert_eq!(sent, received);
}

/// Sends noise to a command that echoes it, and returns both digests.
async fn echo(exec: Exec) -> (Vec<u8>, Vec<u8>) {
    let (sender, mut receiver) = exec.split();
    let sending = async move {
        let (mut digest, mut left, mut seed) = (Sha256::new(), BULK, 1_u64);
        while left > 0 {
            let block: Vec<u8> =
                std::iter::repeat_with(|| noise(&mut seed)).flatten().take(left.min(100_003)).collect();
            digest.update(&block);
            left -= block.len();
            sender.stdin(block.into()).await.unwrap();
        }
        sender.eof().await.unwrap();
        digest.finalize().to_vec()
    };
    let receiving = async move {
        let (mut digest, mut length) = (Sha256::new(), 0);
        loop {
            match receiver.next().await.unwrap() {
                ExecEvent::Stdout(data) => {
                    digest.update(&data);
                    length += data.len();
                }
                ExecEvent::Stderr(data) => panic!("{data:?}"),
                ExecEvent::Exit { code, .. } => {
                    assert_eq!((code, length), (Some(0), BULK));
                    return digest.finalize().to_vec();
                }
            }
        }
    };
    tokio::join!(sending, receiving)
}

/// A cheap generator (xorshift64), so that blocks that get lost or swapped show.
fn noise(seed: &mut u64) -> [u8; 8] {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    seed.to_le_bytes()
}

#[tokio::test]
async fn a_slow_reader_holds_the_command_back_and_loses_nothing() {
    let server = Server::start().await;
    let connection = server.connect().await;
    // More than all windows and buffers between the two. It says on standard error when all is written.
    let line = "head -c 60000000 /dev/zero; echo written >&2";
    let (_sender, mut receiver) = connection.exec(ExecRequest::command(line)).await.unwrap().split();
    let mut total = 0;
    let mut pauses = 0;
    while let Some(event) = receiver.next().await {
        match event {
            ExecEvent::Stdout(data) => total += data.len(),
            ExecEvent::Stderr(_) => assert!(total > 30_000_000, "the server wrote far ahead of us: {total}"),
            ExecEvent::Exit { code, .. } => assert_eq!(code, Some(0)),
        }
        if pauses < 20 {
            pauses += 1;
            rt::clock::sleep(Duration::from_millis(5)).await;
        }
    }
    assert_eq!(total, 60_000_000);
}

#[tokio::test]
async fn twenty_commands_share_a_connection() {
    let server = Server::start().await;
    let connection = server.connect().await;
    let commands = (0..20).map(|i| {
        let connection = connection.clone();
        rt::task::spawn("command", async move {
            let line = format!("cat; echo {i}; head -c 200000 /dev/zero; exit {i}");
            let output = connection
                .output(ExecRequest::command(line), format!("in {i} ").into(), PLENTY)
                .await
                .unwrap();
            let expected = format!("in {i} {i}\n");
            assert!(output.stdout.starts_with(expected.as_bytes()));
            assert_eq!(output.stdout.len(), expected.len() + 200_000);
            assert_eq!(output.code, Some(i));
        })
    });
    for command in commands.collect::<Vec<_>>() {
        command.await.unwrap();
    }
    assert_eq!(server.0.log().matches("Accepted publickey").count(), 1);
}

#[tokio::test]
async fn typing_stays_quick_beside_a_reader_that_paused() {
    // Less than the bound that the documentation gives: others must not notice.
    let server = Server::start().await;
    let connection = server.connect().await;
    let flood = ExecRequest::command("head -c 3000000 /dev/zero; sleep 1000");
    let (_sender, _receiver) = connection.exec(flood).await.unwrap().split();
    for _ in 0..20 {
        let output = connection.output(ExecRequest::command("echo hi"), Bytes::new(), PLENTY);
        let output = rt::clock::timeout(SOON, "a command", output).await.unwrap().unwrap();
        assert_eq!(output.stdout, b"hi\n");
    }
}

#[tokio::test]
async fn closing_works_while_a_reader_does_not_read() {
    let server = Server::start().await;
    let connection = server.connect().await;
    let (sender, _receiver) = connection.exec(ExecRequest::command("cat /dev/zero")).await.unwrap().split();
    // Until the connection waits for the reader, which it does when nothing moves any more.
    let other = connection.output(ExecRequest::command("true"), Bytes::new(), PLENTY);
    let _ = rt::clock::timeout(Duration::from_secs(1), "a command", other).await;
    rt::clock::timeout(SOON, "closing", connection.close()).await.unwrap();
    assert!(connection.is_closed());
    assert_eq!(sender.stdin(vec![0; 1 << 24].into()).await.unwrap_err().code, Code::Unavailable);
}

#[tokio::test]
async fn dropped_commands_leave_nothing_behind() {
    // One session at a time is all that this server allows.
    let server = Server::start_with(&["MaxSessions 1"]).await;
    let connection = server.connect().await;
    for _ in 0..5 {
        // Endless, never read: it would stall the connection if anybody still waited for its reader.
        drop(when_free(&connection, "exec cat /dev/zero").await);
    }
    let (_sender, mut receiver) = when_free(&connection, "echo free").await.split();
    assert_eq!(drain(&mut receiver).await, ("free\n".to_owned(), exit(0)));
}

/// Starts a command as soon as the server has a session for it: it frees them a moment after we close them.
async fn when_free(connection: &Connection, line: &str) -> Exec {
    let trying = async {
        loop {
            match connection.exec(ExecRequest::command(line)).await {
                Ok(exec) => return exec,
                Err(e) => assert!(e.cause.unwrap().contains("no further session")),
            }
            rt::clock::sleep(Duration::from_millis(20)).await;
        }
    };
    rt::clock::timeout(SOON, "a free session", trying).await.unwrap()
}

#[tokio::test]
async fn giving_up_while_it_starts_leaves_nothing_behind() {
    let server = Server::start_with(&["MaxSessions 1"]).await;
    let connection = server.connect().await;
    for delay in [0, 1, 2, 5, 10] {
        // It ends with its input.
        let starting = connection.exec(ExecRequest::command("cat"));
        let _ =
            rt::clock::timeout(Duration::from_millis(delay), "starting", starting).await.map(|r| r.map(drop));
        drop(when_free(&connection, "cat").await);
    }
}

#[tokio::test]
async fn terminals_have_a_size_that_changes() {
    let server = Server::start().await;
    let connection = server.connect().await;
    let pty = Pty { term: "vt220".into(), rows: 31, cols: 97 };
    let line = "trap 'stty size; exit 0' WINCH; echo $TERM; stty size; while :; do sleep 0.05; done";
    let request = ExecRequest { pty: Some(pty), ..ExecRequest::command(line) };
    let (sender, mut receiver) = connection.exec(request).await.unwrap().split();
    let mut seen = String::new();
    while !seen.contains("31 97") {
        let Some(ExecEvent::Stdout(data)) = receiver.next().await else { panic!("ended after {seen:?}") };
        seen.push_str(std::str::from_utf8(&data).unwrap());
    }
    assert!(seen.starts_with("vt220\r\n"), "{seen:?}");
    sender.resize(50, 132).await.unwrap();
    let (rest, end) = drain(&mut receiver).await;
    assert!(rest.contains("50 132"), "{rest:?}");
    assert_eq!(end, exit(0));
}

#[tokio::test]
async fn a_login_shell_reads_what_is_typed() {
    let server = Server::start().await;
    let connection = server.connect().await;
    let request = ExecRequest::shell(Pty { term: "dumb".into(), rows: 24, cols: 80 });
    let (sender, mut receiver) = connection.exec(request).await.unwrap().split();
    sender.stdin("echo $((6 * 7)) is it; exit 5\r".into()).await.unwrap();
    let (text, end) = drain(&mut receiver).await;
    assert!(text.contains("42 is it"), "{text:?}");
    assert_eq!(end, exit(5));
}

#[tokio::test]
async fn variables_need_the_shell_where_the_server_refuses_them() {
    let server = Server::start_with(&["AcceptEnv ALLOWED"]).await;
    let connection = server.connect().await;
    let env = vec![("ALLOWED".to_owned(), "a".to_owned()), ("OTHER".to_owned(), "it's b".to_owned())];
    let show = "echo \"[$ALLOWED][$OTHER]\"";
    let asked = ExecRequest { env: env.clone(), ..ExecRequest::command(show) };
    let output = connection.output(asked, Bytes::new(), PLENTY).await.unwrap();
    assert_eq!(output.stdout, b"[a][]\n");
    let line = shell_command_with_env(Some(&format!("{show}; pwd")), &env, Some("/usr/share")).unwrap();
    let output = connection.output(ExecRequest::command(line), Bytes::new(), PLENTY).await.unwrap();
    assert_eq!(output.stdout, b"[a][it's b]\n/usr/share\n");
}

#[tokio::test]
async fn what_the_server_refuses_is_an_error() {
    let server = Server::start_with(&["PermitTTY no"]).await;
    let connection = server.connect().await;
    let e = connection.exec(ExecRequest::subsystem("no-such")).await.err().unwrap();
    assert_eq!(e.code, Code::Unavailable);
    assert!(e.message.contains("'no-such'"), "{e}");
    let pty = Pty { term: "dumb".into(), rows: 24, cols: 80 };
    let e = connection.exec(ExecRequest::shell(pty)).await.err().unwrap();
    assert!(e.message.contains("a terminal"), "{e}");
    assert!(!connection.is_closed());
}

#[tokio::test]
async fn a_command_is_a_stream() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let server = Server::start().await;
    let connection = server.connect().await;
    let mut stream =
        connection.exec(ExecRequest::command("tr a-z A-Z; echo noise >&2")).await.unwrap().into_stream();
    stream.write_all(b"shout").await.unwrap();
    stream.shutdown().await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "SHOUT");
}
