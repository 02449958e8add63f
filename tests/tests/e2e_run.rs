//! `hostler run` on real SSH servers: what it shows, how it ends, and its bad days.

#![allow(clippy::unwrap_used, clippy::expect_used)] // what tests share is test code too

use e2e::{Cli, Fleet, Ran, alive, eventually};
use std::{fs, process::Stdio, time::Duration};
use testkit::fault_proxy::FaultProxy;
use tokio::io::AsyncReadExt;

const SOON: Duration = Duration::from_mins(1);

#[tokio::test(flavor = "multi_thread")]
async fn e2e_output_is_node_after_node_as_the_nodes_say_it() {
    let fleet = Fleet::start(11).await;
    let sorted = "web1\nweb10\nweb11\nweb2\nweb3\nweb4\nweb5\nweb6\nweb7\nweb8\nweb9\n";
    let ran = fleet.run(&["run", "--all", "--exclude", "local", "--command", "cat ~/name"]).await;
    assert_eq!((ran.stderr.as_str(), ran.code, ran.stdout.as_str()), ("", 0, sorted));

    let two = ["run", "--node", "/web[12]$/", "--command", "echo I am", "-c", "cat ~/name"];
    assert_eq!(fleet.run(&two).await.ok(), "I am\nweb1\nI am\nweb2\n");
    fs::write(fleet.path().join("lines"), "echo From a file\ncat ~/name\n").unwrap();
    let file = ["run", "--node", "web3", "--commands-file", "lines"];
    assert_eq!(fleet.run(&file).await.ok(), "From a file\nweb3\n");
    fs::write(fleet.path().join("p.py"), "#!/usr/bin/env python3\nprint(6 * 7)\n").unwrap();
    assert_eq!(fleet.run(&["run", "-n", "web1", "--script", "p.py"]).await.ok(), "42\n");
    let variables = ["run", "-n", "web1", "--env", "A=it's", "-c", "echo $A $HERE", "--env", "HERE"];
    let mut command = fleet.command(&variables);
    command.env("HERE", "and there");
    assert_eq!(Cli::finish(command, b"").await.ok(), "it's and there\n");
    assert_eq!(fleet.run(&["run", "-n", "local", "-c", "echo $((1+1))"]).await.ok(), "2\n");

    let group = ["run", "-n", "web2", "-n", "web1", "-c", "cat ~/name", "--output-style", "group"];
    let ran = fleet.run(&group).await;
    assert_eq!(
        (ran.stderr.as_str(), ran.stdout.as_str()),
        ("2 nodes: 2 ok\n", "== web1\nweb1\n== web2\nweb2\n")
    );
    let prefix =
        ["run", "-n", "web1", "-n", "web10", "-c", "cat ~/name", "--output-style", "prefix", "--serial", "1"];
    assert_eq!(fleet.run(&prefix).await.ok(), "web1  | web1\nweb10 | web10\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_parallel_writes_a_file_for_each_node_and_one_bar() {
    let fleet = Fleet::start(3).await;
    fs::create_dir(fleet.path().join("run_logs")).unwrap();
    fs::write(fleet.path().join("run_logs/web1.stdout"), "of an earlier run, and long\n").unwrap();
    let ran = fleet.run(&["run", "--all", "-p", "-c", "cat ~/name; echo complaint >&2"]).await;
    assert_eq!((ran.code, ran.stdout.as_str()), (0, ""));
    let bar = ran.stderr.trim_end();
    assert!(bar.starts_with("Executing actions [100%] - |"), "{bar}");
    assert!(bar.ends_with("C| - [ Queue: 0 - Processing: 0 - Done: 4 - Total: 4 ]"), "{bar}");
    assert_eq!(bar.lines().count(), 1);
    assert_eq!(fleet.file("run_logs/web1.stdout").unwrap(), "web1\ncomplaint\n");
    assert_eq!(fleet.file("run_logs/web3.stdout").unwrap(), "web3\ncomplaint\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_failures_are_told_apart_and_can_be_run_again() {
    let fleet = Fleet::start(4).await;
    let silent = FaultProxy::start(fleet.nodes()[2].address()).await.unwrap();
    silent.stall(true);
    let port = format!("ssh_port: {}", silent.address().port());
    let stranger = format!("host_keys: ['{}']", fleet.nodes()[0].host_key());
    let quick = "ssh_options: {ConnectTimeout: 2}";
    fleet.write_inventory(&[("web2", "ssh_port: 1"), ("web3", &port), ("web3", quick), ("web4", &stranger)]);
    let script = "test -z \"$SSH_CONNECTION\" && exit 3; echo fine";
    let args = ["run", "--all", "-c", script, "--junit", "r.xml"];
    let ran = fleet.run(&args).await;
    assert_eq!((ran.code, ran.stdout.as_str()), (8, "fine\n"), "{}", ran.stderr);
    let told = |node: &str| {
        let line = ran.stderr.lines().find(|l| l.split_whitespace().next() == Some(node));
        line.unwrap_or_else(|| panic!("{node} in {}", ran.stderr)).to_owned()
    };
    assert!(told("local").contains(" failed ") && told("local").contains("ended with 3"));
    assert!(told("web2").contains("unreachable") && told("web2").contains("refused"));
    assert!(told("web3").contains("unreachable"));
    assert!(told("web4").contains("HOST KEY"));
    assert!(ran.stderr.contains("5 nodes: 1 ok, 1 failed, 3 unreachable"));
    let xml = fleet.file("r.xml").unwrap();
    assert!(xml.contains(r#"tests="5" failures="4""#), "{xml}");
    assert!(xml.contains("<system-out>fine\n</system-out>"), "{xml}");

    // Those that were not well, and no other.
    let again = ["run", "--rerun-failed", "-c", "echo again", "-o", "json"];
    let ran = fleet.run(&again).await;
    assert_eq!(ran.code, 8);
    let answer: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    let items = answer["items"].as_array().unwrap();
    let pairs: Vec<_> =
        items.iter().map(|i| (i["node"].as_str().unwrap(), i["status"].as_str().unwrap())).collect();
    let lost = "unreachable";
    assert_eq!(pairs, [("local", "ok"), ("web2", lost), ("web3", lost), ("web4", lost)]);
    assert_eq!(items[0]["stdout"], "again\n");
    assert_eq!(items[1]["error"]["code"], "unavailable");

    // Repaired, the rest is well, and then there is nothing left to do.
    fleet.write_inventory(&[]);
    assert_eq!(fleet.run(&["run", "--rerun-failed", "-c", "cat ~/name"]).await.ok(), "web2\nweb3\nweb4\n");
    fleet.run(&["run", "--rerun-failed", "-c", "true"]).await.fails(5);

    let all = fleet.run(&["run", "-n", "web1", "-n", "web2", "-c", "exit 7"]).await;
    assert!(all.fails(1).contains("2 nodes: 2 failed"));
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_a_command_that_hangs_is_ended_with_all_that_it_started() {
    let fleet = Fleet::start(2).await;
    let script = "test $(cat ~/name) = web1 || exit 0; sleep 1000 & echo $! > ~/pid; sleep 1000";
    let ran = fleet.run(&["run", "--node", "/web/", "--timeout", "1", "-c", script]).await;
    let table = ran.fails(8);
    assert!(table.contains("web1") && table.contains("timeout"), "{table}");
    let pid: u32 = fs::read_to_string(fleet.nodes()[0].home().join("pid")).unwrap().trim().parse().unwrap();
    ended(pid).await;
}

async fn ended(pid: u32) {
    eventually("the end of the process", SOON, || async { (!alive(pid)).then_some(()) }).await;
}

/// Starts a call, and waits until each of these nodes has written the file `pid`.
async fn started(fleet: &Fleet, args: &[&str], nodes: &[usize]) -> (tokio::process::Child, Vec<u32>) {
    let mut command = fleet.command(args);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    let mut pids = Vec::new();
    for number in nodes {
        let path = fleet.nodes()[number - 1].home().join("pid");
        let read = || async { fs::read_to_string(&path).ok()?.trim().parse::<u32>().ok() };
        pids.push(eventually("the start of the command", SOON, read).await);
    }
    (child, pids)
}

async fn end(child: tokio::process::Child) -> Ran {
    let output = tokio::time::timeout(SOON, child.wait_with_output()).await.expect("it ends").unwrap();
    Ran {
        code: output.status.code().unwrap_or(255),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

fn interrupt(child: &tokio::process::Child) {
    rt::process::signal(child.id().unwrap(), rt::process::Signal::INT).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_the_first_interrupt_lets_commands_end_the_second_cuts_them() {
    let fleet = Fleet::start(3).await;
    let script = "echo $$ > ~/pid; while ! test -e ~/go; do sleep 0.05; done; echo done";
    let args = ["run", "--node", "/web/", "--forks", "2", "-c", script];
    let (child, _) = started(&fleet, &args, &[1, 2]).await;
    interrupt(&child);
    rt::clock::sleep(Duration::from_millis(300)).await;
    for node in fleet.nodes() {
        fs::write(node.home().join("go"), "").unwrap();
    }
    let ran = end(child).await;
    assert_eq!((ran.code, ran.stdout.as_str()), (130, "done\ndone\n"), "{}", ran.stderr);
    assert!(ran.stderr.contains("not begun because of the interrupt"), "{}", ran.stderr);
    assert!(ran.stderr.contains("3 nodes: 2 ok, 1 cancelled"), "{}", ran.stderr);

    for node in fleet.nodes() {
        fs::remove_file(node.home().join("go")).unwrap();
        let _ = fs::remove_file(node.home().join("pid"));
    }
    let (child, pids) = started(&fleet, &args, &[1, 2]).await;
    interrupt(&child);
    rt::clock::sleep(Duration::from_millis(300)).await;
    interrupt(&child);
    let ran = end(child).await;
    assert_eq!(ran.code, 130);
    assert!(ran.stderr.contains("3 nodes: 3 cancelled"), "{}", ran.stderr);
    for pid in pids {
        ended(pid).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_a_killed_run_leaves_nothing_on_the_nodes() {
    let fleet = Fleet::start(1).await;
    let args = ["run", "--node", "web1", "-c", "sleep 1000 & echo $! > ~/pid; sleep 1000"];
    let (mut child, pids) = started(&fleet, &args, &[1]).await;
    child.kill().await.unwrap();
    ended(pids[0]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_a_connection_that_breaks_half_way_is_told_and_not_repeated() {
    let fleet = Fleet::start(2).await;
    let proxy = FaultProxy::start(fleet.nodes()[0].address()).await.unwrap();
    let port = format!("ssh_port: {}", proxy.address().port());
    fleet.write_inventory(&[("web1", &port)]);
    let script = "test $(cat ~/name) = web2 && exit 0; echo x >> ~/times; echo $$ > ~/pid; sleep 1000";
    let args = ["run", "--node", "/web/", "--retry", "3", "-c", script];
    let (child, pids) = started(&fleet, &args, &[1]).await;
    proxy.cut();
    let ran = end(child).await;
    let table = ran.fails(8);
    assert!(table.contains("unreachable") && table.contains("connection was lost"), "{table}");
    ended(pids[0]).await;
    assert_eq!(fs::read_to_string(fleet.nodes()[0].home().join("times")).unwrap(), "x\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_secrets_show_in_no_output_log_report_or_argv() {
    let fleet = Fleet::start(2).await;
    let canary = "canary-7f3a91c2";
    fs::write(fleet.path().join("s.json"), format!("{{\"db\": {{\"password\": \"{canary}\"}}}}")).unwrap();
    let script = "echo $$ > ~/pid; printf canary-7f; sleep 0.2; echo 3a91c2; echo \"$DB\"; echo \"$DB\" >&2; \
                  test -n \"$DB\" && while ! test -e ~/go; do sleep 0.05; done; exit 4";
    let shared = ["--secrets", "s.json", "--secret-env", "DB=db.password", "--log-filter", "trace"];
    let args = [&["run", "--node", "/web/", "-c", script, "--junit", "r.xml"], &shared[..]].concat();
    let (child, _) = started(&fleet, &args, &[1, 2]).await;
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        assert!(!String::from_utf8_lossy(&line).contains(canary), "{:?}", entry.path());
    }
    for node in fleet.nodes() {
        fs::write(node.home().join("go"), "").unwrap();
    }
    let ran = end(child).await;
    assert_eq!(ran.code, 1);
    assert!(ran.stdout.contains("********"), "{}", ran.stdout);
    let logged = [&["run", "--node", "/web/", "-c", script, "--parallel"], &shared[..]].concat();
    let logged = fleet.run(&logged).await;
    let data = [&["run", "--node", "/web/", "-c", script, "-o", "json"], &shared[..]].concat();
    let data = fleet.run(&data).await;
    let files = ["r.xml", "run_logs/web1.stdout", "run_logs/web2.stdout"].map(|f| fleet.file(f).unwrap());
    let outputs = [ran.stdout, ran.stderr, logged.stdout, logged.stderr, data.stdout, data.stderr];
    for text in outputs.iter().chain(&files) {
        assert!(!text.contains(canary), "{text}");
    }
    assert!(files.iter().all(|text| text.contains("********")));
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_much_output_is_streamed_and_never_collected() {
    let fleet = Fleet::start(2).await;
    // web1 says a gigabyte; web2 waits for its turn meanwhile. Slow readers hold back, here for a moment.
    let script = "test $(cat ~/name) = web1 && exec head -c 1000000000 /dev/zero; head -c 30000000 /dev/zero";
    let mut command = fleet.command(&["run", "--node", "/web/", "-c", script]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
    let mut child = command.spawn().unwrap();
    let pid = child.id().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    rt::clock::sleep(Duration::from_secs(1)).await;
    let (mut total, mut peak, mut buffer) = (0_usize, 0_u64, vec![0; 1 << 20]);
    loop {
        let n = stdout.read(&mut buffer).await.unwrap();
        if n == 0 {
            break;
        }
        if total / 50_000_000 != (total + n) / 50_000_000 {
            peak = peak.max(resident(pid));
        }
        total += n;
    }
    assert!(child.wait().await.unwrap().success());
    assert_eq!(total, 1_030_000_000);
    assert!(peak > 0 && peak < 150 << 20, "{} MiB", peak >> 20);
}

/// Bytes of memory of a process.
fn resident(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("0 kB");
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or(0) << 10
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_bytes_that_are_no_text_come_through() {
    let fleet = Fleet::start(1).await;
    let bytes: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    fs::write(fleet.nodes()[0].home().join("bytes"), &bytes).unwrap();
    let mut command = fleet.command(&["run", "--node", "web1", "-c", "cat ~/bytes"]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = command.output().await.unwrap();
    assert!(output.status.success());
    assert!(output.stdout == bytes);
    fleet.run(&["run", "--node", "web1", "-c", "cat ~/bytes", "-p"]).await.ok();
    assert!(fs::read(fleet.path().join("run_logs/web1.stdout")).unwrap() == bytes);
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_two_runs_at_once_do_not_mix() {
    let fleet = Fleet::start(3).await;
    let one =
        ["run", "--node", "/web/", "-p", "--output-dir", "one", "-c", "echo one; sleep 0.3; cat ~/name"];
    let two =
        ["run", "--node", "/web/", "-p", "--output-dir", "two", "-c", "echo two; sleep 0.3; cat ~/name"];
    let (first, second) = tokio::join!(fleet.run(&one), fleet.run(&two));
    first.ok();
    second.ok();
    assert_eq!(fleet.file("one/web2.stdout").unwrap(), "one\nweb2\n");
    assert_eq!(fleet.file("two/web2.stdout").unwrap(), "two\nweb2\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_a_full_disk_under_the_logs_is_told() {
    let fleet = Fleet::start(1).await;
    fs::create_dir(fleet.path().join("small")).unwrap();
    let probe = rt::process::command("unshare").args(["--mount", "true"]).status().await;
    if !probe.is_ok_and(|status| status.success()) {
        return e2e::skip("e2e_a_full_disk_under_the_logs_is_told", "this machine gives no mount namespaces");
    }
    let line = "mount -t tmpfs -o size=64k none small && \"$0\" run --node web1 -p --output-dir small \
                -c 'head -c 1000000 /dev/zero; echo end > ~/end'";
    let mut shell = rt::process::command("unshare");
    shell.args(["--mount", "sh", "-c", line]).arg(e2e::binary());
    fleet.cli().dress(&mut shell);
    shell.current_dir(fleet.path());
    let ran = Cli::finish(shell, b"").await;
    let said = ran.fails(1);
    assert!(said.contains("web1.stdout") && said.contains("No space left"), "{said}");
    assert!(fleet.nodes()[0].home().join("end").exists(), "the command goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_a_wrong_use_says_what_to_do() {
    let fleet = Fleet::start(0).await;
    assert!(fleet.run(&["run", "--all"]).await.fails(2).contains("--script"));
    fleet.run(&["run", "-c", "true"]).await.fails(2);
    assert!(fleet.run(&["run", "-n", "web9", "-c", "true"]).await.fails(5).contains("web9"));
    let preview = fleet.run(&["run", "--all", "-s", "-c", "rm -rf /", "--become"]).await.ok();
    assert_eq!(preview, "local (this host, as root)\n    rm -rf /\n");
    for (more, words) in [
        (["--env", "1A=b"], "'1A' is not the name of a variable"),
        (["--secret-env", "A-B=c"], "'A-B' is not the name of a variable"),
        (["--env", "HOSTLER_TEST_NOWHERE"], "there is no variable HOSTLER_TEST_NOWHERE here"),
        (["--timeout", "0"], "nothing ends within no time"),
    ] {
        let said = fleet.run(&[&["run", "--all", "-c", "true"], &more[..]].concat()).await.fails(2);
        assert!(said.contains(words), "{said}");
    }
    let said = fleet.run(&["run", "--all", "--interactive", "--env", "A=b"]).await.fails(2);
    assert!(said.contains("cannot be used with"), "{said}");
    // A report that cannot be written takes nothing else away.
    let said = fleet.run(&["run", "--all", "-c", "exit 3", "--junit", "nowhere/r.xml"]).await.fails(5);
    assert!(said.contains("ended with 3") && said.contains("--junit: cannot write nowhere/r.xml"), "{said}");
}
