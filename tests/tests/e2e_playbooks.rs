//! Playbooks and roles of Ansible as steps of services, run by the real `ansible-playbook` on real servers.

#![allow(clippy::unwrap_used)] // what is not as it must be ends the test

use e2e::{Cli, Fleet, binary, skip};
use std::{fs, process::Stdio, time::Duration};
use testkit::hosts::{self, Network};

/// Whether there is an Ansible; says so where there is none.
async fn has_ansible(test: &str) -> bool {
    let mut probe = rt::process::command("ansible-playbook");
    probe.arg("--version");
    let found = probe.status().await.is_ok();
    if !found {
        skip(test, "ansible-core is not installed");
    }
    found
}

const PLAYBOOK: &str = "- hosts: web\n  tasks:\n    - name: a greeting\n      copy: {dest: \"{{ home }}/greeting\", content: \"{{ word }} from {{ inventory_hostname }}\\n\"}\n";
const ROLE: &str =
    "- name: a place\n  file: {path: \"{{ home }}/place\", state: directory, mode: \"0750\"}\n";

/// Two servers with a playbook and a role each.
async fn fleet() -> Fleet {
    let fleet = Fleet::start(2).await;
    let homes: Vec<String> =
        fleet.nodes().iter().map(|node| format!("home: {}", node.home().display())).collect();
    fleet.write_inventory(&[("web1", &homes[0]), ("web2", &homes[1])]);
    let write = |name: &str, text: &str| {
        let path = fleet.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("groups.yaml", "web: {nodes: [/^web/]}\n");
    let dirs = fleet.path().join("node");
    write(
        "hostler.yaml",
        &format!(
            "platforms:\n  - {{name: lab, type: yaml, path: .}}\ndeploy: {{state_dir: {0}/state, log_dir: {0}/log}}\n",
            dirs.display()
        ),
    );
    let steps =
        "steps:\n  - ansible: {playbook: site.yml, vars: {word: hello}}\n  - ansible: {role: place}\n";
    write("services/web/service.yaml", steps);
    write("services/web/site.yml", PLAYBOOK);
    write("services/web/roles/place/tasks/main.yml", ROLE);
    fleet
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_playbooks_and_roles_are_checked_and_deployed() {
    if !has_ansible("e2e_playbooks_and_roles_are_checked_and_deployed").await {
        return;
    }
    let fleet = fleet().await;
    let both = ["-n", "web1", "-n", "web2"];
    let checked = fleet.run(&[&["check"], both.as_slice()].concat()).await;
    let stderr = checked.stderr.clone();
    let shown = checked.ok();
    assert!(shown.contains("+hello from web1") && shown.contains("+hello from web2"), "{shown}");
    assert!(stderr.contains("2 nodes: 0 changes, 4 unknown (scripts, which may write)"), "{stderr}");
    assert!(fleet.nodes().iter().all(|node| !node.home().join("greeting").exists()));

    let deploy = [&["deploy", "-o", "json"], both.as_slice()].concat();
    let done = fleet.run(&deploy).await.json();
    for (i, node) in fleet.nodes().iter().enumerate() {
        let text = fs::read_to_string(node.home().join("greeting")).unwrap();
        assert_eq!(text, format!("hello from web{}\n", i + 1));
        assert!(node.home().join("place").is_dir());
        let item = &done["items"][i];
        assert_eq!(item["changed"], 2, "{item}");
        let tasks = item["playbooks"][0]["tasks"].as_array().unwrap();
        let greeting = tasks.iter().find(|task| task["name"] == "a greeting").unwrap();
        assert_eq!(greeting["status"], "changed");
        // One login of ours and one of each call of Ansible, for the check and for the deployment.
        assert!(node.log().matches("Accepted publickey").count() <= 6, "{}", node.log());
    }
    let again = fleet.run(&deploy).await.json();
    assert_eq!(
        (again["items"][0]["changed"].as_u64(), again["items"][1]["changed"].as_u64()),
        (Some(0), Some(0))
    );

    // A task that fails ends the node's deployment, and its words are in the result.
    fs::write(
        fleet.path().join("services/web/site.yml"),
        "- hosts: web\n  tasks: [{name: no, fail: {msg: not today}}]\n",
    )
    .unwrap();
    assert!(fleet.run(&["deploy", "-n", "web1"]).await.fails(1).contains("failed"));
    let mut missing = fleet.command(&["check", "-n", "web1"]);
    let bin = fleet.path().join("bin");
    fs::create_dir(&bin).unwrap();
    for tool in ["sh", "bash", "cat", "printf", "sleep"] {
        std::os::unix::fs::symlink(format!("/bin/{tool}"), bin.join(tool)).unwrap();
    }
    missing.env("PATH", &bin);
    let told = Cli::finish(missing, b"").await.fails(1);
    assert!(told.contains("there is no ansible-playbook on this machine"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_a_plan_of_a_playbook_holds_for_its_files_and_variables_only() {
    if !has_ansible("e2e_a_plan_of_a_playbook_holds_for_its_files_and_variables_only").await {
        return;
    }
    let fleet = fleet().await;
    fleet.run(&["check", "-n", "web1", "-o", "plan.json"]).await.ok();
    for (name, more) in [
        ("services/web/site.yml", "# a remark\n"),
        ("services/web/roles/place/tasks/main.yml", "# a remark\n"),
        ("services/web/group_vars/web.yml", "word: hello\n"),
        ("groups.yaml", "web2: {metadata: {another: one}, nodes: [web1]}\n"),
    ] {
        let path = fleet.path().join(name);
        let before = fs::read_to_string(&path).ok();
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, format!("{}{more}", before.as_deref().unwrap_or_default())).unwrap();
        let refused = fleet.run(&["deploy", "--plan", "plan.json"]).await.fails(6);
        assert!(refused.contains("the services or the inventory have changed for web1"), "{name}: {refused}");
        match before {
            Some(text) => fs::write(&path, text).unwrap(),
            None => fs::remove_file(&path).unwrap(),
        }
    }
    assert!(!fleet.nodes()[0].home().join("greeting").exists());
    fleet.run(&["deploy", "--plan", "plan.json"]).await.ok();
    assert!(fleet.nodes()[0].home().join("greeting").exists());
}

const LOGIN: &str = "canary-of-the-login";

/// Says what it was given, and all that any process of the operator was called with.
const TELLS: &str = r#"- hosts: all
  gather_facts: false
  tasks:
    - name: a secret arrives
      copy: {dest: /home/deploy/token, content: "{{ token }} {{ plain }} {{ hostname }}\n"}
      register: written
      until: written is succeeded
    - {name: a secret is said, debug: {msg: "it is {{ token }}"}}
    - {name: what shows, delegate_to: localhost, shell: "cat /proc/[0-9]*/cmdline >/tmp/argv 2>/dev/null || true", vars: {ansible_connection: local}}
"#;

#[tokio::test(flavor = "multi_thread")]
async fn e2e_playbooks_get_what_a_vault_keeps_and_log_in_with_its_password() {
    const NAME: &str = "e2e_playbooks_get_what_a_vault_keeps_and_log_in_with_its_password";
    if let Some(reason) = hosts::missing().await {
        return skip(NAME, &reason);
    }
    if !has_ansible(NAME).await {
        return;
    }
    let program = binary().canonicalize().unwrap();
    let network = Network::start(&["web1.example.org"], &[program.parent().unwrap()]).await.unwrap();
    let (operator, host) = (network.operator(), &network.hosts()[0]);
    host.run(&format!("useradd -m -s /bin/sh deploy; echo 'deploy:{LOGIN}' | chpasswd")).await.unwrap();
    let fleet = operator.root().join("root/fleet");
    let write = |name: &str, text: &str| {
        fs::create_dir_all(fleet.join(name).parent().unwrap()).unwrap();
        fs::write(fleet.join(name), text).unwrap();
    };
    let settings =
        "deploy: {state_dir: ~/state, log_dir: ~/log}\nassign: [{nodes: [web1], services: [web]}]\n";
    write(
        "hostler.yaml",
        &format!("platforms: [{{type: ansible, path: hosts.ini, vault_password_file: vault}}]\n{settings}"),
    );
    write("vault", "the password of the vault\n");
    write(
        "hosts.ini",
        "[lab]\nweb1 ansible_host=web1.example.org ansible_user=deploy hostname=its-own plain='says {{ token }}'\n",
    );
    write("group_vars/all/sealed.yml", &format!("ansible_password: {LOGIN}\n"));
    write("services/web/service.yaml", "steps: [{ansible: {playbook: site.yml}}]\n");
    write("services/web/site.yml", TELLS);
    let encrypt = "cd /root/fleet; ansible-vault encrypt --vault-password-file vault group_vars/all/sealed.yml; \
         ansible-vault encrypt_string --vault-password-file vault canary-of-an-application --name token >group_vars/all/token.yml; \
         ssh-keyscan -t ed25519 web1.example.org >>/root/.ssh/known_hosts; rm -f /root/.ssh/id_*; \
         hidden=$(command -v sshpass) && mount --bind /dev/null \"$hidden\" || :";
    operator.run(encrypt).await.unwrap();
    let hostler = async |args: &str| {
        let mut sh = operator.command("sh");
        sh.args(["-c", &format!("cd /root/fleet && {} {args} 2>&1", program.display())]);
        sh.stdin(Stdio::null()).stdout(Stdio::piped());
        let output =
            rt::clock::timeout(Duration::from_mins(2), "hostler", sh.output()).await.unwrap().unwrap();
        (output.status.code().unwrap(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (code, said) = hostler("deploy --all").await;
    assert!(code == 0 && said.contains("it is ********") && !said.contains("canary"), "{said}");
    let token = fs::read_to_string(host.root().join("home/deploy/token")).unwrap();
    assert_eq!(token, "canary-of-an-application says canary-of-an-application its-own\n");
    let argv = fs::read(operator.root().join("tmp/argv")).unwrap();
    let argv = String::from_utf8_lossy(&argv).replace('\0', " ");
    assert!(argv.contains("ansible-playbook") && !argv.contains("canary"), "{argv}");
    operator.run("! grep -rl canary /root/.local /tmp/hostler-*").await.unwrap();
    host.run("! grep -rl canary /home/deploy/log").await.unwrap();

    // Without the password of the vault it is said which variable is missing, and nothing is shown.
    write("hostler.yaml", &format!("platforms: [{{type: ansible, path: hosts.ini}}]\n{settings}"));
    fs::remove_file(fleet.join("group_vars/all/sealed.yml")).unwrap();
    network.hosts()[0]
        .run("mkdir -p ~deploy/.ssh; cp /root/.ssh/authorized_keys ~deploy/.ssh")
        .await
        .unwrap();
    fs::copy(network.user_key(), operator.root().join("root/.ssh/id_ed25519")).unwrap();
    let (code, said) = hostler("deploy --all").await;
    assert!(code == 1 && said.contains("token of web1") && said.contains("no vault password"), "{said}");

    // Tasks that become root are answered too, where the node itself is entered as somebody else.
    fs::remove_file(fleet.join("group_vars/all/token.yml")).unwrap();
    write("hosts.ini", "[lab]\nweb1 ansible_host=web1.example.org ansible_user=deploy\n");
    write("secrets.yaml", &format!("sudo: {LOGIN}\n"));
    let secrets = "secrets: [{type: file, file: secrets.yaml}]\n";
    write("hostler.yaml", &format!("platforms: [{{type: ansible, path: hosts.ini}}]\n{settings}{secrets}"));
    write(
        "services/web/site.yml",
        "- hosts: all\n  gather_facts: false\n  tasks:\n    - {become: true, copy: {dest: /srv/mark, content: here}}\n",
    );
    let asks =
        "mkdir -p /etc/sudoers.d; rm -f /etc/sudoers.d/*; echo 'deploy ALL=(ALL:ALL) ALL' >/etc/sudoers";
    host.run(asks).await.unwrap();
    let (code, said) = hostler("deploy --all").await;
    assert!(code == 1 && said.contains("sudo password"), "{said}");
    let (code, said) = hostler("deploy --all --become-secret sudo").await;
    assert!(code == 0 && !said.contains(LOGIN), "{said}");
    assert_eq!(fs::read_to_string(host.root().join("srv/mark")).unwrap(), "here");
}
