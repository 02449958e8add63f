//! The fixtures beside this file: each reads as `ansible-inventory --list` prints it.

use crate::{options, oracle::Oracle, read, vault};
use inventory::ansible::AnsibleInventory;
use serde_json::{Value, json};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

#[derive(Default)]
struct Case {
    directory: &'static str,
    sources: &'static [&'static str],
    playbook_dir: Option<&'static str>,
    vaults: &'static [&'static str],
}

const CASES: [Case; 9] = [
    Case { directory: "ini", sources: &["hosts"], playbook_dir: None, vaults: &[] },
    Case { directory: "yaml", sources: &["hosts.yml"], playbook_dir: None, vaults: &[] },
    Case { directory: "directory", sources: &["inventory"], playbook_dir: None, vaults: &[] },
    Case { directory: "scripts", sources: &["old", "plain"], playbook_dir: None, vaults: &[] },
    Case { directory: "vars", sources: &["inventory/hosts"], playbook_dir: None, vaults: &[] },
    Case { directory: "vars", sources: &["inventory"], playbook_dir: Some("playbooks"), vaults: &[] },
    Case { directory: "shadow", sources: &["hosts.yml"], playbook_dir: None, vaults: &[] },
    Case {
        directory: "vault",
        sources: &["hosts.yml", "sealed"],
        playbook_dir: None,
        vaults: &["one@one.pass", "two@pass-client.sh"],
    },
    Case {
        directory: "",
        sources: &["a.example,b:2222,[::1]:22,c[1:2],a.example", "ini/hosts", "yaml/hosts.yml"],
        playbook_dir: None,
        vaults: &[],
    },
];

pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ansible/fixtures").join(name)
}

async fn ours(case: &Case) -> AnsibleInventory {
    let directory = fixture(case.directory);
    let mut options = options(&directory, case.sources);
    options.playbook_dir = case.playbook_dir.map(PathBuf::from);
    options.vault = Arc::new(vault(&directory, case.vaults).await);
    read(&options).await
}

async fn theirs(oracle: &mut Oracle, case: &Case, export: bool) -> Value {
    let question = json!({
        "kind": "list", "sources": case.sources, "playbook_dir": case.playbook_dir, "vaults": case.vaults,
        "export": export,
    });
    let mut list = oracle.ask(&fixture(case.directory), question).await.unwrap();
    // Later releases say how the values are marked.
    list["_meta"].as_object_mut().unwrap().remove("profile");
    list
}

#[tokio::test]
async fn fixtures_read_as_ansible_lists_them() {
    let Some(mut oracle) = Oracle::start("fixtures_read_as_ansible_lists_them").await else { return };
    for case in &CASES {
        let ours = ours(case).await.list();
        let theirs = theirs(&mut oracle, case, false).await;
        let difference = difference(&ours, &theirs, "");
        assert!(difference.is_empty(), "{} {:?}\n{difference}", case.directory, case.sources);
    }
}

#[tokio::test]
async fn groups_have_the_variables_that_ansible_exports() {
    let Some(mut oracle) = Oracle::start("groups_have_the_variables_that_ansible_exports").await else {
        return;
    };
    for case in &CASES {
        let ours = ours(case).await;
        let theirs = theirs(&mut oracle, case, true).await;
        for (name, group) in &ours.groups {
            let vars: serde_json::Map<String, Value> =
                group.vars.iter().map(|(k, v)| (k.to_string(), Value::clone(v))).collect();
            let expected = theirs.get(&**name).and_then(|g| g.get("vars")).cloned().unwrap_or(json!({}));
            assert_eq!(Value::Object(vars), expected, "{} of {}", name, case.directory);
        }
    }
}

/// The places where two values differ, one per line.
pub fn difference(ours: &Value, theirs: &Value, at: &str) -> String {
    match (ours, theirs) {
        (Value::Object(a), Value::Object(b)) => {
            let keys: std::collections::BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            let none = Value::String("(missing)".into());
            let parts = keys.into_iter().map(|k| {
                difference(a.get(k).unwrap_or(&none), b.get(k).unwrap_or(&none), &format!("{at}/{k}"))
            });
            parts.collect()
        }
        _ if ours == theirs => String::new(),
        _ => format!("{at}: ours {ours}, theirs {theirs}\n"),
    }
}
