//! How nodes are reached, as a user says it: by the program `ssh`, by keys with a passphrase, with host keys that are new,
//! and what is said where metadata is wrong.

#![allow(clippy::unwrap_used)] // what is not as it must be ends the test

use e2e::{Cli, Fleet, Terminal};
use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf};

const NAME: [&str; 5] = ["run", "--node", "/web/", "-c", "cat ~/name"];

/// A program `ssh` that is the real one, and leaves a line for each call. Its directory, and the lines.
fn watched_ssh(fleet: &Fleet) -> (PathBuf, PathBuf) {
    let dir = fleet.path().parent().unwrap().join("bin");
    let calls = dir.join("calls");
    fs::create_dir_all(&dir).unwrap();
    fs::write(&calls, "").unwrap();
    let script =
        format!("#!/bin/sh\necho \"$*\" >>{}\nPATH=${{PATH#*:}}\nexec ssh \"$@\"\n", calls.display());
    fs::write(dir.join("ssh"), script).unwrap();
    fs::set_permissions(dir.join("ssh"), fs::Permissions::from_mode(0o755)).unwrap();
    (dir, calls)
}

fn configure(fleet: &Fleet, more: &str) {
    let text = format!("platforms:\n  - {{name: lab, type: yaml, path: .}}\n{more}\n");
    fs::write(fleet.path().join("hostler.yaml"), text).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_the_program_ssh_speaks_to_nodes_where_that_is_asked_for() {
    let fleet = Fleet::start(2).await;
    fleet.write_inventory(&[("web1", "transport: openssh")]);
    let (dir, calls) = watched_ssh(&fleet);
    #[allow(clippy::disallowed_methods)] // the search path of the test
    let path = format!("{}:{}", dir.display(), std::env::var("PATH").unwrap());
    let cli = fleet.cli().with("PATH", path);
    let run = async |args: &[&str]| {
        let mut command = cli.command(args);
        command.current_dir(fleet.path());
        Cli::finish(command, b"").await
    };
    let port = |i: usize| format!("port \"{}\"", fleet.nodes()[i].address().port());
    let called = || fs::read_to_string(&calls).unwrap();

    assert_eq!(run(&NAME).await.ok(), "web1\nweb2\n");
    assert!(called().contains(&port(0)) && !called().contains(&port(1)), "{}", called());
    let failed = run(&["run", "-n", "web1", "-c", "echo oh >&2; exit 3"]).await.fails(1);
    assert!(failed.starts_with("oh\n") && failed.contains("ended with 3"), "{failed}");
    let late = run(&["run", "-n", "web1", "--timeout", "1", "-c", "sleep 1000"]).await.fails(1);
    assert!(late.contains("timeout"), "{late}");
    assert_eq!(run(&[&NAME[..], &["--persist=1s"]].concat()).await.ok(), "web1\nweb2\n");

    fs::create_dir_all(fleet.path().join("services/web")).unwrap();
    let service = "steps:\n  - file: {path: ~/motd, content: hello}\n";
    fs::write(fleet.path().join("services/web/service.yaml"), service).unwrap();
    let deploy = "deploy: {state_dir: ~/state, log_dir: ~/log}";
    // For all nodes.
    configure(&fleet, &format!("{deploy}\nssh: {{transport: openssh}}"));
    for changes in ["2 changes", "0 changes"] {
        let ran = run(&["deploy", "--node", "/web/"]).await;
        assert!(ran.code == 0 && ran.stderr.contains(changes), "{ran:?}");
    }
    assert!(called().contains(&port(1)));

    // The host key is looked at as always.
    let stranger = format!("host_keys: ['{}']", fleet.nodes()[1].host_key());
    fleet.write_inventory(&[("web1", &stranger)]);
    assert!(run(&NAME).await.fails(8).contains("unreachable"));
    fleet.write_inventory(&[("web1", "transport: opensh")]);
    let wrong = run(&NAME).await.fails(8);
    assert!(wrong.contains("\"opensh\" is neither openssh nor native"), "{wrong}");
    configure(&fleet, "ssh: {transport: opensh}");
    let wrong = run(&NAME).await.fails(2);
    assert!(wrong.contains("hostler.yaml:3:18") && wrong.contains("did you mean 'openssh'"), "{wrong}");
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_a_shell_over_the_program_ssh_has_the_terminal() {
    let fleet = Fleet::start(1).await;
    fleet.write_inventory(&[("web1", "transport: openssh")]);
    let dir = fleet.path().display().to_string();
    let args = ["run", "--node", "web1", "--interactive", "--fleet-dir", &dir];
    let mut terminal = Terminal::start(&fleet.cli(), &args, (31, 97));
    terminal.see("a shell on web1").await;
    terminal.type_in("cat ~/name; stty size\n");
    terminal.see("web1\r\n31 97\r\n").await;
    terminal.resize(20, 60);
    terminal.type_in("sleep 1; stty size; exit\n");
    terminal.see("20 60\r\n").await;
    assert_eq!(terminal.end().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_a_passphrase_is_asked_for_once_on_a_terminal() {
    let fleet = Fleet::start(2).await;
    let key = fleet.path().join("locked");
    fs::copy(fleet.nodes()[0].identity(), &key).unwrap();
    let mut keygen = rt::process::command("ssh-keygen");
    keygen.args(["-q", "-p", "-P", "", "-N", "open sesame", "-f"]).arg(&key);
    assert!(keygen.status().await.unwrap().success());
    let line = format!("ssh_private_key_file: {}", key.display());
    fleet.write_inventory(&[("web1", &line), ("web2", &line)]);

    let dir = fleet.path().display().to_string();
    let one = ["run", "--node", "web1", "--fleet-dir", &dir, "-c", "cat ~/name"];
    let mut terminal = Terminal::start(&fleet.cli(), &one, (24, 200));
    terminal.see("passphrase of ").await;
    terminal.type_in("wrong\n");
    terminal.see("that was not it; passphrase of ").await;
    terminal.type_in("open sesame\n");
    terminal.see("web1\r\n").await;
    assert_eq!(terminal.end().await, 0);

    // Nobody is there: it is said which key stays closed, and what to do.
    let refused = fleet.run(&NAME).await.fails(1);
    assert!(refused.contains("stays closed") && refused.contains("ssh-add "), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_new_host_keys_are_said_and_pinned_ones_stay() {
    let fleet = Fleet::start(1).await;
    let node = &fleet.nodes()[0];
    let (ip, port, user) = (node.address().ip(), node.address().port(), node.user());
    let inventory = |more: &str| {
        let key = node.identity();
        let key = key.display();
        let text = format!(
            "web1: {{metadata: {{host_ip: {ip}, ssh_port: {port}, ssh_user: {user}, ssh_private_key_file: {key}{more}}}}}\n"
        );
        fs::write(fleet.path().join("inventory.yaml"), text).unwrap();
    };
    inventory("");
    fs::create_dir_all(fleet.cli().home().join(".ssh")).unwrap();
    let first = [&NAME[..], &["--host-keys", "first-use"]].concat();
    let ran = fleet.run(&first).await;
    assert!(ran.stderr.contains("web1 is believed to be SHA256:"), "{ran:?}");
    assert_eq!(ran.ok(), "web1\n");
    assert_eq!(fleet.run(&first).await.stderr, "");

    // What the inventory says counts before what is believed.
    let stranger = ssh::KeyPair::generate().public_openssh().unwrap();
    inventory(&format!(", host_keys: ['{}']", stranger.trim()));
    let refused = fleet.run(&NAME).await.fails(1);
    assert!(
        refused.contains("correct its host_keys: ") && refused.contains("inventory.yaml:1:1"),
        "{refused}"
    );
    let refused = fleet.run(&["node", "trust", "web1"]).await.fails(6);
    assert!(refused.contains("nothing was changed") && refused.contains("inventory.yaml:1:1"), "{refused}");
    inventory(&format!(", host_keys: ['{} of the rack']", node.host_key().trim()));
    fleet.run(&["node", "trust", "web1"]).await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_an_address_that_is_not_that_of_the_name_needs_a_master() {
    let fleet = Fleet::start(1).await;
    fleet.write_inventory(&[("web1", "hostname: 127.0.0.2")]);
    for verb in [&NAME[..], &["check", "--all"]] {
        let told = fleet.run(verb).await.fails(6);
        assert!(told.contains("two sources disagree about host_ip of web1"), "{told}");
        assert!(
            told.contains("inventory.yaml:3:1") && told.contains("metadata_masters: {host_ip: inventory}"),
            "{told}"
        );
    }
    configure(&fleet, "metadata_masters: {host_ip: inventory}");
    assert_eq!(fleet.run(&NAME).await.ok(), "web1\n");
    // A name that nobody knows contradicts nothing.
    configure(&fleet, "");
    fleet.write_inventory(&[("web1", "hostname: web1.invalid")]);
    assert_eq!(fleet.run(&NAME).await.ok(), "web1\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_wrong_ways_are_told_with_their_place() {
    let fleet = Fleet::start(1).await;
    for (line, words) in [
        ("ssh_options: {Prot: 22}", "'prot' is not a keyword of ssh_config"),
        ("host_keys: [garbage]", "'garbage' is not a host key"),
        ("hostname: 3", "3 is not a text"),
        ("ssh_port: 99999", "99999 is not a port"),
    ] {
        fleet.write_inventory(&[("web1", line)]);
        let told = fleet.run(&NAME).await.fails(1);
        assert!(told.contains(words) && told.contains("inventory.yaml:3:1"), "{line}: {told}");
    }
    fleet.write_inventory(&[("web1", "ssh_private_key_file: ~/no-key")]);
    let told = fleet.run(&NAME).await.fails(1);
    assert!(told.contains("there is no key in ") && told.contains("/no-key"), "{told}");
    // Once, not for each node.
    let told = fleet.run(&[&NAME[..], &["--ssh-config", "nope"]].concat()).await.fails(5);
    assert_eq!(told, "error: --ssh-config: there is no SSH configuration at nope\n");
}
