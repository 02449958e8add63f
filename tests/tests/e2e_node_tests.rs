//! `hostler test` on real nodes, each with its own sshd, address, users and files.

#![allow(clippy::expect_used)] // what is not as it must be ends the test

use e2e::{Shell, skip};
use serde_json::Value;
use std::path::Path;
use testkit::hosts::{Network, missing};

/// Three nodes, one of which does not answer, and what they should be like.
const FLEET: &str = r#"
set -e
mkdir -p ~/fleet/lab/services/web/tests ~/fleet/tests && cd ~/fleet
cat >lab/inventory.yaml <<'END'
web1: {metadata: {hostname: web1.example.org}, services: [web]}
web2: {metadata: {hostname: web2.example.org}, services: [web]}
gone: {metadata: {hostname: gone.example.org, host_ip: 10.20.99.99}}
END
cat >hostler.yaml <<'END'
platforms: [{name: lab, type: yaml, path: lab}]
ssh: {host_keys: first-use}
secrets: [{type: file, file: secrets.json}]
tests:
  rules:
    - for: [service:web]
      opened_ports: [22]
      closed_ports: [80]
      users: [root]
      no_users: [toor]
      files: [/etc/passwd, /etc/mtab]
      no_files: [/root/hello_world.txt]
      mounts: [{target: /proc, type: proc}]
      no_mounts: [{target: /mnt/nowhere}]
      ignore_orphans: [/]
      disk: {used_at_most: 100}
  scripts:
    - {name: own, args: [a b], env: {WORD: it's}, secrets: {TOKEN: web.token}}
    - {name: here, for: [web1], on: controller}
    - {name: never, for: [web1]}
  expected_failures:
    - {tests: [connection, own], for: [gone], reason: it has burnt down}
    - {tests: [deploy_freshness], for: [web2], reason: nobody has deployed it yet}
END
echo '{"web": {"token": "canary-5f1d8c"}}' >secrets.json
cat >tests/own.sh <<'END'
test $# = 1 && test "$1" = 'a b' && test "$WORD" = "it's" && test "$TOKEN" = canary-5f1d8c
test "$HOSTLER_TEST/$HOSTLER_NODE/$HOSTLER_PLATFORM/$HOSTLER_SERVICES" = "own/$(uname -n | cut -d. -f1)/lab/web"
END
cat >tests/here.sh <<'END'
#!/bin/bash
[[ $(uname -n) == operator && -e $HOSTLER_FLEET_DIR/hostler.yaml && $HOSTLER_METADATA == *web1.example.org* ]]
END
printf 'echo this node has none\nexit 77\n' >tests/never.sh
echo 'test -e /root/answers' >lab/services/web/tests/answers.sh
echo 'steps: [{file: {path: /root/answers, content: ""}}]' >lab/services/web/service.yaml
set +e
"#;

struct Fleet {
    network: Network,
    shell: Shell,
}

impl Fleet {
    async fn start() -> Self {
        let program = e2e::binary();
        let dir: &Path = program.parent().expect("the program is in a directory");
        let names = ["web1.example.org", "web2.example.org"];
        let network = Network::start(&names, &[dir]).await.expect("hosts");
        let operator = network.operator();
        let mut shell = Shell::start(operator.command("bash"), operator.root().join("run"), "/run".into());
        let ready = shell.enter(&format!("PATH=$PATH:{}\n{FLEET}", dir.display())).await;
        assert_eq!(ready.code, 0, "{}{}", ready.stdout, ready.stderr);
        Fleet { network, shell }
    }

    async fn test(&mut self, args: &str, code: i32) -> e2e::Ran {
        let ran = self.shell.enter(&format!("hostler test {args}")).await;
        assert_eq!(ran.code, code, "hostler test {args}\n{}\n{}", ran.stdout, ran.stderr);
        assert!(!format!("{}{}", ran.stdout, ran.stderr).contains("canary-"), "{}{}", ran.stdout, ran.stderr);
        ran
    }

    /// `SUBJECT TEST` of all results with this status.
    async fn with_status(&mut self, args: &str, code: i32, status: &str) -> Vec<String> {
        let ran = self.test(&format!("{args} -o json"), code).await;
        let report: Value = serde_json::from_str(&ran.stdout).expect("JSON");
        let items = report["items"].as_array().expect("a list").iter().filter(|i| i["status"] == status);
        let text = |item: &Value, name: &str| item[name].as_str().map(ToOwned::to_owned);
        items
            .map(|i| {
                let subject = text(i, "node").or_else(|| text(i, "platform")).or_else(|| text(i, "fleet"));
                format!("{} {}", subject.expect("a subject"), text(i, "test").expect("a name"))
            })
            .collect()
    }
}

#[tokio::test]
async fn e2e_nodes_are_tested() {
    const NAME: &str = "e2e_nodes_are_tested";
    if let Some(reason) = missing().await {
        return skip(NAME, &reason);
    }
    let mut fleet = Fleet::start().await;
    let web1 = fleet.network.hosts()[0].run("touch /root/answers").await;
    web1.expect("a file");
    let log = "mkdir -p /var/log/deployments && printf 'date: %s\nexit_status: 0\n===== STDOUT =====\n' \
               \"$(date -u '+%F %T')\" >/var/log/deployments/web1";
    fleet.network.hosts()[0].run(log).await.expect("a log");

    // What is not as it should be is said, and nothing else fails.
    let failed = fleet.with_status("--all", 8, "failed").await;
    assert_eq!(failed, ["web2 divergence", "web2 web/answers"]);
    let expected = fleet.with_status("--all", 8, "failed_as_expected").await;
    assert_eq!(expected, ["gone connection", "web2 deploy_freshness"]);
    let passed = fleet.with_status("--node web1", 0, "passed").await;
    let of_web1 = [
        "connection",
        "hostname",
        "ip",
        "ports",
        "mounts",
        "local_users",
        "files",
        "disk_space",
        "orphan_files",
        "deploy_freshness",
        "can_be_checked",
        "divergence",
        "here",
        "own",
        "web/answers",
    ];
    let wanted: Vec<String> =
        of_web1.iter().map(|t| format!("web1 {t}")).chain(["lab unique_addresses".into()]).collect();
    assert_eq!(passed, wanted);
    let skipped = fleet.with_status("--node web1", 0, "skipped").await;
    assert_eq!(skipped, ["web1 never", "lab linear_history"]);

    // Tests are chosen by name, also from a file and by the names of the other system.
    let list = "printf 'hostname # a remark\\n\\nports\\n' >list; ";
    assert_eq!(fleet.shell.enter(list).await.code, 0);
    let chosen = fleet.with_status("--node web2 --tests-list list --test file_system", 0, "passed").await;
    assert_eq!(chosen, ["web2 hostname", "web2 ports", "web2 files"]);
    let unknown = fleet.test("--test hostnam", 5).await;
    assert!(unknown.stderr.contains("there is no test 'hostnam'"), "{}", unknown.stderr);
    let listed = fleet.test("--list -o name", 0).await;
    assert!(
        listed.stdout.contains("orphan_files\n") && listed.stdout.contains("web/answers\n"),
        "{}",
        listed.stdout
    );

    // Trouble on a node is found.
    let trouble = "useradd -M toor 2>/dev/null || echo toor:x:9:9::/:/bin/sh >>/etc/passwd; touch /root/hello_world.txt";
    fleet.network.hosts()[0].run(trouble).await.expect("trouble");
    fleet.network.hosts()[0].serve_page().await.expect("a server");
    let table = fleet.test("--node web1 --failures", 8).await.stdout;
    for wrong in ["port 80 is open", "there is a user toor", "/root/hello_world.txt is there"] {
        assert!(table.contains(wrong), "{table}");
    }
    assert!(!table.contains("connection"), "{table}");

    // What is expected to fail and does not is an error, and so is an expectation without a test.
    let stale = "sed -i 's/^  expected_failures:/&\\n    - {tests: [hostname], for: [web2], reason: renamed}\\n    - {tests: [spectre], reason: old}/' hostler.yaml";
    assert_eq!(fleet.shell.enter(stale).await.code, 0);
    let unexpected = fleet.with_status("--all --junit report.xml", 8, "not_failed_as_expected").await;
    assert_eq!(unexpected, ["web2 hostname", "expected_failures spectre"]);
    let junit = fleet.shell.enter("cat report.xml").await.stdout;
    for part in [
        "<testsuite name=\"web1\"",
        "<testcase name=\"connection\" classname=\"gone\"",
        "<skipped message=\"failed as expected: it has burnt down",
        "<failure message=\"port 80 is open\">",
    ] {
        assert!(junit.contains(part), "{part}\n{junit}");
    }
    assert!(!junit.contains("canary-"), "{junit}");
    // Nothing of the whole is well on a node that cannot be reached and is not expected to be.
    let gone = fleet.with_status("--node gone --test hostname --test disk_space", 1, "failed").await;
    assert_eq!(gone, ["gone hostname", "gone disk_space"]);
}
