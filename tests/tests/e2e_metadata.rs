//! What is known of nodes besides their inventory: from files and from the nodes themselves.

#![allow(clippy::unwrap_used)] // what is not as it must be ends the test

use e2e::Fleet;
use serde_json::{Value, json};
use std::{fs, path::PathBuf};
use testkit::sshd::Sshd;

/// The metadata of a server, without its host key.
fn reached(server: &Sshd) -> String {
    let (address, key, user) = (server.address(), server.identity(), server.user());
    format!(
        "host_ip: {}, ssh_port: {}, ssh_user: {user}, ssh_private_key_file: {}",
        address.ip(),
        address.port(),
        key.display()
    )
}

/// Writes an inventory: names and what is known of them.
fn write(fleet: &Fleet, nodes: &[(&str, String)]) {
    let lines = nodes.iter().map(|(name, metadata)| format!("{name}: {{metadata: {{{metadata}}}}}\n"));
    fs::write(fleet.path().join("inventory.yaml"), lines.collect::<String>()).unwrap();
}

/// Adds a line to `hostler.yaml`.
fn configure(fleet: &Fleet, line: &str) {
    let path = fleet.path().join("hostler.yaml");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(path, format!("{text}{line}\n")).unwrap();
}

/// Writes the file of known hosts: servers, each with the key of another.
fn know(fleet: &Fleet, hosts: &[(&Sshd, &Sshd)]) -> PathBuf {
    let dir = fleet.path().parent().unwrap().join("home/.ssh");
    fs::create_dir_all(&dir).unwrap();
    let line = |(host, shown): &(&Sshd, &Sshd)| {
        let address = host.address();
        format!("[{}]:{} {}\n", address.ip(), address.port(), shown.host_key().trim())
    };
    let path = dir.join("known_hosts");
    fs::write(&path, hosts.iter().map(line).collect::<String>()).unwrap();
    path
}

/// `NODE BELIEVED SHOWN` of each key.
fn keys(data: &Value) -> Vec<String> {
    let text = |key: &Value| format!("{} {} {}", key["node"], key["believed"], key["shown"]).replace('"', "");
    data["items"].as_array().unwrap().iter().map(text).collect()
}

#[tokio::test]
async fn e2e_host_keys_come_from_files_and_a_scan_believes_none() {
    let fleet = Fleet::start(3).await;
    let [one, two, three] = fleet.nodes() else { panic!("three servers") };
    let key = one.host_key();
    let nodes = [
        ("down", "host_ip: 127.0.0.1, ssh_port: 1".into()),
        ("here", "local_node: true".into()),
        ("web1", format!("{}, host_keys: ['{key}']", reached(one))),
        ("web2", reached(two)),
        ("web3", reached(three)),
    ];
    write(&fleet, &nodes);
    let known = know(&fleet, &[(two, two)]);
    let written = fs::read_to_string(&known).unwrap();

    let data = fleet.run(&["node", "host-keys", "-o", "json"]).await.json();
    assert_eq!(keys(&data), ["web1 inventory false", "web2 known_hosts false"]);
    // One that is down is said to be so, and the others are shown.
    let scan = ["node", "host-keys", "--scan", "-o", "json"];
    let ran = fleet.run(&scan).await;
    assert!(ran.stderr.contains("cannot reach down"), "{ran:?}");
    let data: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(
        (ran.code, keys(&data)),
        (8, vec!["web1 inventory true".into(), "web2 known_hosts true".into(), "web3 null true".into()])
    );
    // What was shown is not believed by that.
    assert_eq!(fs::read_to_string(&known).unwrap(), written);
    let refused = fleet.run(&["run", "--node", "web3", "--command", "true"]).await;
    assert!(refused.code != 0 && refused.stderr.contains("web3 is not known"), "{refused:?}");
    // A key that is not the one that was known is refused loudly.
    know(&fleet, &[(two, three)]);
    let refused = fleet.run(&["node", "host-keys", "--scan", "--node", "web2"]).await.fails(4);
    assert!(refused.contains("THE HOST KEY OF web2 HAS CHANGED"), "{refused}");
    // What files know is enough for the others, who read what we write.
    know(&fleet, &[(two, two)]);
    let file = fleet.path().join("known");
    fleet.run(&["ssh-config", "--known-hosts", file.to_str().unwrap()]).await.ok();
    let text = fs::read_to_string(file).unwrap();
    assert_eq!(text.lines().count(), 2, "{text}");
    assert!(text.contains(two.host_key().split(' ').nth(1).unwrap()), "{text}");
}

#[tokio::test]
async fn e2e_host_keys_that_disagree_need_a_master() {
    let fleet = Fleet::start(2).await;
    let [one, two] = fleet.nodes() else { panic!("two servers") };
    let with_key = |of: &Sshd| ("web1", format!("{}, host_keys: ['{}']", reached(one), of.host_key()));
    write(&fleet, &[with_key(two)]);
    know(&fleet, &[(one, one)]);
    let ask = ["node", "host-keys", "-o", "json"];
    let e = fleet.run(&ask).await.fails(6);
    for words in
        ["two sources disagree about host_keys of web1", "inventory: ", "known_hosts: ", "metadata_masters: "]
    {
        assert!(e.contains(words), "{words} in {e}");
    }
    let original = fs::read_to_string(fleet.path().join("hostler.yaml")).unwrap();
    for (master, scan) in [("inventory", 4), ("known_hosts", 0)] {
        fs::write(fleet.path().join("hostler.yaml"), &original).unwrap();
        configure(&fleet, &format!("metadata_masters: {{host_keys: {master}}}"));
        let data = fleet.run(&ask).await.json();
        assert_eq!(keys(&data), [format!("web1 {master} false")]);
        assert_eq!(fleet.run(&["node", "host-keys", "--scan"]).await.code, scan, "{master}");
    }
    let wrong = format!("{original}metadata_masters: {{host_keys: known_host}}\n");
    fs::write(fleet.path().join("hostler.yaml"), wrong).unwrap();
    let e = fleet.run(&["node", "list"]).await.fails(2);
    assert!(e.contains("hostler.yaml:3:31") && e.contains("did you mean 'known_hosts'?"), "{e}");
}

/// The row of a node in a report.
fn row<'a>(report: &'a Value, node: &str) -> &'a Value {
    report.as_array().unwrap().iter().find(|row| row["node"] == node).unwrap()
}

#[tokio::test]
async fn e2e_facts_that_a_service_names_are_asked_for_by_its_check() {
    let fleet = Fleet::start(2).await;
    fleet.write_inventory(&[("web2", "ssh_port: 1")]);
    let dir = fleet.path().join("services/web");
    fs::create_dir_all(&dir).unwrap();
    let target = fleet.nodes()[0].home().join("system");
    let write = |content: &str| {
        let step = format!("- file: {{path: {}, content: \"{content}\\n\"}}", target.display());
        fs::write(dir.join("service.yaml"), format!("steps:\n{step}\n")).unwrap();
    };
    write("{{ os }} {{ cpus }}");
    let ran = fleet.run(&["check", "--node", "/web/"]).await;
    assert_eq!(ran.code, 8, "{ran:?}");
    // One that does not answer keeps no other from being checked.
    assert!(ran.stdout.contains("> ") && ran.stderr.contains("web2"), "{ran:?}");
    let known = fleet.run(&["node", "facts", "--known", "-o", "json"]).await.json();
    assert_eq!(known["items"].as_array().unwrap().len(), 1, "they are kept: {known}");
    let facts = &known["items"][0]["facts"];
    let line = format!("> {} {}", facts["os"].as_str().unwrap(), facts["cpus"]);
    assert!(ran.stdout.contains(&line), "{}", ran.stdout);
    // For one connection, and the next time for nothing.
    assert_eq!(logins(&fleet.nodes()[0]), 1);
    fleet.run(&["check", "--node", "web1"]).await.ok();
    assert_eq!(logins(&fleet.nodes()[0]), 2);

    // What is not to be found out is undefined where all answer.
    write("{{ os }} {{ colour }}");
    let ran = fleet.run(&["check", "--node", "web1"]).await;
    assert!(ran.code != 0 && ran.stderr.contains("colour"), "{ran:?}");
}

/// How often somebody logged in.
fn logins(server: &Sshd) -> usize {
    server.log().matches("Accepted publickey").count()
}

#[tokio::test]
async fn e2e_facts_are_gathered_when_asked_for_and_known_from_then_on() {
    let fleet = Fleet::start(2).await;
    fleet.write_inventory(&[("web2", "image: mine")]);
    let report = ["report", "-o", "json"];
    let before = fleet.run(&report).await.json();
    assert_eq!((&row(&before, "web1")["os"], &row(&before, "local")["ip"]), (&json!(""), &json!("")));
    let ran = fleet.run(&["node", "list", "--where", "cpus>=1", "--allow-empty", "-o", "name"]).await;
    assert!(ran.code == 0 && ran.stdout.is_empty(), "{ran:?}");
    assert!(ran.stderr.contains("not known of local and 2 more: cpus"), "{ran:?}");
    assert_eq!(fleet.nodes().iter().map(logins).sum::<usize>(), 0, "nobody was called for that");

    let data = fleet.run(&["node", "facts", "-o", "json"]).await.json();
    let facts = data["items"].as_array().unwrap();
    let names: Vec<&Value> = facts.iter().map(|node| &node["node"]).collect();
    assert_eq!(names, ["local", "web1", "web2"]);
    let [local, web1, _] = facts.as_slice() else { panic!("three nodes") };
    assert_eq!(local["facts"]["kernel"], web1["facts"]["kernel"], "all of them are this machine");
    assert_eq!(fleet.nodes().iter().map(logins).collect::<Vec<_>>(), [1, 1]);

    let after = fleet.run(&report).await.json();
    let system = |facts: &Value| {
        let word = |name: &str| facts[name].as_str().unwrap_or_default().to_owned();
        format!("{} {}", word("os"), word("os_version")).trim().to_owned()
    };
    assert_eq!(row(&after, "web1")["os"], system(&web1["facts"]));
    // What the inventory says stays.
    assert_eq!(row(&after, "web2")["os"], "mine");
    assert_eq!(row(&after, "web1")["physical"], web1["facts"]["physical"].as_bool().unwrap_or(false));
    let os = web1["facts"]["os"].as_str().unwrap();
    let chosen = ["node", "list", "--where", &format!("os={os},cpus>=1"), "--exclude", "local", "-o", "name"];
    assert_eq!(fleet.run(&chosen).await.ok(), "web1\nweb2\n");
    // Templates have it too.
    let service = fleet.path().join("services/web");
    fs::create_dir_all(&service).unwrap();
    let target = fleet.nodes()[0].home().join("system");
    let step =
        format!("- file: {{path: {}, content: \"{{{{ os }}}} {{{{ cpus }}}}\\n\"}}\n", target.display());
    fs::write(service.join("service.yaml"), format!("steps:\n{step}")).unwrap();
    let plan = fleet.run(&["check", "--node", "web1"]).await.ok();
    assert!(plan.contains(&format!("> {os} {}", web1["facts"]["cpus"])), "{plan}");
    // Nobody else was called for any of this.
    assert_eq!(fleet.nodes().iter().map(logins).collect::<Vec<_>>(), [2, 1]);
    let known = fleet.run(&["node", "facts", "--known", "--node", "web1"]).await.ok();
    assert!(known.starts_with("NODE") && known.contains(os), "{known}");
}

#[tokio::test]
async fn e2e_a_report_shows_those_that_answer_and_marks_the_others() {
    let fleet = Fleet::start(2).await;
    fleet.write_inventory(&[("web2", "ssh_port: 1")]);
    let ran = fleet.run(&["report", "--facts"]).await;
    assert_eq!(ran.code, 8, "{ran:?}");
    let line = |name: &str| ran.stdout.lines().find(|line| line.contains(name)).unwrap().to_owned();
    assert!(line("web2").contains("web2 (no answer)"), "{}", ran.stdout);
    assert!(!line("web1").contains("no answer"), "{}", ran.stdout);
    assert!(ran.stderr.contains("cannot reach web2"), "{}", ran.stderr);
    let ran = fleet.run(&["report", "--facts", "-o", "json"]).await;
    let data: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(row(&data, "web2")["error"]["code"], "unavailable");
    assert!(row(&data, "web1").get("error").is_none() && row(&data, "web1")["os"] != "");
    // Without the flag it is a matter of what is known, so nobody is called and nothing fails.
    assert_eq!(fleet.run(&["report"]).await.code, 0);
}

#[tokio::test]
async fn e2e_facts_that_contradict_the_inventory_need_a_master() {
    let fleet = Fleet::start(1).await;
    fleet.write_inventory(&[("web1", "os: plan9")]);
    let report = ["report", "--node", "web1", "-o", "json"];
    assert_eq!(row(&fleet.run(&report).await.json(), "web1")["os"], "plan9");
    let facts = fleet.run(&["node", "facts", "--node", "web1", "-o", "json"]).await.json();
    let os = facts["items"][0]["facts"]["os"].as_str().unwrap();
    let e = fleet.run(&report[..3]).await.fails(6);
    let both = format!("facts: \"{os}\"");
    for words in
        ["two sources disagree about os of web1", "inventory: \"plan9\"", both.as_str(), "{os: inventory}"]
    {
        assert!(e.contains(words), "{words} in {e}");
    }
    let original = fs::read_to_string(fleet.path().join("hostler.yaml")).unwrap();
    for (master, believed) in [("inventory", "plan9"), ("facts", os)] {
        fs::write(fleet.path().join("hostler.yaml"), &original).unwrap();
        configure(&fleet, &format!("metadata_masters: {{os: {master}}}"));
        let shown = fleet.run(&report).await.json();
        assert!(row(&shown, "web1")["os"].as_str().unwrap().starts_with(believed), "{master}: {shown}");
    }
}
