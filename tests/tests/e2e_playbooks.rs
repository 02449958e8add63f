//! Playbooks and roles of Ansible as steps of services, run by the real `ansible-playbook` on real servers.

#![allow(clippy::unwrap_used)] // what is not as it must be ends the test

use e2e::{Cli, Fleet, skip};
use std::fs;

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
    let mut probe = rt::process::command("ansible-playbook");
    probe.arg("--version");
    if probe.status().await.is_err() {
        return skip("e2e_playbooks_and_roles_are_checked_and_deployed", "ansible-core is not installed");
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
