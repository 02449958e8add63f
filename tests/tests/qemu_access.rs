//! Into real guests and out of them again: commands, terminals, files, ports, screens, consoles, logs.

#![allow(clippy::expect_used, clippy::unwrap_used)] // what is not as it must be ends the test

use e2e::{Cli, Cluster, Layout, Setup, Terminal, eventually, guest_image, skip};
use std::{fs, path::Path, process::Stdio, time::Duration};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    process::Child,
};

/// Longest time for what a guest does at once, on a busy machine.
const SOON: Duration = Duration::from_secs(30);

/// A cluster with one worker and one guest, `web`, that answers. `None` where the guest image was not built.
async fn with_guest(test: &str, more: &[&str]) -> Option<Cluster> {
    let cluster = with_workers(test, 1).await?;
    create(cluster.cli(), "web", more).await;
    Some(cluster)
}

async fn with_workers(test: &str, workers: u32) -> Option<Cluster> {
    let Some(image) = guest_image() else {
        skip(test, "the guest image is not built");
        return None;
    };
    Some(Cluster::start(Setup::qemu(Layout::chosen(), workers, image)).await)
}

async fn create(cli: &Cli, name: &str, more: &[&str]) {
    let args = ["vm", "create", name, "--image", "tiny", "--memory", "128MiB", "--disk", "256MiB", "--wait"];
    cli.run(&[&args[..], more].concat()).await.ok();
}

/// The output of a command line in a guest.
async fn sh(cli: &Cli, vm: &str, line: &str) -> String {
    cli.run(&["vm", "exec", vm, "--", line]).await.ok().trim_end().to_owned()
}

/// Bytes without a pattern, the same for the same seed (xorshift).
fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut x = seed;
    let mut next = || {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        x.to_le_bytes()[3]
    };
    (0..len).map(|_| next()).collect()
}

/// The digest of bytes, by a program that is not ours.
async fn digest(bytes: &[u8]) -> String {
    let ran = Cli::finish(rt::process::command("sha256sum"), bytes).await;
    ran.ok().split_ascii_whitespace().next().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn qemu_a_command_is_as_if_it_ran_here() {
    let Some(cluster) = with_guest("qemu_a_command_is_as_if_it_ran_here", &[]).await else { return };
    let cli = cluster.cli();
    let exec = async |args: &[&str]| cli.run(&[&["vm", "exec", "web"], args].concat()).await;

    let both = exec(&["--", "echo out; echo err >&2; exit 7"]).await;
    assert_eq!((both.code, both.stdout.as_str(), both.stderr.as_str()), (7, "out\n", "err\n"));
    assert_eq!(exec(&["--", "hostname"]).await.ok(), "web\n");
    assert_eq!(exec(&["--", "echo", "a  b", "$HOME", "it's"]).await.ok(), "a  b $HOME it's\n");
    assert_eq!(exec(&["--", "kill -TERM $$"]).await.code, 128 + 15);
    assert_eq!(exec(&["--", "kill -9 $$"]).await.code, 128 + 9);
    assert_eq!(exec(&["--", "no-such-program"]).await.code, 127);
    let env =
        exec(&["-e", "GREETING=a 'b' $c", "-e", "EMPTY=", "--", "echo \"$GREETING|${EMPTY-unset}\""]).await;
    assert_eq!(env.ok(), "a 'b' $c|\n");
    assert_eq!(exec(&["--", "wc -c"]).await.ok().trim(), "0", "without -i there is no input");

    let much = noise(20 << 20, 1);
    let sums = cli.run_with(&["vm", "exec", "web", "-i", "--", "sha256sum"], &much).await.ok();
    assert!(sums.starts_with(&digest(&much).await), "{sums}");
    for _ in 0..3 {
        let back = cli.run_with(&["vm", "ssh", "web", "head -c 1000000 | wc -c"], &much[..6 << 20]).await;
        assert_eq!(back.ok().trim(), "1000000", "a command may leave input unread");
    }
    let long = exec(&["--", "yes 0123456 | head -c 8000000"]).await.ok();
    assert!(long.len() == 8_000_000 && long.ends_with("0123456\n"), "{} bytes", long.len());

    for verb in ["exec", "ssh"] {
        let missing = cli.run(&["vm", verb, "nobody", "--", "true"]).await.fails(255);
        assert!(missing.contains("nobody"), "{missing}");
    }
    cli.run(&["vm", "stop", "web", "--wait"]).await.ok();
    let begin = rt::clock::now();
    let stopped = exec(&["--", "true"]).await.fails(255);
    assert!(stopped.contains("hostler vm start web"), "{stopped}");
    assert!(begin.elapsed() < Duration::from_secs(10), "nobody waits for what is not to come");
}

#[tokio::test(flavor = "multi_thread")]
async fn qemu_a_shell_in_a_terminal() {
    let Some(cluster) = with_guest("qemu_a_shell_in_a_terminal", &[]).await else { return };
    let cli = cluster.cli();

    let mut shell = Terminal::start(cli, &["vm", "ssh", "web"], (31, 101));
    shell.see("hostler@web:").await;
    shell.type_in("echo $((6 * 7)); stty size; tty\r");
    shell.see("echo $((6 * 7))").await;
    shell.see("42\r\n31 101\r\n/dev/pts/").await;
    shell.resize(44, 133);
    let size = eventually("the new size in the guest", SOON, async || {
        let text = sh(cli, "web", "stty size </dev/pts/0").await;
        (text == "44 133").then_some(text)
    });
    size.await;
    shell.type_in("echo now; sleep 100\r");
    shell.see("now\r\n").await;
    shell.type_in("\u{3}");
    shell.see("hostler@web:").await;
    shell.type_in("exit 5\r");
    assert_eq!(shell.end().await, 5);

    let mut command = Terminal::start(cli, &["vm", "exec", "-it", "web", "--", "cat; stty size"], (24, 80));
    command.type_in("abc\r");
    command.see("abc\r\nabc\r\n").await;
    command.type_in("\u{4}");
    command.see("24 80").await;
    assert_eq!(command.end().await, 0);

    let mut left = Terminal::start(cli, &["vm", "ssh", "web"], (24, 80));
    left.see("hostler@web:").await;
    left.type_in("\r~.");
    assert_eq!(left.end().await, 255);

    let mut console = Terminal::start(cli, &["vm", "console", "web"], (24, 80));
    console.type_in("\r");
    console.see("root@web:").await;
    console.type_in("echo $((6 * 7))\r");
    console.see("42\r\n").await;
    console.type_in("\u{1d}");
    assert_eq!(console.end().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn qemu_files_in_and_out() {
    let Some(cluster) = with_guest("qemu_files_in_and_out", &[]).await else { return };
    let (cli, here) = (cluster.cli(), cluster.cli().home());
    let cp = async |args: &[&str]| cli.run(&[&["vm", "cp"], args].concat()).await;

    let bytes = noise(5_000_001, 2);
    fs::write(here.join("a file"), &bytes).unwrap();
    cp(&["a file", "web:there it is"]).await.ok();
    let sum = sh(cli, "web", "sha256sum < 'there it is'").await;
    assert!(sum.starts_with(&digest(&bytes).await), "{sum}");
    cp(&["web:there it is", "back"]).await.ok();
    assert!(fs::read(here.join("back")).unwrap() == bytes, "a file comes back as it was");

    let tree = here.join("tree");
    fs::create_dir_all(tree.join("deep/er")).unwrap();
    fs::write(tree.join("empty"), b"").unwrap();
    for (i, name) in ["one", "deep/two", "deep/er/three"].iter().enumerate() {
        fs::write(tree.join(name), noise(40_000 * i + 1, 3)).unwrap();
    }
    let refused = cp(&["tree", "web:copy"]).await.fails(2);
    assert!(refused.contains("-r"), "{refused}");
    cp(&["-r", "tree", "web:copy"]).await.ok();
    let list = "find . -type f | sort | xargs sha256sum";
    let mut hashing = rt::process::command("sh");
    hashing.args(["-c", list]).current_dir(&tree);
    let ours = Cli::finish(hashing, b"").await.ok();
    assert_eq!(sh(cli, "web", &format!("cd copy && {list}")).await, ours.trim_end());
    cp(&["-r", "web:copy", "tree-back"]).await.ok();
    assert_eq!(files_of(&here.join("tree-back")), files_of(&tree));

    let missing = cp(&["web:nothing", "x"]).await;
    assert!(missing.code != 0 && missing.stderr.contains("nothing"), "{missing:?}");
    assert!(!here.join("x").exists());
    let denied = cp(&["back", "web:/proc/version"]).await;
    assert!(denied.code != 0 && denied.stderr.contains("/proc/version"), "{denied:?}");
}

/// The files under a directory, with what they hold.
fn files_of(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(next) = dirs.pop() {
        for entry in fs::read_dir(next).unwrap().map(|e| e.unwrap().path()) {
            if entry.is_dir() {
                dirs.push(entry);
            } else {
                let name = entry.strip_prefix(dir).unwrap().display().to_string();
                found.push((name, fs::read(&entry).unwrap()));
            }
        }
    }
    found.sort();
    found
}

/// A call that stays, and the first line it wrote.
async fn staying(cli: &Cli, args: &[&str]) -> (Child, String) {
    let mut command = cli.command(args);
    command.stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = tokio::time::timeout(SOON, lines.next_line()).await.expect("it says where it listens");
    (child, line.unwrap().expect("it runs"))
}

/// Asks a web server that ends the connection after its answer.
async fn get(connection: &mut TcpStream, path: &str) -> String {
    let mut text = String::new();
    let asking = async {
        connection.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).await?;
        connection.read_to_string(&mut text).await
    };
    tokio::time::timeout(SOON, asking).await.expect("an answer").unwrap();
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn qemu_ports_screens_and_logs() {
    let Some(cluster) = with_workers("qemu_ports_screens_and_logs", 1).await else { return };
    let (cli, here) = (cluster.cli(), cluster.cli().home());
    let key = here.join("id").display().to_string();
    let mut keygen = rt::process::command("ssh-keygen");
    keygen.args(["-q", "-t", "ed25519", "-N", "", "-f", &key]);
    Cli::finish(keygen, b"").await.ok();
    create(cli, "web", &["--ssh-key", &format!("{key}.pub"), "--user", "someone"]).await;

    sh(
        cli,
        "web",
        "mkdir /tmp/www; echo hello of $(hostname) >/tmp/www/index.html; httpd -p 8080 -h /tmp/www",
    )
    .await;
    let (first, line) = staying(cli, &["vm", "port-forward", "web", "8080"]).await;
    let local = line.split_once(" -> web:8080").expect("where it listens").0.to_owned();
    let (second, line) = staying(cli, &["vm", "port-forward", "web", "0:8080", "-o", "json"]).await;
    let other: serde_json::Value = serde_json::from_str(&line).unwrap();
    let mut users = Vec::new();
    for address in [&local, &local, other["local"].as_str().unwrap()] {
        users.push(TcpStream::connect(address).await.unwrap());
    }
    for user in &mut users {
        let answer = get(user, "/").await;
        assert!(answer.ends_with("hello of web\n"), "{answer}");
    }
    drop((first, second));

    let proxy = format!("{} vm port-forward web --stdio 22", e2e::binary().display());
    let mut ssh = rt::process::command("ssh");
    ssh.args(["-F", "/dev/null", "-i", &key, "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes"]);
    ssh.args(["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"]);
    ssh.args(["-o", &format!("ProxyCommand={proxy}"), "someone@web", "whoami; cat; exit 6"]);
    cli.dress(&mut ssh);
    let ran = Cli::finish(ssh, b"typed").await;
    assert_eq!((ran.code, ran.stdout.as_str()), (6, "someone\ntyped"), "{}", ran.stderr);

    let (screen, line) = staying(cli, &["vm", "vnc", "web"]).await;
    let mut viewer = TcpStream::connect(line.strip_prefix("vnc://").unwrap()).await.unwrap();
    let mut banner = [0; 12];
    tokio::time::timeout(SOON, viewer.read_exact(&mut banner)).await.unwrap().unwrap();
    assert_eq!(&banner, b"RFB 003.008\n");
    drop(screen);

    let console = cli.run(&["vm", "logs", "web"]).await.ok();
    assert!(console.contains("Linux version"), "{console}");
    // The guest may write between the two looks at its log.
    e2e::eventually("the tail of the log", SOON, || async {
        let console = cli.run(&["vm", "logs", "web"]).await.ok();
        let tail = cli.run(&["vm", "logs", "web", "--tail", "2"]).await.ok();
        (console.ends_with(&tail) && tail.lines().count() == 2).then_some(())
    })
    .await;
    let mut follow = cli.command(&["vm", "logs", "web", "--follow", "--tail", "0"]);
    follow.stdout(Stdio::piped());
    let mut follow = follow.spawn().unwrap();
    let mut lines = BufReader::new(follow.stdout.take().unwrap()).lines();
    // The reader may need a moment to be there: what is written before it came is not news.
    let writing = async {
        loop {
            sh(cli, "web", "echo '<1>news of the guest' | sudo tee /dev/kmsg").await;
        }
    };
    let reading = async {
        while let Some(line) = lines.next_line().await.unwrap() {
            if line.contains("news of the guest") {
                return;
            }
        }
        panic!("the log has ended");
    };
    tokio::time::timeout(SOON, async {
        tokio::select! { () = writing => {}, () = reading => {} }
    })
    .await
    .expect("news in the log");
}
