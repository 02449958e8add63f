//! The shell on real shells: that of the system (dash on Debian), bash and BusyBox.

use super::*;
use crate::{
    connector::{Local, over},
    session::{Input, Sink, Transport},
};
use std::{path::Path, time::Duration};

/// This host, with another shell.
struct With(Session, &'static str);

impl Transport for With {
    fn run<'a>(
        &'a self,
        command: Command,
        input: Option<Input>,
        sink: &'a mut dyn Sink,
    ) -> BoxFuture<'a, Result<Ended>> {
        let script = format!("exec {}", self.1);
        let input = input.unwrap_or_else(|| mpsc::channel(1).1);
        self.0.talk(Command { script, ..command }, input, sink).boxed()
    }
}

fn start(program: &'static str, owner: &str) -> Shell {
    Shell::start(Session::new(With(over(Local), program)), None, owner)
}

/// Runs each test on each shell.
macro_rules! on_all_shells {
    ($($test:ident)*) => {
        mod system { $(#[tokio::test] async fn $test() { super::$test("sh").await; })* }
        mod bash { $(#[tokio::test] async fn $test() { super::$test("bash --posix").await; })* }
        mod busybox { $(#[tokio::test] async fn $test() { super::$test("busybox sh").await; })* }
    };
}

on_all_shells! {
    turns_follow_each_other_in_one_shell
    a_script_is_no_argument_and_reads_nothing
    a_script_that_takes_too_long_ends_with_its_children
    a_lost_session_ends_the_step_and_frees_the_lock
    a_shell_that_waits_for_its_next_turn_frees_the_lock_too
    only_one_has_the_lock_and_the_other_waits_no_longer_than_told
    a_lock_of_a_dead_process_or_another_boot_is_broken
    many_at_once_break_a_stale_lock_once
    a_lock_that_cannot_be_made_is_an_error_and_no_wait
    logs_of_the_same_name_do_not_overwrite_each_other
    a_content_arrives_byte_for_byte
}

/// One turn: its output, its frames, its code.
async fn turn(shell: &mut Shell, lines: &str) -> (String, Vec<String>, u32) {
    shell.turn("", lines).await.unwrap();
    let (mut output, mut frames, mut ready) = (String::new(), Vec::new(), 0);
    while ready < 2 {
        match rt::clock::timeout(Duration::from_secs(20), "a turn", shell.hear()).await.unwrap().unwrap() {
            Heard::Output(_, bytes) => output.push_str(&String::from_utf8_lossy(&bytes)),
            Heard::Frame(_, words) if words[0] == "ready" => {
                ready += 1;
                if ready == 2 {
                    return (output, frames, words[1].parse().unwrap());
                }
            }
            Heard::Frame(Stream::Stdout, words) => frames.push(words.join(" ")),
            Heard::Frame(Stream::Stderr, _) => {}
        }
    }
    unreachable!()
}

async fn turns_follow_each_other_in_one_shell(sh: &'static str) {
    let mut shell = start(sh, "me");
    assert_eq!(turn(&mut shell, "echo one; x=7").await, ("one\n".into(), vec![], 0));
    assert_eq!(
        turn(&mut shell, "echo $x; printf end; frame hello; false").await,
        ("7\nend".into(), vec!["hello".into()], 1)
    );
}

async fn a_script_is_no_argument_and_reads_nothing(sh: &'static str) {
    let mut shell = start(sh, "me");
    let lines = "script 0 sh <<'EOF'\ncat; tr '\\0' ' ' </proc/$$/cmdline; exit 3\nEOF\n";
    let (output, _, code) = turn(&mut shell, lines).await;
    assert_eq!((output.trim(), code), ("sh /dev/fd/9", 3));
}

async fn a_script_that_takes_too_long_ends_with_its_children(sh: &'static str) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("pid");
    let mut shell = start(sh, "me");
    let lines = format!(
        "script 1 sh <<'EOF'\nsleep 600 & echo $! >{0}.new; mv {0}.new {0}; wait\nEOF\n",
        file.display()
    );
    assert_eq!(turn(&mut shell, &lines).await.2, 124);
    let pid: u32 = std::fs::read_to_string(&file).unwrap().trim().parse().unwrap();
    gone(pid).await;
    assert_eq!(turn(&mut shell, "echo on").await.0, "on\n");
}

async fn gone(pid: u32) {
    let limit = Duration::from_secs(20);
    let start = rt::process::start_ticks(pid);
    rt::clock::timeout(limit, "the end of a process", rt::process::gone(pid, start)).await.unwrap();
}

async fn appears(path: &Path) {
    let there = async {
        while !path.exists() {
            rt::clock::sleep(Duration::from_millis(10)).await;
        }
    };
    rt::clock::timeout(Duration::from_secs(20), "a file", there).await.unwrap();
}

async fn vanishes(path: &Path) {
    let away = async {
        while path.symlink_metadata().is_ok() {
            rt::clock::sleep(Duration::from_millis(10)).await;
        }
    };
    rt::clock::timeout(Duration::from_secs(20), "the end of a file", away).await.unwrap();
}

async fn a_lost_session_ends_the_step_and_frees_the_lock(sh: &'static str) {
    let dir = tempfile::tempdir().unwrap();
    let (lock, file) = (dir.path().join("state/lock"), dir.path().join("pid"));
    let mut shell = start(sh, "me");
    let lines = format!(
        "lock {0} 0 && script 0 sh <<'EOF'\nsleep 600 & echo $! >{1}.new; mv {1}.new {1}; wait\nEOF\n",
        lock.display(),
        file.display()
    );
    shell.turn("", &lines).await.unwrap();
    tokio::select! {
        heard = async { loop { shell.hear().await.unwrap(); } } => heard,
        () = appears(&file) => {}
    }
    assert!(lock.symlink_metadata().is_ok());
    drop(shell);
    let pid: u32 = std::fs::read_to_string(&file).unwrap().trim().parse().unwrap();
    gone(pid).await;
    vanishes(&lock).await;
}

async fn a_shell_that_waits_for_its_next_turn_frees_the_lock_too(sh: &'static str) {
    let dir = tempfile::tempdir().unwrap();
    let lock = dir.path().join("lock");
    let mut shell = start(sh, "me");
    assert_eq!(turn(&mut shell, &format!("lock {} 0", lock.display())).await.1, ["locked"]);
    drop(shell);
    vanishes(&lock).await;
}

async fn only_one_has_the_lock_and_the_other_waits_no_longer_than_told(sh: &'static str) {
    let dir = tempfile::tempdir().unwrap();
    let line = format!("lock {}/lock 1", dir.path().display());
    let (mut first, mut second) = (start(sh, "first one"), start(sh, "second"));
    assert_eq!(turn(&mut first, &line).await.1, ["locked"]);
    let (_, frames, code) = turn(&mut second, &line).await;
    assert_eq!((frames, code), (vec!["waiting first one".into(), "busy first one".into()], 1));
    turn(&mut first, "unlock").await;
    assert_eq!(turn(&mut second, &line).await.1, ["locked"]);
}

async fn a_lock_of_a_dead_process_or_another_boot_is_broken(sh: &'static str) {
    let dir = tempfile::tempdir().unwrap();
    let lock = dir.path().join("lock");
    let boot = rt::host::boot_id();
    let own = std::process::id();
    let born = rt::process::start_ticks(own).unwrap();
    for dead in [
        format!("{own} 1 {boot} somebody else\n"),
        format!("999999999 {born} {boot} gone\n"),
        format!("{own} {born} another-boot before\n"),
        // What a disk may have after a loss of power.
        String::new(),
        format!("{own} {born} {boot} hal"),
    ] {
        std::fs::write(&lock, &dead).unwrap();
        let mut shell = start(sh, "me");
        assert_eq!(turn(&mut shell, &format!("lock {} 0", lock.display())).await.1, ["locked"], "{dead}");
        assert!(std::fs::read_to_string(&lock).unwrap().ends_with(" me\n"));
        drop(shell);
        vanishes(&lock).await;
    }
    std::fs::write(&lock, format!("{own} {born} {boot} living one\n")).unwrap();
    let mut shell = start(sh, "me");
    assert_eq!(turn(&mut shell, &format!("lock {} 0", lock.display())).await.1[1], "busy living one");
}

async fn many_at_once_break_a_stale_lock_once(sh: &'static str) {
    let dir = tempfile::tempdir().unwrap();
    let (lock, count) = (dir.path().join("lock"), dir.path().join("inside"));
    std::fs::write(&lock, "999999999 1 elsewhere dead\n").unwrap();
    std::fs::hard_link(&lock, dir.path().join("lock.999999999.1")).unwrap();
    // `mkdir` fails where another is inside.
    let lines = format!(
        "lock {0} 60 && mkdir {1} && sleep 0.05 && rmdir {1} && unlock",
        lock.display(),
        count.display()
    );
    let one = async || {
        let mut shell = start(sh, "me");
        turn(&mut shell, &lines).await.2
    };
    let codes = futures::future::join_all((0..4).map(|_| one())).await;
    assert_eq!(codes, [0; 4]);
    let left = std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name());
    assert_eq!(left.collect::<Vec<_>>(), Vec::<std::ffi::OsString>::new());
}

async fn a_lock_that_cannot_be_made_is_an_error_and_no_wait(sh: &'static str) {
    let mut shell = start(sh, "me");
    let (output, _, code) = turn(&mut shell, "lock /proc/nowhere/lock 600").await;
    assert_eq!(code, 1);
    assert!(output.contains("/proc/nowhere"), "{output}");
}

async fn logs_of_the_same_name_do_not_overwrite_each_other(sh: &'static str) {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let logs = dir.path().join("logs");
    let mut shell = start(sh, "me");
    for (text, name) in [("one\n", "log"), ("two", "log_2"), ("\0", "log_3")] {
        let lines = given(&format!("save {} log", logs.display()), text.as_bytes(), "") + "\nunlock";
        assert_eq!(turn(&mut shell, &lines).await.1, [format!("saved {}/{name}", logs.display())]);
    }
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&logs), mode(&logs.join("log_2"))), (0o700, 0o600));
    assert_eq!(
        ["log", "log_2", "log_3"].map(|n| std::fs::read_to_string(logs.join(n)).unwrap()),
        ["one\n", "two", "\0"]
    );
    assert_eq!(std::fs::read_dir(&logs).unwrap().count(), 3);
}

async fn a_content_arrives_byte_for_byte(sh: &'static str) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    let mut shell = start(sh, "me");
    let usual = turn(&mut shell, "umask").await.0;
    let characters = |end: u32| (1..end).filter_map(char::from_u32).collect::<String>();
    let quotes = "it's \"$HOME\" `x` $(y) \\n %s \\\n-\nEND\n\n\n".to_owned();
    let long = "x".repeat(100_000) + "\n";
    for text in [quotes, characters(0x3000) + "\u{1f980}\n", "\n".into(), "-n\n".into(), long, String::new()]
    {
        for content in [text.as_bytes(), text.trim_end().as_bytes(), &[text.as_bytes(), b"\0\xff\n"].concat()]
        {
            let lines = given(&format!("fill {}", file.display()), content, " || return 3") + "\numask";
            let (mask, _, code) = turn(&mut shell, &lines).await;
            assert!(std::fs::read(&file).unwrap() == content, "{}", String::from_utf8_lossy(content));
            assert_eq!((code, &mask), (0, &usual));
        }
    }
    let (said, _, code) = turn(&mut shell, "fill /dev/full text").await;
    assert!(code == 1 && said.contains("No space left on device"), "{code} {said}");
}
