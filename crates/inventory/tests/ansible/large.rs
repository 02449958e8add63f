//! Large inventories: the work grows as the inventory does, and what groups say is there once.

use crate::{options, read};
use serde_json::json;
use std::{fmt::Write, fs, sync::Arc};

const HOSTS: usize = 20_000;
const GROUPS: usize = 400;

/// Work that grew with the square of the hosts would not end before the test is ended.
#[tokio::test]
async fn twenty_thousand_hosts_share_the_variables_of_their_groups() {
    let dir = tempfile::tempdir().unwrap();
    let mut ini = String::new();
    for group in 0..GROUPS {
        writeln!(ini, "[g{group}]").unwrap();
        for host in (group..HOSTS).step_by(GROUPS) {
            writeln!(ini, "h{host} number={host}").unwrap();
        }
    }
    let children: Vec<String> = (0..GROUPS).map(|group| format!("g{group}")).collect();
    writeln!(ini, "[every:children]\n{}", children.join("\n")).unwrap();
    fs::write(dir.path().join("hosts.ini"), ini).unwrap();
    fs::create_dir(dir.path().join("group_vars")).unwrap();
    let vars: Vec<String> = (0..200).map(|i| format!("v{i}: {{a: [1, 2, 3], b: text}}\n")).collect();
    fs::write(dir.path().join("group_vars/all.yml"), vars.concat()).unwrap();
    for group in 0..GROUPS {
        fs::write(dir.path().join(format!("group_vars/g{group}.yml")), format!("own: {group}\n")).unwrap();
    }

    let inventory = read(&options(dir.path(), &["hosts.ini"])).await;

    assert_eq!(inventory.hosts.len(), HOSTS);
    assert_eq!(inventory.members("every").len(), HOSTS);
    assert_eq!(inventory.select("every:!g7").unwrap().len(), HOSTS - HOSTS / GROUPS);
    let (one, other) = (inventory.hosts["h1"].vars(), inventory.hosts["h2"].vars());
    assert_eq!((&*one["number"], &*one["own"], &*other["own"]), (&json!(1), &json!(1), &json!(2)));
    assert!(Arc::ptr_eq(&one["v5"], &other["v5"]), "a value of a group is one value");
}
