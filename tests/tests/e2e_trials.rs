//! `hostler test` on services: checked on real SSH servers, and deployed on throw-away containers of a real engine.

#![allow(clippy::expect_used, clippy::unwrap_used)] // what is not as it must be ends the test

use e2e::{Fleet, Ran, eventually, skip};
use rt::process::Signal;
use serde_json::Value;
use std::{fmt::Write as _, fs, process::Stdio, time::Duration};
use testkit::docker::{BUSYBOX, Engine};

const SOON: Duration = Duration::from_secs(30);

fn write(fleet: &Fleet, path: &str, text: &str) {
    let path = fleet.path().join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn service(fleet: &Fleet, name: &str, text: &str) {
    write(fleet, &format!("services/{name}/service.yaml"), text);
}

/// `NODE TEST STATUS: why` of each result.
fn results(ran: &Ran) -> Vec<String> {
    let report: Value = serde_json::from_str(&ran.stdout).expect(&ran.stderr);
    let line = |item: &Value| {
        let text = |name: &str| item[name].as_str().unwrap_or_default().to_owned();
        let errors = item["errors"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let why: Vec<String> = errors.map(ToOwned::to_owned).chain([text("reason")]).collect();
        let why = why.join("; ").trim_end_matches("; ").to_owned();
        format!("{} {} {}: {why}", text("node"), text("test"), text("status"))
    };
    report["items"].as_array().expect("a list").iter().map(line).collect()
}

async fn test(fleet: &Fleet, code: i32, args: &[&str]) -> Vec<String> {
    let ran = fleet.run(&[&["test", "-o", "json"], args].concat()).await;
    assert_eq!(ran.code, code, "{}\n{}", ran.stdout, ran.stderr);
    results(&ran)
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_a_check_is_a_test() {
    let fleet = Fleet::start(2).await;
    let names = ["--node", "/web/", "--test", "can_be_checked", "--test", "divergence"];
    service(&fleet, "web", "steps: [{file: {path: ~/greeting, content: \"hello\\n\"}}]\n");
    fs::write(fleet.nodes()[0].home().join("greeting"), "hello\n").unwrap();
    let found = test(&fleet, 8, &names).await;
    assert_eq!(found[..2], ["web1 can_be_checked passed: ", "web1 divergence passed: "]);
    assert_eq!(found[2], "web2 can_be_checked passed: ");
    assert!(
        found[3].starts_with("web2 divergence failed: ") && found[3].contains("would change: Create"),
        "{found:?}"
    );
    assert!(!fleet.nodes()[1].home().join("greeting").exists(), "nothing was changed");

    // What nobody knows is told apart, and what a script of a check says of itself decides whether it can be checked.
    service(
        &fleet,
        "web",
        "check: [{remote_bash: 'test -e ~/ready'}]\nsteps: [{name: go, remote_bash: 'touch ~/gone'}]\n",
    );
    fs::write(fleet.nodes()[0].home().join("ready"), "").unwrap();
    let found = test(&fleet, 8, &names).await;
    assert_eq!(found[0], "web1 can_be_checked passed: ");
    assert_eq!(found[1], "web1 divergence skipped: nobody knows what these would change: go of web");
    assert!(found[2].starts_with("web2 can_be_checked failed: "), "{found:?}");
    assert_eq!(found[3], "web2 divergence skipped: the node cannot be checked");
    assert!(!fleet.nodes()[0].home().join("gone").exists(), "nothing was deployed");

    // A service that is not there concerns its own nodes alone, and a failure can be expected.
    fleet.write_inventory(&[]);
    let inventory = fleet.file("inventory.yaml").unwrap();
    let at = inventory.rfind("[web]").unwrap();
    write(&fleet, "inventory.yaml", &format!("{}[nothing]\n", &inventory[..at]));
    let expected = "  expected_failures: [{tests: [can-be-checked], for: [web2], reason: not written yet}]\n";
    let file = fleet.file("hostler.yaml").unwrap();
    write(&fleet, "hostler.yaml", &format!("{file}tests:\n{expected}"));
    let found = test(&fleet, 0, &names).await;
    assert_eq!(found[0], "web1 can_be_checked passed: ");
    assert!(found[2].starts_with("web2 can_be_checked failed_as_expected: "), "{found:?}");
}

/// Nodes that nobody can reach, with a service each, and containers of this engine for them.
async fn unreachable(engine: &Engine, services: &[(&str, &str)], more: &str) -> Fleet {
    let fleet = Fleet::start(0).await;
    let host = engine.host();
    let containers =
        format!("{{image: '{BUSYBOX}', docker_host: '{host}', options: [--network=none]{more}}}");
    let places = "deploy: {state_dir: ~/state, log_dir: ~/log}\n";
    let file = fleet.file("hostler.yaml").unwrap();
    write(&fleet, "hostler.yaml", &format!("{file}{places}tests:\n  containers: {containers}\n"));
    let mut inventory = String::new();
    for (name, text) in services {
        service(&fleet, name, text);
        let metadata = "{host_ip: 192.0.2.1, ssh_user: me, become: true}";
        writeln!(inventory, "{name}: {{metadata: {metadata}, services: [{name}]}}").unwrap();
    }
    write(&fleet, "inventory.yaml", &inventory);
    fleet
}

const TRIALS: [&str; 5] = ["--all", "--test", "deploy_from_scratch", "--test", "idempotence"];

async fn containers(engine: &Engine) -> String {
    engine.run(&["ps", "--all", "--quiet"]).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_services_are_tried_on_throw_away_containers() {
    const NAME: &str = "e2e_services_are_tried_on_throw_away_containers";
    if let Some(reason) = Engine::missing().await {
        return skip(NAME, &reason);
    }
    let engine = Engine::start().await.unwrap();
    let services = [
        ("appends", "steps: [{name: more, remote_bash: 'echo x >>/etc/notes'}]\n"),
        ("breaks", "steps: [{name: boom, remote_bash: 'echo it broke >&2; exit 3'}]\n"),
        (
            "writes",
            "steps:\n  - file: {path: /etc/motd, content: \"{{ node }}\\n\"}\n  - remote_bash: 'test \"$(id -u)\" = 0; echo x >/etc/y'\n",
        ),
    ];
    let fleet = unreachable(&engine, &services, "").await;
    // Of several nodes with the same services one is tried.
    let inventory = fleet.file("inventory.yaml").unwrap();
    write(&fleet, "inventory.yaml", &format!("{inventory}zzz: {{services: [writes]}}\n"));
    let found = test(&fleet, 8, &TRIALS).await;
    assert_eq!(found[0], "appends deploy_from_scratch passed: ");
    assert_eq!(found[1], "appends idempotence failed: a script changed /etc/notes again");
    assert!(
        found[2].starts_with("breaks deploy_from_scratch failed: ") && found[2].contains("it broke"),
        "{found:?}"
    );
    assert_eq!(found[3], "breaks idempotence skipped: the first deployment did not go well");
    assert_eq!(found[4..], ["writes deploy_from_scratch passed: ", "writes idempotence passed: "]);
    assert_eq!(containers(&engine).await, "");

    // Alone it tells of the first deployment itself. Known failures do not count.
    let file = fleet.file("hostler.yaml").unwrap();
    let expected =
        "  expected_failures:\n    - {tests: [idempotence], for: [appends, breaks], reason: old}\n";
    write(&fleet, "hostler.yaml", &format!("{file}{expected}"));
    let found = test(&fleet, 0, &["--all", "--test", "idempotence"]).await;
    let known = "breaks idempotence failed_as_expected: ";
    assert!(found[1].starts_with(known) && found[1].contains("it broke; old"), "{found:?}");

    // What may change is declared; a rule may name another image, which must be there.
    let other = file.replace("network=none]", "network=none], ignore_changes: [/etc/notes]");
    let rules = "  rules: [{for: [writes], image: 'nothing.invalid/x:1'}]\n";
    write(&fleet, "hostler.yaml", &format!("{other}{rules}"));
    let found = test(&fleet, 8, &TRIALS).await;
    assert_eq!(found[1], "appends idempotence passed: ");
    let no_image = &found[4];
    assert!(no_image.contains("no container of nothing.invalid/x:1 starts"), "{found:?}");
    assert_eq!(containers(&engine).await, "");

    // Without an image there is nothing to try, and what was asked for by name says so.
    let without = file.replace(&format!("image: '{BUSYBOX}', "), "");
    write(&fleet, "hostler.yaml", &without);
    let found = test(&fleet, 0, &TRIALS).await;
    assert_eq!(found[0], "appends deploy_from_scratch skipped: no image is declared for the node");
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_no_container_is_left_however_a_trial_ends() {
    const NAME: &str = "e2e_no_container_is_left_however_a_trial_ends";
    if let Some(reason) = Engine::missing().await {
        return skip(NAME, &reason);
    }
    let engine = Engine::start().await.unwrap();
    let endless = [("endless", "steps: [{name: wait, remote_bash: 'sleep 100000'}]\n")];
    let fleet = unreachable(&engine, &endless, ", timeout: 3").await;
    let found = test(&fleet, 1, &TRIALS).await;
    assert!(found[0].contains("the deployment did not finish within 3 s"), "{found:?}");
    assert_eq!(containers(&engine).await, "");

    let file = fleet.file("hostler.yaml").unwrap();
    write(&fleet, "hostler.yaml", &file.replace("timeout: 3", "timeout: 1000"));
    for signals in [&[Signal::INT, Signal::INT][..], &[Signal::KILL]] {
        let mut command = fleet.command(&[&["test"], &TRIALS[..]].concat());
        command.stdin(Stdio::null()).stderr(Stdio::piped());
        let mut hostler = command.spawn().unwrap();
        let running = || async { (!containers(&engine).await.is_empty()).then_some(()) };
        eventually("a container", SOON, running).await;
        for signal in signals {
            rt::process::signal(hostler.id().unwrap(), *signal).unwrap();
            rt::clock::sleep(Duration::from_millis(200)).await; // two at once would be one
        }
        hostler.wait().await.unwrap();
        let none = || async { containers(&engine).await.is_empty().then_some(()) };
        eventually("the end of the container", SOON, none).await;
    }
}

/// A playbook that ends as it should, and one that never does.
const PLAYED: &str = r#"- hosts: all
  gather_facts: false
  become: true
  tasks:
    - name: a file
      copy: {dest: /etc/played, content: "{{ word }} on {{ node_kind }}\n", mode: "0600"}
    - name: a script
      script: {cmd: mark, creates: /etc/marked}
    - name: what was written
      fetch: {src: /etc/marked, dest: "{{ playbook_dir }}/fetched", flat: true}
"#;
const RESTLESS: &str = "- hosts: all\n  tasks: [{name: again, command: 'true'}]\n";

const RUBY: &str = r##"
def check(_)
  [{ remote_bash: 'cat /etc/in_ruby || true' }]
end

def deploy(node)
  [
    { bash: "echo #{node} >here", scp: { "#{@platform_handler.repository_path}/here" => '/etc' } },
    { remote_bash: { commands: ['test "$(id -u)" = 0', 'cp /etc/here /etc/in_ruby'] } }
  ]
end
"##;

#[tokio::test(flavor = "multi_thread")]
async fn e2e_playbooks_and_services_in_ruby_are_tried_on_containers_too() {
    const NAME: &str = "e2e_playbooks_and_services_in_ruby_are_tried_on_containers_too";
    if let Some(reason) = Engine::missing().await {
        return skip(NAME, &reason);
    }
    let engine = Engine::start().await.unwrap();
    let ansible = |more: &str| format!("steps: [{{ansible: {{playbook: site.yml{more}}}}}]\n");
    let played = ansible(", vars: {word: hello}");
    let services = [("played", played.as_str()), ("restless", &ansible(""))];
    let fleet = unreachable(&engine, &services, "").await;
    write(&fleet, "services/played/site.yml", PLAYED);
    write(&fleet, "services/played/mark", "#!/bin/sh\necho marked >/etc/marked\n");
    write(&fleet, "services/restless/site.yml", RESTLESS);
    write(&fleet, "service_conf.rb", RUBY);
    let inventory = fleet.file("inventory.yaml").unwrap();
    let inventory = inventory.replace("become: true", "become: true, node_kind: a container");
    write(&fleet, "inventory.yaml", &format!("{inventory}in_ruby: {{services: [conf]}}\n"));
    // Without bash, it is sh that runs what is meant for bash.
    let found = test(&fleet, 0, &["--node", "in_ruby", "--test", "idempotence"]).await;
    assert_eq!(found, ["in_ruby idempotence passed: "]);
    // Python and su, as this host has them, are what modules need, and who becomes another user.
    let python = fs::canonicalize("/usr/bin/python3").unwrap();
    let shown = ["/usr/lib", "/lib", "/lib64", "/usr/bin/su", "/etc/pam.d", "/etc/security", "/etc/shadow"]
        .map(|dir| format!("{dir}:{dir}"));
    let shown = [&shown[..], &[format!("{}:/usr/bin/python3", python.display())]].concat();
    let usr = shown.iter().map(|volume| format!("--volume={volume}:ro")).collect::<Vec<_>>().join(", ");
    let file = fleet.file("hostler.yaml").unwrap();
    write(&fleet, "hostler.yaml", &file.replace("network=none]", &format!("network=none, {usr}]")));

    let found = test(&fleet, 8, &TRIALS).await;
    assert_eq!(
        found,
        [
            "in_ruby deploy_from_scratch passed: ",
            "in_ruby idempotence passed: ",
            "played deploy_from_scratch passed: ",
            "played idempotence passed: ",
            "restless deploy_from_scratch passed: ",
            "restless idempotence failed: the task again of restless changed again",
        ]
    );
    assert_eq!(fleet.file("services/played/fetched").unwrap(), "marked\n");
    assert_eq!(containers(&engine).await, "");
}
