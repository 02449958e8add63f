//! `hostler check` and `hostler deploy` on real SSH servers: what is foretold is done, and bad days end well.

#![allow(clippy::unwrap_used)] // part of a test

use e2e::{Fleet, Process, Ran, Snapshot, Terminal, alive, eventually};
use std::{
    fs,
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    time::Duration,
};

const SOON: Duration = Duration::from_mins(1);

const WEB: &str = r#"
steps:
  - directory: {path: ~/site, mode: "0750"}
  - template: {src: page.j2, path: ~/site/index.html}
  - link: {path: ~/current, target: site}
  - line_in_file: {path: ~/name, line: "port 80", matching: "^port "}
"#;

/// A fleet whose service `web` is this.
async fn fleet(nodes: usize, service: &str) -> Fleet {
    let fleet = Fleet::start(nodes).await;
    let lab =
        "platforms:\n  - {name: lab, type: yaml, path: .}\ndeploy: {state_dir: ~/state, log_dir: ~/log}\n";
    fs::write(fleet.path().join("hostler.yaml"), lab).unwrap();
    fs::create_dir_all(fleet.path().join("services/web")).unwrap();
    write_service(&fleet, service);
    fs::write(
        fleet.path().join("services/web/page.j2"),
        "Hello {{ planet | default('World') }}\nfrom {{ node }}\n",
    )
    .unwrap();
    fleet
}

fn write_service(fleet: &Fleet, text: &str) {
    fs::write(fleet.path().join("services/web/service.yaml"), text).unwrap();
}

async fn git_in(fleet: &Fleet, args: &[&str]) {
    let mut git = rt::process::command("git");
    git.arg("-C").arg(fleet.path()).args(["-c", "user.name=t", "-c", "user.email=t@example.org"]).args(args);
    rt::process::run(git, SOON).await.unwrap();
}

/// Makes the fleet directory a repository with one commit.
async fn commit_all(fleet: &Fleet) {
    git_in(fleet, &["init", "-q", "-b", "main"]).await;
    git_in(fleet, &["add", "."]).await;
    git_in(fleet, &["commit", "-q", "-m", "first commit"]).await;
}

fn homes(fleet: &Fleet) -> Vec<Snapshot> {
    fleet.nodes().iter().map(|n| Snapshot::of_directory(&n.home())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_a_check_changes_no_byte_and_foretells_what_a_deployment_does() {
    let fleet = fleet(3, WEB).await;
    fleet.write_inventory(&[("web2", "planet: Mars")]);
    let before = homes(&fleet);
    let found = fleet.run(&["check", "-r", "web", "-o", "json"]).await.json();
    assert_eq!(homes(&fleet), before);
    for node in ["web1", "web2", "web3"] {
        let plan = &found["nodes"][node];
        assert_eq!((plan["changes"].as_u64(), plan["unknown"].as_u64()), (Some(4), Some(0)), "{plan}");
    }
    let said = found["nodes"]["web2"]["steps"][1]["parts"][0]["diff"].to_string();
    assert!(said.contains("> Hello Mars"), "{said}");

    let pending = fleet.run(&["check", "-r", "web", "--exit-code"]).await;
    assert_eq!(pending.code, 3, "{}", pending.stderr);
    let done = fleet.run(&["deploy", "-r", "web", "-o", "json"]).await.json();
    for item in done["items"].as_array().unwrap() {
        let node = item["node"].as_str().unwrap();
        assert_eq!((item["changed"].as_u64(), &item["plan"]), (Some(4), &found["nodes"][node]));
    }
    let page = fs::read_to_string(fleet.nodes()[1].home().join("current/index.html")).unwrap();
    assert_eq!(page, "Hello Mars\nfrom web2\n");
    let name = fs::read_to_string(fleet.nodes()[0].home().join("name")).unwrap();
    assert_eq!(name, "web1\nport 80\n");

    let again = fleet.run(&["deploy", "-r", "web"]).await;
    assert_eq!(again.code, 0);
    assert!(again.stderr.contains("3 nodes: 0 changes"), "{}", again.stderr);
    let none = fleet.run(&["check", "-r", "web", "--exit-code"]).await;
    assert_eq!(none.code, 0, "{}", none.stderr);
    assert!(!none.stdout.contains('>') && !none.stdout.contains("Create"), "{}", none.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_sections_logs_and_the_table_are_those_of_the_tutorial() {
    let fleet = fleet(2, WEB).await;
    let check = fleet.run(&["check-node", "--node", "web1"]).await.ok();
    assert!(
        check.starts_with(
            "===== Checking on 1 nodes ==== Begin...\n===== [ web1 / web ] - HPC Service Check ===== Begin\n"
        ),
        "{check}"
    );
    assert!(
        check.ends_with(
            "===== [ web1 / web ] - HPC Service Check ===== End\n===== Checking on 1 nodes ==== ...End\n\n"
        ),
        "{check}"
    );
    assert_eq!(fleet.run(&["deploy", "--why-run", "--node", "web1"]).await.ok(), check);

    fleet.run(&["deploy", "--why-run", "-r", "web", "--parallel"]).await.ok();
    let log = fleet.file("run_logs/web2.stdout").unwrap();
    let shown: Vec<&str> = log.lines().filter(|l| l.contains("Create") || l.contains('>')).collect();
    assert!(
        shown.contains(&"> Hello World")
            && shown.iter().all(|l| l.starts_with("Create ") || l.starts_with("> ")),
        "{shown:?}"
    );

    fleet.run(&["deploy", "--node", "web2"]).await.ok();
    let table = fleet.run(&["last-deploys", "-r", "web"]).await.ok();
    let rows: Vec<Vec<&str>> =
        table.lines().filter(|l| l.starts_with('|')).map(|l| l.split('|').map(str::trim).collect()).collect();
    assert_eq!(rows[0][1..6], ["Node", "Date", "Admin", "Services", "Error"]);
    assert_eq!((rows[1][1], rows[1][5]), ("web1", "Never deployed: the node has no log"));
    assert_eq!(
        (rows[2][1], rows[2][3], rows[2][4], rows[2][5]),
        ("web2", fleet.nodes()[1].user(), "web", "")
    );
    let date = rows[2][2];
    assert!(date.len() == 19 && date.as_bytes()[10] == b' ' && date.as_bytes()[4] == b'-', "{date}");

    let logs = fleet.nodes()[1].home().join("log");
    let file = fs::read_dir(&logs).unwrap().next().unwrap().unwrap();
    assert_eq!(
        (logs.metadata().unwrap().mode() & 0o777, file.metadata().unwrap().mode() & 0o777),
        (0o700, 0o600)
    );
    let text = fs::read_to_string(file.path()).unwrap();
    assert!(text.contains("services: web\nexit_status: 0\n===== STDOUT =====\n"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_a_plan_is_done_exactly_or_refused() {
    let fleet = fleet(2, WEB).await;
    fleet.run(&["check", "-r", "web", "-o", "plan.json"]).await.ok();
    let name = fleet.nodes()[1].home().join("name");
    let was = fs::read(&name).unwrap();
    fs::write(&name, "port 1\n").unwrap();
    let refused = fleet.run(&["deploy", "--plan", "plan.json"]).await.fails(6);
    assert!(refused.contains("web2 has changed"), "{refused}");
    assert!(!fleet.nodes()[0].home().join("site").exists()); // nothing was done anywhere
    fs::write(&name, was).unwrap();
    write_service(&fleet, &WEB.replace("port 80", "port 81"));
    fleet.run(&["deploy", "--plan", "plan.json"]).await.fails(6);
    write_service(&fleet, WEB);
    fleet.run(&["deploy", "--plan", "plan.json"]).await.ok();
    assert!(fleet.nodes()[0].home().join("site/index.html").exists());
    fs::write(fleet.path().join("plan.json"), "{}").unwrap();
    fleet.run(&["deploy", "--plan", "plan.json"]).await.fails(2);
}

/// A deployment that waits in its second step until somebody makes the file `go`.
const SLOW: &str = r#"
steps:
  - file: {path: ~/first, content: "1"}
  - remote_bash: "echo $$ >~/step; while [ ! -e ~/go ]; do sleep 0.1; done"
  - file: {path: ~/last, content: "3"}
"#;

/// What is written of the only deployment that there was.
fn history(fleet: &Fleet) -> Option<String> {
    let all = fleet.path().parent()?.join("home/state/hostler/fleet/deployments");
    let mine = fs::read_dir(all).ok()?.next()?.ok()?.path();
    fs::read_to_string(fs::read_dir(mine).ok()?.next()?.ok()?.path()).ok()
}

async fn step_of(fleet: &Fleet) -> u32 {
    let file = fleet.nodes()[0].home().join("step");
    eventually("the step begins", SOON, || async { fs::read_to_string(&file).ok()?.trim().parse().ok() })
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_a_killed_deployment_ends_on_the_node_and_the_next_one_completes_it() {
    let fleet = fleet(1, SLOW).await;
    let home = fleet.nodes()[0].home();
    let log = fleet.path().join("first.log");
    let mut first = Process::start(fleet.command(&["deploy", "--node", "web1"]), &log);
    let step = step_of(&fleet).await;
    assert!(home.join("first").exists() && home.join("state/lock").symlink_metadata().is_ok());
    // The step may have begun before we heard that it did.
    eventually("the step is in the history", SOON, || async {
        history(&fleet)?.contains(r#""step":"script""#).then_some(())
    })
    .await;
    first.kill().await;
    eventually("the step is ended", SOON, || async { (!alive(step)).then_some(()) }).await;
    eventually("the lock is free", SOON, || async {
        home.join("state/lock").symlink_metadata().is_err().then_some(())
    })
    .await;
    assert!(!home.join("last").exists());
    fs::write(home.join("go"), "").unwrap();
    let second = fleet.run(&["deploy", "--node", "web1"]).await;
    assert_eq!(second.code, 0, "{}", second.stderr);
    assert!(
        second.stderr.contains("was cut off; not ended there: web1 (at script of web)"),
        "{}",
        second.stderr
    );
    assert_eq!(fs::read_to_string(home.join("last")).unwrap(), "3");
    let third = fleet.run(&["deploy", "--node", "web1"]).await;
    assert!(third.stderr.contains("0 changes") && !third.stderr.contains("cut off"), "{}", third.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_two_deployments_of_a_node_are_never_at_once() {
    let fleet = fleet(1, SLOW).await;
    let home = fleet.nodes()[0].home();
    let log = fleet.path().join("first.log");
    let mut first = Process::start(fleet.command(&["deploy", "--node", "web1"]), &log);
    step_of(&fleet).await;
    let hasty = fleet.run(&["deploy", "--node", "web1", "--lock-timeout", "1"]).await;
    assert_eq!(hasty.code, 1, "{}", hasty.stderr);
    assert!(hasty.stderr.contains("web1 is being deployed by "), "{}", hasty.stderr);
    // A check needs no lock.
    fleet.run(&["check", "--node", "web1"]).await.ok();
    let mut patient =
        Process::start(fleet.command(&["deploy", "--node", "web1"]), &fleet.path().join("second.log"));
    eventually("the second waits", SOON, || async { patient.log().contains("waiting for ").then_some(()) })
        .await;
    fs::write(home.join("go"), "").unwrap();
    assert_eq!((first.wait(SOON).await, patient.wait(SOON).await), (Some(0), Some(0)));
    assert_eq!(fs::read_dir(home.join("log")).unwrap().count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_bad_nodes_do_not_keep_the_others_from_being_deployed() {
    let fleet = fleet(3, WEB).await;
    fleet.write_inventory(&[("web2", "ssh_port: 1")]);
    fs::write(fleet.nodes()[2].home().join("site"), "in the way").unwrap();
    let ran: Ran = fleet.run(&["deploy", "-r", "web"]).await;
    assert_eq!(ran.code, 8, "{}", ran.stderr);
    assert!(fleet.nodes()[0].home().join("current/index.html").exists());
    let told = |node: &str| ran.stderr.lines().find(|l| l.starts_with(node)).unwrap_or_default().to_owned();
    assert!(told("web2").contains("unreachable"), "{}", ran.stderr);
    assert!(told("web3").contains("is a file, not a directory"), "{}", ran.stderr);
    assert!(!fleet.nodes()[2].home().join("current").exists()); // nothing was done there
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_policies_and_mistakes_are_said_before_anything_is_reached() {
    let fleet = fleet(1, WEB).await;
    write_service(&fleet, "steps:\n  - file: {path: ~/x, content: \"{{ nothing }}\"}\n");
    let wrong = fleet.run(&["check", "--node", "web1"]).await.fails(2);
    assert!(wrong.contains("service.yaml:2:") && wrong.contains("'nothing' is undefined"), "{wrong}");
    write_service(&fleet, "steps:\n  - fil: {path: ~/x}\n");
    assert!(fleet.run(&["check", "--node", "web1"]).await.fails(2).contains("did you mean 'file'?"));
    write_service(&fleet, WEB);
    let git = async |args: &[&str]| git_in(&fleet, args).await;
    commit_all(&fleet).await;
    let file = fleet.path().join("hostler.yaml");
    let text = fs::read_to_string(&file).unwrap() + "policies: {deploy_only: main, clean_tree: true}\n";
    fs::write(&file, text).unwrap();
    assert!(fleet.run(&["deploy", "--node", "web1"]).await.fails(4).contains("not committed"));
    git(&["commit", "-q", "-a", "-m", "policies"]).await;
    git(&["switch", "-q", "-c", "other"]).await;
    git(&["commit", "-q", "--allow-empty", "-m", "elsewhere"]).await;
    assert!(fleet.run(&["deploy", "--node", "web1"]).await.fails(4).contains("not at the branch 'main'"));
    git(&["switch", "-q", "main"]).await;
    fleet.run(&["deploy", "--node", "web1"]).await.ok();
    let logs = fs::read_dir(fleet.nodes()[0].home().join("log")).unwrap();
    let text = fs::read_to_string(logs.flatten().next().unwrap().path()).unwrap();
    assert!(text.contains("repo_name_0: lab\n") && text.contains("commit_message_0: policies\n"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_drift_and_what_has_to_be_deployed_are_told_as_data() {
    let fleet = fleet(2, WEB).await;
    let git = async |args: &[&str]| git_in(&fleet, args).await;
    commit_all(&fleet).await;
    let due = async |more: &[&str]| {
        let found = fleet.run(&[&["nodes-to-deploy", "-r", "web", "-o", "json"], more].concat()).await.json();
        let of = |line: &serde_json::Value| {
            format!("{} {}", line["node"].as_str().unwrap(), line["why"].as_str().unwrap())
        };
        found["items"].as_array().unwrap().iter().map(of).collect::<Vec<_>>()
    };
    assert_eq!(due(&[]).await, ["web1 never deployed", "web2 never deployed"]);
    fleet.run(&["deploy", "-r", "web"]).await.ok();
    assert_eq!(due(&[]).await, [""; 0]);
    assert_eq!(due(&["--ignore-deployed-info"]).await.len(), 2);

    // A change that concerns one node.
    fleet.write_inventory(&[("web2", "planet: Mars")]);
    git(&["commit", "-q", "-a", "-m", "Mars"]).await;
    let again = due(&[]).await;
    assert!(again.len() == 1 && again[0].starts_with("web2 lab has changed for it since "), "{again:?}");

    fs::write(fleet.nodes()[0].home().join("site/index.html"), "by hand").unwrap();
    let before = homes(&fleet);
    let drifted = fleet.run(&["drift", "-r", "web", "--exit-code", "-o", "json"]).await;
    assert_eq!((drifted.code, homes(&fleet)), (3, before), "{}", drifted.stderr);
    let found: serde_json::Value = serde_json::from_str(&drifted.stdout).unwrap();
    assert_eq!(found["items"][0]["differs"].as_array().unwrap().len(), 1);
    fleet.run(&["deploy", "-r", "web"]).await.ok();
    assert_eq!(fleet.run(&["drift", "-r", "web", "--exit-code"]).await.code, 0);

    let file = fleet.path().join("hostler.yaml");
    let text =
        fs::read_to_string(&file).unwrap() + "schedules: [{nodes: [web1], at: '04:00', duration: 600}]\n";
    fs::write(&file, text).unwrap();
    let at = async |time| due(&["--ignore-deployed-info", "--deployment-time", time]).await.len();
    assert_eq!((at("2026-11-20T04:05:00Z").await, at("2026-11-20T05:00:00Z").await), (2, 1));
}

/// Services that are wrong, how a check ends then, and what it says.
const MISTAKES: [(&str, i32, &str); 12] = [
    ("steps: [{file: {path: ~/x}, when: nope}]", 2, "service.yaml:1:35: 'nope' is undefined"),
    ("steps: [{file: {path: ~/x}, when: host_ip.nope}]", 2, "'host_ip.nope' is undefined"),
    ("steps: [{file: {path: '~/{{ item }}'}, for_each: nope}]", 2, "'nope' is undefined"),
    ("steps: [{file: {path: ~/x, content: '{{ nope | tojson }}'}}]", 2, "undefined"),
    ("steps: [{file: {path: ~/x, content: '{{ [1, {\"a\": nope}] }}'}}]", 2, "undefined"),
    ("needs: {services: [bd]}\nsteps: []", 5, "web needs the service 'bd'"),
    ("needs: {nodes_with: [bd]}\nsteps: []", 5, "web needs the service 'bd'"),
    ("steps: [{remote_bash: 'false', retry: {stderr: ['(']}}]", 2, "'(' is not a regular expression"),
    ("steps: [{line_in_file: {path: ~/name, line: x, matching: '('}}]", 2, "'(' is not a regular expression"),
    ("steps: [{line_in_file: {path: ~/name, state: absent}}]", 2, "does not say which line"),
    ("steps: [{link: {path: ~/x}}]", 2, "a link needs a target"),
    ("steps: []\nhandlers: {a: {restart: x, notify: b}, b: {restart: y}}", 2, "a handler notifies no other"),
];

#[tokio::test(flavor = "multi_thread")]
async fn e2e_what_is_wrong_in_a_service_is_said_and_nothing_is_left_out() {
    let fleet = fleet(1, WEB).await;
    for (service, code, said) in MISTAKES {
        write_service(&fleet, service);
        let wrong = fleet.run(&["check", "--node", "web1"]).await.fails(code);
        assert!(wrong.contains(said), "{service}: {wrong}");
    }
    // A pipe in the directory of a service is nothing to wait for, and no name becomes another on the way.
    let dir = fleet.path().join("services/web/tree");
    fs::create_dir(&dir).unwrap();
    write_service(&fleet, "steps: [{copy: {src: tree, path: ~/copy}}]");
    let mut mkfifo = rt::process::command("mkfifo");
    mkfifo.arg(dir.join("pipe"));
    rt::process::run(mkfifo, SOON).await.unwrap();
    assert!(fleet.run(&["check", "--node", "web1"]).await.fails(2).contains("pipe is a special file"));
    fs::remove_file(dir.join("pipe")).unwrap();
    for name in [&b"caf\xe9"[..], b"two\nlines"] {
        let path = dir.join(std::ffi::OsStr::from_bytes(name));
        fs::write(&path, "").unwrap();
        assert!(
            fleet.run(&["check", "--node", "web1"]).await.fails(2).contains("which is no name for a copy")
        );
        fs::remove_file(&path).unwrap();
    }
    // Two steps that each undo what the other does.
    write_service(
        &fleet,
        "steps:\n  - line_in_file: {path: ~/name, line: q=1, matching: '^q='}\n  \
         - line_in_file: {path: ~/name, line: q=2, matching: '^q='}\n",
    );
    let undone = fleet.run(&["check", "--node", "web1"]).await.fails(1);
    assert!(undone.contains("a step after it changes the same file back"), "{undone}");
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_a_step_of_this_machine_is_tried_again_after_declared_errors_only() {
    let service = "steps:\n  - bash: 'echo x >>tries; echo lost >&2; test $(wc -l <tries) -ge 3'\n    retry: {times: 5, stderr: [LOST]}\n";
    let fleet = fleet(1, &service.replace("LOST", "los")).await;
    let tries = fleet.path().join("services/web/tries");
    fleet.run(&["deploy", "--node", "web1"]).await.ok();
    assert_eq!(fs::read_to_string(&tries).unwrap(), "x\nx\nx\n");
    fs::remove_file(&tries).unwrap();
    write_service(&fleet, service);
    fleet.run(&["deploy", "--node", "web1"]).await.fails(1);
    assert_eq!(fs::read_to_string(&tries).unwrap(), "x\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_a_plan_that_shows_something_else_is_refused() {
    let fleet = fleet(1, WEB).await;
    fleet.run(&["check", "-r", "web", "-o", "plan.json"]).await.ok();
    let file = fleet.path().join("plan.json");
    let plan = fs::read_to_string(&file).unwrap();
    fs::write(&file, plan.replace("> Hello World", "> Hello Nobody")).unwrap();
    let refused = fleet.run(&["deploy", "--plan", "plan.json"]).await.fails(6);
    assert!(refused.contains("something else than it says would be done on web1"), "{refused}");
    fs::write(&file, plan).unwrap();
    let inventory = fleet.file("inventory.yaml").unwrap();
    fs::write(fleet.path().join("inventory.yaml"), inventory.replace("web1:", "web9:")).unwrap();
    let gone = fleet.run(&["deploy", "--plan", "plan.json"]).await.fails(6);
    assert!(gone.contains("there is no node 'web1' any more"), "{gone}");
    fs::write(fleet.path().join("inventory.yaml"), inventory).unwrap();
    fleet.run(&["deploy", "--plan", "plan.json"]).await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_more_than_twenty_nodes_to_change_are_a_reason_to_ask() {
    let fleet = fleet(0, "steps: [{file: {path: '{{ out }}/{{ node }}', content: x}}]\n").await;
    let out = fleet.path().join("out");
    fs::create_dir(&out).unwrap();
    let node = |i: u32| {
        format!("n{i}: {{metadata: {{local_node: true, out: '{}'}}, services: [web]}}\n", out.display())
    };
    fs::write(fleet.path().join("inventory.yaml"), (0..21).map(node).collect::<String>()).unwrap();
    let made = || fs::read_dir(&out).unwrap().count();
    let dir = fleet.path().display().to_string();
    let start = |more: &[&str]| {
        let args = [&["deploy", "--all", "--forks", "1", "--fleet-dir", &dir], more].concat();
        Terminal::start(&fleet.cli(), &args, (24, 80))
    };
    for (answer, code, count) in [("n\n", 6, 0), ("\n", 6, 0), ("y\n", 0, 21)] {
        let mut terminal = start(&[]);
        terminal.see("21 nodes will be changed. Deploy?").await;
        terminal.type_in(answer);
        assert_eq!((terminal.end().await, made()), (code, count), "{answer}");
    }
    // Nobody is asked where nothing changes, where fewer do, and where it was answered before.
    assert_eq!(start(&[]).end().await, 0);
    for (more, count) in [(&["--exclude", "n20"][..], 20), (&["--yes"], 21)] {
        fs::remove_dir_all(&out).unwrap();
        fs::create_dir(&out).unwrap();
        assert_eq!((start(more).end().await, made()), (0, count), "{more:?}");
    }
}
