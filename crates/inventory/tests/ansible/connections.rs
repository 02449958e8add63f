//! From variables to connections: templates, vaults, and what cannot be carried.

use crate::{fixtures::fixture, options, oracle::Oracle, read, vault};
use base::{Code, Secret};
use inventory::{
    Method,
    ansible::{AnsibleInventory, Vault, Way},
};
use serde_json::{Value, json};
use std::sync::Arc;

async fn inventory(passwords: &[&str]) -> Arc<AnsibleInventory> {
    let directory = fixture("connect");
    let mut options = options(&directory, &["hosts.yml"]);
    options.vault = Arc::new(vault(&directory, passwords).await);
    Arc::new(read(&options).await)
}

const PASSWORD: &str = "one@../vault/one.pass";

#[tokio::test]
async fn templates_are_evaluated_as_ansible_does() {
    let Some(mut oracle) = Oracle::start("templates_are_evaluated_as_ansible_does").await else { return };
    let inventory = inventory(&[]).await;
    let names = [
        "domain",
        "ansible_host",
        "ansible_port",
        "ansible_ssh_private_key_file",
        "ansible_ssh_common_args",
        "others",
        "first_label",
        "flags",
        "raw",
        "block",
        "renamed",
        "chosen",
        "truth",
    ];
    let asked: Vec<(&str, String)> = ["web1", "web2"]
        .iter()
        .flat_map(|host| names.iter().map(|name| (*host, format!("{{{{ {name} }}}}"))))
        .collect();
    let question = json!({"kind": "render", "sources": ["hosts.yml"], "templates": asked});
    let theirs = oracle.ask(&fixture("connect"), question).await.unwrap();
    for ((host, template), theirs) in asked.iter().zip(theirs.as_array().unwrap()) {
        let name = template.trim_matches(['{', '}', ' ']);
        let ours = inventory.evaluated(host, name).unwrap().unwrap();
        // Numbers stay numbers with us; with Ansible the result of a template is a text.
        let same = &ours == theirs || Some(ours.to_string().as_str()) == theirs.as_str();
        assert!(same, "{name} of {host}: ours {ours}, theirs {theirs}");
    }
}

#[tokio::test]
async fn variables_make_a_connection() {
    let inventory = inventory(&[PASSWORD]).await;
    let web1 = inventory.connection("web1").unwrap();
    assert_eq!((web1.way, web1.address.as_str()), (Way::Ssh, "web1.north.example.org"));
    let settings: Vec<(&str, &str)> = web1.settings.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(
        settings,
        [
            ("Port", "2222"),
            ("IdentityFile", "/keys/web"),
            ("User", "deploy"),
            ("ProxyCommand", "ssh -W %h:%p -q 198.51.100.1"),
            ("StrictHostKeyChecking", "no"),
        ]
    );
    let escalation = web1.escalation.unwrap();
    assert_eq!((escalation.method, escalation.user.as_str()), (Method::Sudo, "root"));
    assert_eq!(escalation.password, Some(Secret::new("become secret")));
    assert!(
        inventory.secrets().contains(&Secret::new("become secret")),
        "what was opened is known as a secret"
    );

    let web2 = inventory.connection("web2").unwrap();
    assert_eq!(web2.address, "192.0.2.2");
    assert_eq!((web2.setting("port"), web2.setting("USER")), (Some("2022"), Some("root")));
    assert!(web2.escalation.is_none());
    assert_eq!(inventory.escalation("web2").unwrap().password, Some(Secret::new("become secret")));
}

#[tokio::test]
async fn every_variable_of_a_connection_arrives() {
    let inventory = inventory(&[]).await;
    let all = inventory.connection("everything").unwrap();
    let keywords: Vec<&str> = all.settings.iter().map(|(keyword, _)| keyword.as_str()).collect();
    let order = [
        "Compression",
        "ControlMaster",
        "StrictHostKeyChecking",
        "User",
        "ConnectTimeout",
        "ProxyJump",
        "IdentityFile",
    ];
    assert_eq!(keywords, order);
    assert_eq!(all.ssh_config.as_deref(), Some("other_config".as_ref()));
    assert_eq!(all.password, Some(Secret::new("plain password")));
    let escalation = all.escalation.unwrap();
    assert_eq!((escalation.method, escalation.user.as_str()), (Method::Su, "admin"));
    assert_eq!(escalation.password, Some(Secret::new("su password")));

    assert_eq!(inventory.connection("here").unwrap().way, Way::Local);
    let docker = inventory.connection("box").unwrap();
    assert_eq!((docker.way, docker.address.as_str()), (Way::Docker, "my-container"));
    let this = inventory.connection("localhost").unwrap();
    assert_eq!(this.way, Way::Local, "this machine is there without being named");
}

#[tokio::test]
async fn connections_are_metadata_of_nodes() {
    let inventory = inventory(&[PASSWORD]).await;
    let of = |host: &str| json!(inventory.connection(host).unwrap().metadata());
    let web1 = json!({
        "hostname": "web1.north.example.org", "ssh_port": "2222", "ssh_user": "deploy",
        "ssh_private_key_file": "/keys/web",
        "ssh_options": {"ProxyCommand": "ssh -W %h:%p -q 198.51.100.1", "StrictHostKeyChecking": "no"},
        "become": true, "become_user": "root", "become_method": "sudo",
    });
    assert_eq!(of("web1"), web1);
    let everything = json!({
        "hostname": "everything", "ssh_user": "deploy", "ssh_private_key_file": "extra_key", "gateway": "first,second",
        "ssh_config": "other_config",
        "ssh_options": {
            "Compression": "yes", "ControlMaster": "auto", "StrictHostKeyChecking": "no", "ConnectTimeout": "7",
        },
        "become": true, "become_user": "admin", "become_method": "su",
    });
    assert_eq!(of("everything"), everything);
    assert_eq!(of("here"), json!({"local_node": true}));
    assert_eq!(of("box"), json!({"docker": "my-container"}));
}

#[tokio::test]
async fn what_cannot_be_carried_is_named() {
    let inventory = inventory(&[]).await;
    for (host, place, words) in [
        ("windows", "ansible_connection of windows", "winrm"),
        ("undefined", "ansible_host of undefined", "cannot be evaluated"),
        ("loop", "ansible_host of loop", "cannot be evaluated"),
        ("badport", "ansible_port of badport", "'many' is not a port"),
        ("forward", "ansible_ssh_common_args of forward", "-L"),
        ("runas", "ansible_become_method of runas", "runas"),
        ("powershell", "ansible_shell_type of powershell", "powershell"),
        ("wordless", "ansible_become of wordless", "'perhaps' is not a truth value"),
        ("web1", "ansible_become_password of web1", "cannot be evaluated"),
    ] {
        let error = inventory.connection(host).unwrap_err();
        assert_eq!(error.field.as_deref(), Some(place), "{error:?}");
        assert!(error.message.contains(words), "{error:?}");
        assert!(error.hint.is_some() || error.message.contains("is not"), "{error:?}");
    }
    let missing = inventory.connection("web1").unwrap_err().cause.unwrap();
    assert!(missing.contains("no vault password was given"), "{missing}");
    let circle = inventory.connection("loop").unwrap_err().cause.unwrap();
    assert!(circle.contains("without end: ansible_host, a, b, a"), "{circle}");
    assert_eq!(inventory.connection("nobody").unwrap_err().code, Code::NotFound);
}

#[tokio::test]
async fn a_long_chain_of_variables_ends_with_words() {
    let dir = tempfile::tempdir().unwrap();
    let chain = |length: usize| -> String {
        let vars: Vec<String> =
            (0..length).map(|i| format!("    v{i}: \"{{{{ v{} }}}}\"\n", i + 1)).collect();
        let vars = vars.concat();
        format!("all:\n  hosts:\n    h:\n  vars:\n{vars}    v{length}: end\n")
    };
    for (length, ends) in [(30, true), (40, false)] {
        std::fs::write(dir.path().join("hosts.yml"), chain(length)).unwrap();
        let inventory = Arc::new(read(&options(dir.path(), &["hosts.yml"])).await);
        let value = inventory.evaluated("h", "v0");
        assert_eq!(value.is_ok_and(|v| v == Some(Value::from("end"))), ends, "{length}");
    }
}

#[tokio::test]
async fn vaults_open_with_the_password_of_any_id() {
    let directory = fixture("vault");
    let mut options = options(&directory, &["hosts.yml", "sealed"]);
    options.vault = Arc::new(vault(&directory, &["two@two.pass", "one.pass"]).await);
    let inventory = Arc::new(read(&options).await);
    for (name, value) in [
        ("inline", "inline secret ä"),
        ("unnamed", "unnamed secret"),
        ("ansible_become_password", "become secret"),
    ] {
        assert_eq!(inventory.evaluated("web1", name).unwrap(), Some(json!(value)));
    }
    assert_eq!(inventory.evaluated("sealed1", "token").unwrap(), Some(json!("sealed-token")));
    let secrets = inventory.secrets();
    for text in
        ["inline secret ä", "unnamed secret", "beta-secret", "123456", "sealed-token", "first password"]
    {
        assert!(secrets.contains(&Secret::new(text)), "{text}");
    }
}

#[tokio::test]
async fn a_file_that_no_password_opens_is_named() {
    let directory = fixture("vault");
    let mut options = options(&directory, &["hosts.yml"]);
    for (passwords, words) in
        [(vec![], "no vault password was given"), (vec!["wrong"], "no vault password opens this")]
    {
        let passwords = passwords.into_iter().map(|p| ("default".to_owned(), Secret::new(p)));
        options.vault = Arc::new(Vault::new(passwords));
        let error = AnsibleInventory::read(&options).await.unwrap_err();
        assert!(error.message.contains(words), "{error:?}");
        assert!(error.field.unwrap().ends_with("group_vars/all.yml"));
    }
}
