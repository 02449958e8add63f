//! The program on real shells of this host, and what runs it.

use super::{program::Program, *};
use crate::session::{Chunk, Ended, Method, Output};
use base::{Code, Secret};
use std::{path::Path, time::Duration};

/// This host, with another shell under the name `sh`.
struct Shell(tempfile::TempDir);

impl Shell {
    fn called(command: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sh");
        std::fs::write(&path, format!("#!/bin/sh\nexec {command} \"$@\"\n")).unwrap();
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        Shell(dir)
    }
}

impl Channels for Shell {
    fn start<'a>(&'a self, line: &'a str) -> BoxFuture<'a, Result<Started>> {
        let mut shell = rt::process::detached("sh");
        shell.arg("-c").arg(format!("PATH={}:$PATH; {line}", self.0.path().display())).process_group(0);
        async move { local::start(shell) }.boxed()
    }
}

const SHELLS: [&str; 3] = ["dash", "bash", "busybox sh"];
const PLENTY: usize = 64 << 20;

async fn output(shell: &'static str, command: Command) -> Output {
    let session = over(Shell::called(shell));
    let running = session.output(command, PLENTY);
    rt::clock::timeout(Duration::from_mins(1), shell, running).await.unwrap().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[tokio::test]
async fn outputs_codes_and_signals_come_back() {
    for shell in SHELLS {
        let said = output(shell, Command::sh("echo out; echo err >&2; exit 7")).await;
        assert_eq!(said.ended, Ended::Code(7), "{shell}");
        assert_eq!((text(&said.stdout), text(&said.stderr)), ("out\n".into(), "err\n".into()), "{shell}");
        assert_eq!(output(shell, Command::sh("false\ntrue")).await.ended, Ended::Code(0), "{shell}");
        assert_eq!(output(shell, Command::sh("no-such-command")).await.ended, Ended::Code(127), "{shell}");
        assert_eq!(output(shell, Command::sh("kill -TERM $$")).await.ended, Ended::Signal("TERM".into()));
        let broken = output(shell, Command::sh("echo before; echo \"unterminated")).await;
        assert_eq!(broken.ended, Ended::Code(2), "{shell}: {}", text(&broken.stderr));
        assert_eq!(output(shell, Command::sh("")).await.ended, Ended::Code(0), "{shell}");
    }
}

#[tokio::test]
async fn a_script_arrives_as_it_is_whatever_its_quotes_and_size() {
    let quotes = "it's \"$HOME\" `x` \\n \\\n !! *.* ~ \u{1f980}\ttab";
    for shell in SHELLS {
        let script = format!("cat <<'END'\n{quotes}\nEND\nprintf %s \"$# $0\"");
        let said = output(shell, Command::sh(script)).await;
        assert_eq!(text(&said.stdout), format!("{quotes}\n0 sh"), "{shell}");
        let long = "x".repeat(300_000);
        let said = output(shell, Command::sh(format!("cat <<'END'\n{long}\n'\nEND\n"))).await;
        assert_eq!(said.stdout.len(), long.len() + 3, "{shell}");
    }
}

#[tokio::test]
async fn a_command_has_an_input_of_its_own() {
    let binary: Vec<u8> = (0..=255).cycle().take(300_000).collect();
    for shell in SHELLS {
        let none = output(shell, Command::sh("cat; echo end")).await;
        assert_eq!(text(&none.stdout), "end\n", "{shell}");
        let command = Command { stdin: binary.clone().into(), ..Command::sh("cat; echo $? >&2; exit 3") };
        let said = output(shell, command).await;
        assert_eq!((said.ended, text(&said.stderr)), (Ended::Code(3), "0\n".into()), "{shell}");
        assert!(said.stdout == binary, "{shell}");
        // One that does not read it ends nevertheless.
        let command = Command { stdin: binary.clone().into(), ..Command::sh("exit 4") };
        assert_eq!(output(shell, command).await.ended, Ended::Code(4), "{shell}");
    }
}

#[tokio::test]
async fn a_command_can_be_told_more_while_it_runs() {
    for shell in SHELLS {
        let (tell, told) = tokio::sync::mpsc::channel(1);
        let session = over(Shell::called(shell));
        let script = "while read -r line; do echo \"<$line>\"; done; echo end; exit 6";
        let command = Command { stdin: "one\n".into(), ..Command::sh(script) };
        let mut said = String::new();
        // Each answer asks for the next line; after the third there is none.
        let mut tell = Some(tell);
        let mut answer = |chunk: Chunk| {
            let Chunk::Stdout(bytes) = chunk else { return };
            said.push_str(&text(&bytes));
            let lines = said.matches('>').count();
            match &tell {
                Some(tell) if lines < 3 => tell.try_send(format!("line {lines}\n").into()).unwrap(),
                _ => tell = None,
            }
        };
        assert_eq!(session.talk(command, told, &mut answer).await.unwrap(), Ended::Code(6), "{shell}");
        assert_eq!(said, "<one>\n<line 1>\n<line 2>\nend\n", "{shell}");
    }
}

#[tokio::test]
async fn variables_and_interpreters() {
    let env = vec![("A".to_owned(), "it's\n\nb ".to_owned()), ("_B2".to_owned(), String::new())];
    for shell in SHELLS {
        let show = "printf '[%s][%s]' \"$A\" \"$_B2\"; env | grep -c '^A='";
        let said = output(shell, Command { env: env.clone(), ..Command::sh(show) }).await;
        assert_eq!(text(&said.stdout), "[it's\n\nb ][]1\n", "{shell}");
        let python = Command {
            interpreter: Some("/usr/bin/env python3".into()),
            stdin: "input".into(),
            env: env.clone(),
            ..Command::sh(
                "import os, sys\nprint(sys.stdin.read(), os.environ['A'], sep='', end='')\nsys.exit(5)",
            )
        };
        let said = output(shell, python).await;
        assert_eq!((said.ended, text(&said.stdout)), (Ended::Code(5), "inputit's\n\nb ".into()), "{shell}");
        let bash =
            Command { interpreter: Some("/bin/bash".into()), ..Command::sh("x=(1 2); echo ${x[1]}; cat") };
        assert_eq!(text(&output(shell, bash).await.stdout), "2\n", "{shell}");
    }
}

#[tokio::test]
async fn what_cannot_be_said_is_refused() {
    let run = |command| async { over(Local).output(command, 0).await.unwrap_err() };
    assert_eq!(run(Command::sh("a\0b")).await.code, Code::Invalid);
    let env = vec![("A-B".to_owned(), String::new())];
    assert_eq!(run(Command { env, ..Command::sh("true") }).await.field.as_deref(), Some("env"));
    let other = |user: &str, method, password: Option<&str>| {
        let password = password.map(Secret::new);
        Command {
            r#become: Some(crate::session::Become { user: user.into(), method, password }),
            ..Command::sh("")
        }
    };
    assert_eq!(run(other("-s", Method::Sudo, None)).await.code, Code::Invalid);
    let e = run(other("root", Method::Doas, Some("x"))).await;
    assert!(e.hint.unwrap().contains("nopass"));
}

#[tokio::test]
async fn only_the_user_shows_in_the_line() {
    let command = Command {
        script: "secret-script".into(),
        stdin: "secret-input".into(),
        env: vec![("A".into(), "secret-value".into())],
        r#become: Some(crate::session::Become {
            user: "root".into(),
            method: Method::Sudo,
            password: Some(Secret::new("secret-password")),
        }),
        ..Command::default()
    };
    let program = Program::new(&command, false).unwrap();
    assert!(!program.line.contains("secret"), "{}", program.line);
    assert!(!program.text.contains("secret-password"));
}

/// Writes its process ids to a file, then waits.
fn lingering(file: &Path) -> String {
    format!(
        "sleep 1000 & echo $$ $! > {0}.new; mv {0}.new {0}; trap '' TERM; sleep 1000; sleep 1000",
        file.display()
    )
}

async fn pids(file: &Path) -> Vec<u32> {
    let reading = async {
        loop {
            if let Ok(text) = std::fs::read_to_string(file) {
                return text.split_whitespace().map(|p| p.parse().unwrap()).collect();
            }
            rt::clock::sleep(Duration::from_millis(10)).await;
        }
    };
    rt::clock::timeout(Duration::from_mins(1), "the start", reading).await.unwrap()
}

async fn gone(pids: &[u32]) {
    for pid in pids {
        let ending = rt::process::gone(*pid, rt::process::start_ticks(*pid));
        rt::clock::timeout(Duration::from_secs(20), "the end of a process", ending).await.unwrap();
    }
}

#[tokio::test]
async fn a_timeout_ends_all_that_was_started() {
    for shell in SHELLS {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("pids");
        for stdin in ["", "input"] {
            let _ = std::fs::remove_file(&file);
            let timeout = Some(Duration::from_millis(700));
            let command = Command { timeout, stdin: stdin.into(), ..Command::sh(lingering(&file)) };
            let said = output(shell, command).await;
            assert_eq!(said.ended, Ended::Timeout, "{shell}");
            gone(&pids(&file).await).await;
        }
    }
}

#[tokio::test]
async fn giving_up_ends_all_that_was_started() {
    for shell in SHELLS {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("pids");
        let session = over(Shell::called(shell));
        let running = session.output(Command::sh(lingering(&file)), 0);
        let started = tokio::select! {
            _ = running => panic!("it does not end"),
            pids = pids(&file) => pids,
        };
        gone(&started).await;
    }
}

#[tokio::test]
async fn what_outlives_a_command_on_purpose_is_left_alone() {
    for shell in SHELLS {
        let script = "sleep 1000 </dev/null >/dev/null 2>&1 & echo $!; true & wait $!";
        let said = output(shell, Command::sh(script)).await;
        let pid: u32 = text(&said.stdout).trim().parse().unwrap();
        // Longer than the watcher would need.
        rt::clock::sleep(Duration::from_millis(300)).await;
        assert!(rt::process::alive(pid), "{shell}");
        rt::process::signal(pid, rt::process::Signal::KILL).unwrap();
        // The watcher is nobody's child.
        let said = output(shell, Command::sh("sleep 0.1 & wait; echo all")).await;
        assert_eq!(text(&said.stdout), "all\n", "{shell}");
    }
}

#[tokio::test]
async fn the_time_of_a_slow_sink_is_not_the_command_s() {
    struct Slow;
    impl Sink for Slow {
        fn take(&mut self, _: Chunk) -> BoxFuture<'_, ()> {
            rt::clock::sleep(Duration::from_millis(1500)).boxed()
        }
    }
    let command = Command { timeout: Some(Duration::from_secs(1)), ..Command::sh("echo a; exit 9") };
    assert_eq!(over(Local).run(command, &mut Slow).await.unwrap(), Ended::Code(9));
}

#[tokio::test]
async fn output_is_kept_up_to_a_limit() {
    let said = over(Local).output(Command::sh("head -c 10000000 /dev/zero; echo e >&2"), 1000).await.unwrap();
    assert_eq!((said.stdout.len(), said.stderr, said.truncated), (1000, b"e\n".to_vec(), true));
}

#[tokio::test]
async fn the_metadata_says_how_a_node_is_reached() {
    let connectors = Connectors::new([]);
    let mut node = Node { name: "here".into(), ..Node::default() };
    let e = connectors.connect(&node).await.unwrap_err();
    assert_eq!((e.code, e.field.as_deref()), (Code::Invalid, Some("here")));
    node.metadata.insert("local_node".into(), true.into());
    let said =
        connectors.connect(&node).await.unwrap().output(Command::sh("echo $((6*7))"), 10).await.unwrap();
    assert_eq!(said.stdout, b"42\n");
}

#[tokio::test]
async fn a_vm_is_not_dialled_as_the_host_of_its_name() {
    let me = ::ssh::config::Surroundings::default();
    let login = Login { user: None, password: None };
    let ways: [Box<dyn Connector>; 1] = [Box::new(Ssh::new(me, ::ssh::DialOptions::default(), login))];
    let metadata = [("vm".to_owned(), "localhost.default".into())].into();
    let node = Node { name: "localhost".into(), metadata, ..Node::default() };
    let refused = Connectors::new(ways).connect(&node).await.unwrap_err();
    assert_eq!(refused.code, Code::Unavailable);
    assert!(refused.message.contains("no controller"), "{refused}");
}
