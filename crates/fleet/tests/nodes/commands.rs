//! What commands do, on each kind of server.

use super::*;
use fleet::session::Chunk;

#[tokio::test]
async fn commands_run_alike_on_debian_and_on_busybox() {
    for server in Server::each("commands_run_alike_on_debian_and_on_busybox").await {
        let (name, session) = (server.name(), server.session().await);
        let said = output(&session, Command::sh("echo out; echo err >&2; exit 7")).await;
        let outputs = (text(&said.stdout), text(&said.stderr));
        assert_eq!((said.ended, outputs), (code(7), ("out\n".into(), "err\n".into())), "{name}");
        assert_eq!(output(&session, Command::sh("kill -KILL $$")).await.ended, server.killed(), "{name}");

        let quotes = "it's \"$HOME\" `x` \\n \\\n !! *.* ~ \u{1f980}\ttab";
        let said = output(&session, Command::sh(format!("cat <<'END'\n{quotes}\nEND\n"))).await;
        assert_eq!(text(&said.stdout), format!("{quotes}\n"), "{name}");
        let long = "x".repeat(3_000_000);
        let said = output(&session, Command::sh(format!("cat <<'END'\n{long}\n'\nEND\n"))).await;
        assert_eq!(said.stdout.len(), long.len() + 3, "{name}");

        let binary: Vec<u8> = (0..=255).cycle().take(5_000_000).collect();
        let command = Command { stdin: binary.clone().into(), ..Command::sh("cat; exit 3") };
        let said = output(&session, command).await;
        assert_eq!(said.ended, code(3), "{name}");
        assert!(said.stdout == binary, "{name}");
        assert_eq!(text(&output(&session, Command::sh("cat; echo end")).await.stdout), "end\n", "{name}");

        let env = vec![("GREETING".to_owned(), "it's\n$HOME".to_owned())];
        let said = output(&session, Command { env, ..Command::sh("printf %s \"$GREETING\"") }).await;
        assert_eq!(text(&said.stdout), "it's\n$HOME", "{name}");
        let said = output(&session, Command::sh("sleep 0.1 & wait; sh -c 'exit 5'")).await;
        assert_eq!(said.ended, code(5), "{name}");
    }
}

#[tokio::test]
async fn a_command_over_ssh_can_be_told_more() {
    for server in Server::each("a_command_over_ssh_can_be_told_more").await {
        let session = server.session().await;
        let (tell, told) = tokio::sync::mpsc::channel(1);
        let mut tell = Some(tell);
        let mut said = String::new();
        let mut answer = |chunk: Chunk| {
            let Chunk::Stdout(bytes) = chunk else { return };
            said.push_str(&text(&bytes));
            match tell.take() {
                Some(tell) if said == "go\n" => tell.try_send("on".into()).unwrap(),
                _ => {}
            }
        };
        let talking = session.talk(Command::sh("echo go; cat; exit 2"), told, &mut answer);
        assert_eq!(rt::clock::timeout(SOON, "talking", talking).await.unwrap().unwrap(), code(2));
        assert_eq!(said, "go\non", "{}", server.name());
    }
}

#[tokio::test]
async fn the_end_of_its_time_ends_all_that_a_command_started() {
    for server in Server::each("the_end_of_its_time_ends_all_that_a_command_started").await {
        let session = server.session().await;
        for stdin in ["", "some input"] {
            let mark = mark();
            let timeout = Some(Duration::from_secs(1));
            let command = Command { timeout, stdin: stdin.into(), ..Command::sh(lingering(&mark)) };
            let said = output(&session, command).await;
            assert_eq!((said.ended, text(&said.stdout)), (Ended::Timeout, "started\n".into()));
            none_marked(&mark, &format!("a timeout on {}", server.name())).await;
        }
        // The connection serves on.
        assert_eq!(output(&session, Command::sh("exit 4")).await.ended, code(4));
    }
}

#[tokio::test]
async fn what_a_command_leaves_behind_on_purpose_stays() {
    for server in Server::each("what_a_command_leaves_behind_on_purpose_stays").await {
        let session = server.session().await;
        let mark = mark();
        let script = format!("sleep {mark} </dev/null >/dev/null 2>&1 &");
        assert_eq!(output(&session, Command::sh(script)).await.ended, code(0));
        // A command later, and with the connection gone, it is still there.
        assert_eq!(output(&session, Command::sh("sleep 0.3")).await.ended, code(0));
        drop(session);
        rt::clock::sleep(Duration::from_millis(300)).await;
        let left = marked(&mark);
        assert_eq!(left.len(), 1, "{}", server.name());
        rt::process::signal(left[0], rt::process::Signal::KILL).unwrap();
    }
}

#[tokio::test]
async fn nothing_of_a_command_shows_in_an_argv() {
    for server in Server::each("nothing_of_a_command_shows_in_an_argv").await {
        let session = server.session().await;
        let canary = format!("canary{}", mark());
        let script = format!(": {canary}; echo there; cat; sleep 0.2; sleep 0.2");
        for stdin in ["", canary.as_str()] {
            let mut looks = 0;
            let mut look = |_| {
                looks += 1;
                assert_eq!(argv_with(&canary), Vec::<String>::new(), "{}", server.name());
            };
            let env = vec![("CANARY".to_owned(), canary.clone())];
            let command = Command { env, stdin: stdin.to_owned().into(), ..Command::sh(script.clone()) };
            assert_eq!(session.run(command, &mut look).await.unwrap(), code(0));
            assert!(looks > 0);
        }
    }
}

/// The argument lists of this machine in which a text occurs.
fn argv_with(text: &str) -> Vec<String> {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = processes.filter_map(|p| std::fs::read_to_string(p.path().join("cmdline")).ok());
    lines.filter(|line| line.contains(text)).collect()
}
