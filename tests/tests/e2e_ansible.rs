//! Inventories of Ansible as platforms: what its patterns select, and logins and other users as its variables say.

#![allow(clippy::unwrap_used)] // what is not as it must be ends the test

use e2e::{Fleet, binary, skip};
use std::{fmt::Write as _, fs, process::Stdio, time::Duration};
use testkit::hosts::{self, Host, Network};

const SOON: Duration = Duration::from_mins(2);

async fn has_ansible(test: &str) -> bool {
    let mut probe = rt::process::command("ansible");
    probe.arg("--version");
    let found = probe.status().await.is_ok();
    if !found {
        skip(test, "ansible-core is not installed");
    }
    found
}

const GROUPS: &str = "[web]\nweb[1:4]\n[db]\ndb1\n[prod]\nweb1\nweb3\ndb1\n[site:children]\nweb\ndb\n";

#[tokio::test(flavor = "multi_thread")]
async fn e2e_patterns_select_what_ansible_selects() {
    if !has_ansible("e2e_patterns_select_what_ansible_selects").await {
        return;
    }
    let fleet = Fleet::start(0).await;
    fs::write(fleet.path().join("hosts.ini"), GROUPS).unwrap();
    fs::write(fleet.path().join("hostler.yaml"), "platforms: [{type: ansible, path: hosts.ini}]\n").unwrap();
    for pattern in ["all", "web:&prod:!web3", "web[1:2]", "~web[24]", "site:!db", "w*,db1", "db:web[0]"] {
        let mut ansible = rt::process::command("ansible");
        ansible.args(["-i", "hosts.ini", pattern, "--list-hosts"]).current_dir(fleet.path());
        let there = ansible.stdout(Stdio::piped()).output().await.unwrap();
        assert!(there.status.success(), "{pattern}");
        let there = String::from_utf8(there.stdout).unwrap();
        let mut wanted: Vec<&str> = there.lines().skip(1).map(str::trim).collect();
        wanted.sort_unstable();
        let here = fleet.run(&["node", "list", "--pattern", pattern, "-o", "name"]).await.ok();
        assert_eq!(here.lines().collect::<Vec<_>>(), wanted, "{pattern}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_connection_variables_lead_to_the_servers() {
    let fleet = Fleet::start(2).await;
    let mut known = String::new();
    let mut lines = String::from("[web]\n");
    for (i, node) in fleet.nodes().iter().enumerate() {
        let (ip, port) = (node.address().ip(), node.address().port());
        let (user, key) = (node.user(), node.identity());
        writeln!(known, "[{ip}]:{port} {}", node.host_key()).unwrap();
        writeln!(
            lines,
            "web{} ansible_host={ip} ansible_port={port} ansible_user={user} ansible_ssh_private_key_file={}",
            i + 1,
            key.display()
        )
        .unwrap();
    }
    let book = fleet.path().join("known");
    fs::write(&book, known).unwrap();
    let options = format!("-o UserKnownHostsFile={} -o StrictHostKeyChecking=yes", book.display());
    writeln!(lines, "[web:vars]\nansible_ssh_common_args='{options}'").unwrap();
    lines += "[far]\nwin ansible_connection=winrm\n[here]\nme ansible_connection=local\n";
    fs::write(fleet.path().join("hosts.ini"), lines).unwrap();
    fs::write(fleet.path().join("hostler.yaml"), "platforms: [{type: ansible, path: hosts.ini}]\n").unwrap();
    let run = async |pattern: &str| {
        fleet.run(&["run", "--pattern", pattern, "-c", "cat ~/name 2>/dev/null || echo here"]).await
    };
    assert_eq!(run("web").await.ok(), "web1\nweb2\n");
    assert_eq!(run("web:!web1:here").await.ok(), "here\nweb2\n");
    let refused = run("web1:far").await.fails(8);
    assert!(refused.contains("this node cannot be reached") && refused.contains("winrm"), "{refused}");

    // The host key is really looked at.
    fs::write(&book, "").unwrap();
    let unknown = run("web2").await.fails(1);
    assert!(unknown.contains("host key") || unknown.contains("HOST KEY"), "{unknown}");
}

const NAME: &str = "e2e_passwords_of_a_vault_open_logins_and_other_users_and_show_nowhere";
const LOGIN: &str = "canary-of-the-login";
const SUDO: &str = "canary-of-root";

/// A user who logs in with a password, and what each host lets this user do.
async fn furnish(host: &Host, sudoers: &str) {
    let script = format!(
        "set -e; useradd -m -s /bin/sh deploy; echo 'deploy:{LOGIN}' | chpasswd; echo 'root:{SUDO}' | chpasswd\n\
         mkdir -p /etc/sudoers.d; rm -f /etc/sudoers.d/*\n\
         printf 'Defaults rootpw\\nroot ALL=(ALL:ALL) ALL\\n{sudoers}\\n' >/etc/sudoers; chmod 440 /etc/sudoers\n\
         printf 'permit nopass deploy as root\\n' >/etc/doas.conf; chmod 600 /etc/doas.conf"
    );
    host.run(&script).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_passwords_of_a_vault_open_logins_and_other_users_and_show_nowhere() {
    if let Some(reason) = hosts::missing().await {
        skip(NAME, &reason);
        return;
    }
    if !has_ansible(NAME).await {
        return;
    }
    let program = binary().canonicalize().unwrap();
    let names = ["asks.example.org", "free.example.org"];
    let network = Network::start(&names, &[program.parent().unwrap()]).await.unwrap();
    let (operator, [asks, free]) = (network.operator(), network.hosts()) else { panic!("two hosts") };
    furnish(asks, "deploy ALL=(ALL:ALL) ALL").await;
    furnish(free, "deploy ALL=(ALL:ALL) NOPASSWD: ALL").await;

    let fleet = operator.root().join("root/fleet");
    fs::create_dir_all(fleet.join("group_vars")).unwrap();
    let write = |name: &str, text: &str| fs::write(fleet.join(name), text).unwrap();
    write("hostler.yaml", "platforms: [{type: ansible, path: hosts.ini, vault_password_file: vault}]\n");
    write(
        "hosts.ini",
        "[all:vars]\nansible_user=deploy\nansible_become=true\n[lab]\nasks ansible_host=asks.example.org\n\
         free ansible_host=free.example.org\n[lab:vars]\nplain=seen\n\
         [here]\nlocal ansible_connection=local ansible_become=false\n",
    );
    write("vault", "the password of the vault\n");
    write(
        "group_vars/lab.yml",
        &format!(
            "ansible_password: {LOGIN}\nansible_become_password: {SUDO}\ntoken: canary-of-an-application\n"
        ),
    );
    let encrypt = "cd /root/fleet && ansible-vault encrypt --vault-password-file vault group_vars/lab.yml >/dev/null 2>&1; \
         mkdir -p /root/.ssh; for h in asks free; do ssh-keyscan -t ed25519 $h.example.org; done >>/root/.ssh/known_hosts 2>/dev/null";
    operator.run(encrypt).await.unwrap();
    let vault = fs::read_to_string(fleet.join("group_vars/lab.yml")).unwrap();
    assert!(vault.starts_with("$ANSIBLE_VAULT") && !vault.contains("canary"), "{vault}");

    let hostler = async |args: &str| {
        let mut sh = operator.command("sh");
        // A login by key would prove nothing.
        sh.args(["-c", &format!("cd /root/fleet && rm -f ~/.ssh/id_*; {} {args} 2>&1", program.display())]);
        let output = rt::clock::timeout(SOON, "hostler", sh.stdout(Stdio::piped()).output()).await.unwrap();
        let output = output.unwrap();
        (output.status.code().unwrap(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    // Who runs, and all that any process on the way was called with.
    write("look.sh", "id -un; cat /proc/[0-9]*/cmdline >/tmp/argv-$(id -un)\n");
    assert_eq!(hostler("run --all --script look.sh").await, (0, "root\nroot\nroot\n".into()));
    for host in [operator, asks, free] {
        let argv = fs::read(host.root().join("tmp/argv-root")).unwrap();
        let argv = String::from_utf8_lossy(&argv).replace('\0', " ");
        assert!(argv.contains("sh") && !argv.contains("canary"), "{}: {argv}", host.name());
    }
    let (code, shown) = hostler("run --pattern lab -c 'echo canary-of-the-login, canary-of-root'").await;
    assert!(code == 0 && !shown.contains("canary"), "{shown}");
    let (code, shown) = hostler("node list -o json").await;
    assert!(code == 0 && shown.contains("seen") && !shown.contains("canary"), "{shown}");

    // Without the password the one that asks is told apart from the one that does not.
    write(
        "hosts.ini",
        &format!(
            "[all:vars]\nansible_user=deploy\nansible_become=true\nansible_password={LOGIN}\n[x]\nasks ansible_host=asks.example.org\n\
         free ansible_host=free.example.org\n"
        ),
    );
    let (code, shown) = hostler("run --all -c 'id -un'").await;
    assert!(code == 8 && shown.contains("sudo asks for a password to run as 'root'"), "{shown}");
    assert!(shown.contains("2 nodes: 1 ok, 1 failed"), "{shown}");

    // su asks in words of its own; doas is allowed without a password.
    write(
        "hosts.ini",
        &format!(
            "[all:vars]\nansible_user=deploy\nansible_become=true\nansible_password={LOGIN}\n[x]\n\
         asks ansible_host=asks.example.org ansible_become_method=su ansible_become_password={SUDO}\n\
         free ansible_host=free.example.org ansible_become_method=doas\n"
        ),
    );
    assert_eq!(hostler("run --all -c 'id -un'").await, (0, "root\nroot\n".into()));
    write(
        "hosts.ini",
        &format!(
            "[all:vars]\nansible_user=deploy\nansible_become=true\nansible_password={LOGIN}\n[x]\n\
         asks ansible_host=asks.example.org ansible_become_password=wrong\n\
         free ansible_host=free.example.org ansible_become_user=nobody\n"
        ),
    );
    let (code, shown) = hostler("run --all -c 'id -un'").await;
    assert!(code == 8 && shown.contains("nobody") && shown.contains("does not take the password"), "{shown}");
}
