//! Fleet directories through the controller: real repositories, real nodes, and code that must be kept apart.

#![allow(clippy::unwrap_used, clippy::expect_used)] // what is not as it must be ends the test

use e2e::{Arguments, Process, Registered, eventually};
use rt::process::Signal;
use serde_json::{Value, json};
use std::{fs, time::Duration};

const PATIENCE: Duration = Duration::from_mins(1);

#[tokio::test(flavor = "multi_thread")]
async fn e2e_commands_run_on_nodes_through_the_controller() {
    if !Registered::is_possible("e2e_commands_run_on_nodes_through_the_controller").await {
        return;
    }
    let scene = Registered::start(&[], &[]).await;
    let cli = scene.cluster.cli();
    let run = ["fleet", "run", "estate", "--", "--node", "node", "--command", "echo over $SSH_CONNECTION"];
    let said = cli.run(&run).await.ok();
    assert!(said.contains("over 127.0.0.1"), "{said}");
    let reached = scene.reached("ok").await;
    let address = format!("connect/{}", scene.node.address());
    assert!(reached.iter().filter(|p| **p == address).count() >= 2, "git and the node: {reached:?}");
    assert!(reached.contains(&"signatures/root-key".to_owned()), "{reached:?}");

    let list = scene.get("/v1/projects/default/operations").await;
    let operation = &list["items"][0];
    assert_eq!(operation["status"]["state"], "Succeeded", "{operation}");
    assert_eq!(operation["status"]["result"]["exitCode"], 0);
    assert_eq!(operation["spec"]["author"], "admin");
    assert_eq!(operation["spec"]["input"]["request"]["arguments"][0], "--node");
    let name = operation["metadata"]["name"].as_str().unwrap();
    assert!(cli.run(&["operation", "log", name]).await.ok().contains("over 127.0.0.1"));

    let failing = ["fleet", "run", "estate", "--", "--node", "node", "--command", "exit 7"];
    let failed = cli.run(&failing).await;
    assert_eq!(failed.code, 1, "{failed:?}");
}

/// A service whose code looks for the controller's files, another project's credential, and what clouds tell their hosts.
const HOSTILE: &str = r"steps:
  - bash: |
      find / -path /proc -prune -o '(' -name store.db -o -name ca.key ')' -print | while read -r file; do
        echo found $file; cat $file
      done
      python3 - <<'END'
      import socket
      s = socket.socket(socket.AF_UNIX); s.connect('/run/hostler/broker.sock')
      s.sendall(b'GET /credentials/blue/word HTTP/1.1\r\nHost: x\r\n\r\n')
      print(s.recv(4096).decode())
      END
      /hostler sandbox-connect 169.254.169.254 80 || true
";

#[tokio::test(flavor = "multi_thread")]
async fn e2e_a_hostile_directory_gets_four_refusals_and_four_records() {
    if !Registered::is_possible("e2e_a_hostile_directory_gets_four_refusals_and_four_records").await {
        return;
    }
    let scene = Registered::start(&[("services/mark/service.yaml", HOSTILE)], &[]).await;
    let cli = scene.cluster.cli();
    scene.send("POST", "/v1/projects", &json!({"name": "blue", "spec": {}})).await.ok();
    let theirs = json!({"name": "word", "spec": {"kind": "text", "value": "the-word-of-blue"}});
    scene.send("POST", "/v1/projects/blue/credentials", &theirs).await.ok();
    let state = scene.cluster.data_dir();
    let ran = cli.run(&["fleet", "deploy", "estate", "--", "--node", "here"]).await;
    let said = format!("{}{}", ran.stdout, ran.stderr);
    assert!(said.contains(&format!("found {}/ca.key", state.display())), "{said}");
    assert!(said.contains("HTTP/1.1 403") && said.contains("link-local"), "{said}");
    assert!(
        !said.contains("the-word-of-blue") && !said.contains("SQLite") && !said.contains("PRIVATE KEY"),
        "{said}"
    );
    let refused = eventually("four records", PATIENCE, || async {
        let mut refused = scene.reached("forbidden").await;
        refused.sort();
        (refused.len() >= 4).then_some(refused)
    })
    .await;
    assert_eq!(
        refused,
        ["connect/169.254.169.254:80", "credentials/blue/word", "files/ca.key", "files/store.db"]
    );
    // Nor may a directory of the host be the controller's own.
    let own = json!({"name": "own", "spec": {"source": {"path": state}}});
    scene.send("POST", "/v1/projects/default/fleets", &own).await.fails(4);
    let file = json!({"name": "file", "spec": {"source": {"git": {"url": "file:///etc"}}}});
    scene.send("POST", "/v1/projects/default/fleets", &file).await.fails(2);
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_commands_cut_off_by_a_crash_are_not_repeated() {
    if !Registered::is_possible("e2e_commands_cut_off_by_a_crash_are_not_repeated").await {
        return;
    }
    let mut scene = Registered::start(&[], &[]).await;
    let mark = scene.node.home().join("began");
    let command = format!("echo x >>{0}; sleep 600", mark.display());
    let name = scene.begin("node", &command).await;
    eventually("its start", PATIENCE, || async { mark.exists().then_some(()) }).await;
    rt::process::signal(scene.cluster.controller.pid, Signal::KILL).unwrap();
    scene.cluster.controller.wait(PATIENCE).await;
    scene.cluster.restart_controller(&[]);
    scene.cluster.wait_until_serving().await;
    let path = format!("/v1/projects/default/operations/{name}");
    let ended = eventually("its end", PATIENCE, || async {
        Some(scene.get(&path).await).filter(|o| o["status"]["state"] == "Failed")
    })
    .await;
    assert!(ended["status"]["error"]["message"].as_str().unwrap().contains("controller ended"), "{ended}");
    assert_eq!(fs::read_to_string(&mark).unwrap(), "x\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_only_a_check_of_all_nodes_tells_of_drift() {
    if !Registered::is_possible("e2e_only_a_check_of_all_nodes_tells_of_drift").await {
        return;
    }
    let scene = Registered::start(&[], &[]).await;
    let cli = scene.cluster.cli();
    let path = "/v1/projects/default/fleets/estate";
    // Its exit code would say that all is well.
    cli.run(&["fleet", "check", "estate", "--", "--node", "here"]).await.ok();
    cli.run(&["fleet", "check", "estate", "--", "--all"]).await.ok();
    assert!(scene.get(path).await["status"]["lastCheck"].is_null());
    cli.run(&["fleet", "check", "estate", "--", "--all", "--exit-code"]).await.fails(3);
    let drift = eventually("the drift", PATIENCE, || async {
        Some(scene.get(path).await["status"]["lastCheck"]["drift"].clone()).filter(|d| !d.is_null())
    })
    .await;
    assert_eq!(drift, "Pending");
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_an_operation_is_cancelled() {
    if !Registered::is_possible("e2e_an_operation_is_cancelled").await {
        return;
    }
    let scene = Registered::start(&[], &[]).await;
    let cli = scene.cluster.cli();
    let mark = scene.node.home().join("began");
    let command = format!("echo x >>{}; sleep 600", mark.display());
    let name = scene.begin("node", &command).await;
    eventually("its start", PATIENCE, || async { mark.exists().then_some(()) }).await;
    cli.run(&["operation", "cancel", &name]).await.ok();
    let path = format!("/v1/projects/default/operations/{name}");
    eventually("its end", PATIENCE, || async {
        let operation = scene.get(&path).await;
        (operation["status"]["state"] == "Cancelled").then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_a_schedule_tells_of_drift_by_itself() {
    if !Registered::is_possible("e2e_a_schedule_tells_of_drift_by_itself").await {
        return;
    }
    let scene = Registered::start(&[], &["--check-every", "10s"]).await;
    let path = "/v1/projects/default/fleets/estate";
    let check = eventually("a check by the schedule", PATIENCE, || async {
        Some(scene.get(path).await["status"]["lastCheck"].clone()).filter(|check| !check.is_null())
    })
    .await;
    assert_eq!(check["drift"], "Pending");
    assert!(check["at"].as_str().is_some_and(|at| at.ends_with('Z')), "{check}");
    let name = check["operation"].as_str().unwrap();
    let operation = scene.get(&format!("/v1/projects/default/operations/{name}")).await;
    assert_eq!(operation["spec"]["author"], "schedule");
    assert_eq!(operation["status"]["result"]["nodes"]["here"]["status"], "ok", "{operation}");
    let events = scene.cluster.cli().run(&["event", "list"]).await.ok();
    assert!(events.contains("Drifted"), "{events}");
    let list = scene.cluster.cli().run(&["fleet", "list"]).await.ok();
    assert!(list.lines().any(|l| l.starts_with("estate") && l.contains("Pending")), "{list}");
}

/// Two steps of which the second one fails.
const STEPS: &str = "steps:
  - file: {path: /tmp/mark, content: here}
  - {name: stumble, remote_bash: 'echo it stumbles; exit 3'}
";

#[tokio::test(flavor = "multi_thread")]
async fn e2e_nodes_and_steps_of_an_operation_are_told_as_they_happen_and_kept() {
    if !Registered::is_possible("e2e_nodes_and_steps_of_an_operation_are_told_as_they_happen_and_kept").await
    {
        return;
    }
    let scene = Registered::start(&[("services/mark/service.yaml", STEPS)], &[]).await;
    let cli = scene.cluster.cli();
    // The first event comes while the command still waits for us.
    let go = scene.node.home().join("go");
    let command = format!("while ! test -e {}; do sleep 0.05; done", go.display());
    let name = scene.begin("node", &command).await;
    let log = scene.cluster.dir().join("watch.log");
    let mut watch = Process::start(cli.command(&["operation", "watch", &name]), &log);
    let begun = || async { watch.log().contains(" has begun").then_some(()) };
    eventually("the first event", PATIENCE, begun).await;
    fs::write(&go, "").unwrap();
    assert_eq!(watch.wait(PATIENCE).await, Some(0));
    let said = watch.log();
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines[..2], ["node: waits for its turn", "node: has begun"]);
    assert!(lines.last().unwrap().starts_with("node: ok after "), "{said}");

    // The log has the words that the verb says without a controller.
    let deployed = cli.run(&["fleet", "deploy", "estate", "--", "--all"]).await;
    assert_eq!(deployed.code, 1, "{deployed:?}");
    assert!(
        deployed.stdout.contains("===== [ here / mark ] - HPC Service Deploy ===== Begin"),
        "{deployed:?}"
    );
    assert!(deployed.stdout.contains("it stumbles"), "{deployed:?}");
    let list = scene.get("/v1/projects/default/operations").await;
    let is_deploy = |o: &&Value| o["spec"]["kind"] == "fleet-deploy";
    let operation = list["items"].as_array().unwrap().iter().find(is_deploy).unwrap();
    let result = &operation["status"]["result"];
    assert_eq!(result["report"]["items"][0]["node"], "here", "{result}");
    let here = &result["nodes"]["here"];
    assert_eq!((&here["status"], &here["code"]), (&json!("failed"), &json!(3)), "{here}");
    let steps: Vec<(&str, &str)> = here["steps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| (s["service"].as_str().unwrap(), s["state"].as_str().unwrap()))
        .collect();
    assert_eq!(steps, [("mark", "done"), ("mark", "failed")]);
    let name = operation["metadata"]["name"].as_str().unwrap();
    let events = cli.run(&["operation", "watch", name, "-o", "json"]).await.ok();
    let events: Vec<Value> = events.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let kinds: Vec<&str> = events.iter().map(|e| e["event"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["queued", "started", "step", "step", "step", "step", "finished"]);
    assert_eq!(events[5]["step"], "stumble");
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_a_directory_uses_the_credentials_that_it_was_granted() {
    if !Registered::is_possible("e2e_a_directory_uses_the_credentials_that_it_was_granted").await {
        return;
    }
    let word = format!("canary-{:x}", u64::from_le_bytes(rt::ids::random_bytes()));
    let forbidden = word.clone();
    let arguments =
        Arguments::watch(move |line| line.windows(forbidden.len()).any(|part| part == forbidden.as_bytes()));
    let config = "platforms: [{name: estate, type: yaml, path: .}]\n\
                  secrets:\n  - {type: credential, name: word, at: app.word}\n";
    let service = "steps:\n  - file: {path: /tmp/mark, content: 'it is {{ secrets.app.word }}'}\n  \
                   - remote_bash: 'cat /tmp/mark; cat /tmp/mark >&2; exit 1'\n";
    let files = [("hostler.yaml", config), ("services/mark/service.yaml", service)];
    let scene = Registered::start(&files, &[]).await;
    let cli = scene.cluster.cli();
    let file = scene.cluster.dir().join("word");
    fs::write(&file, format!("{word}\n")).unwrap();
    cli.run(&["credential", "create", "word", "--text-file", file.to_str().unwrap()]).await.ok();
    fs::remove_file(&file).unwrap();

    let run = ["fleet", "run", "estate", "--", "--node", "node", "--secret-env", "W=app.word", "--command"];
    let tell = "test -n \"$W\" && echo $W | tee ~/got; b=${W%????}; printf %s \"$b\"; sleep 0.05; echo \"${W#\"$b\"}\"";
    let refused = cli.run(&[&run[..], &[tell]].concat()).await;
    let said = format!("{}{}", refused.stdout, refused.stderr);
    assert!(refused.code != 0 && said.contains("no credential 'word'"), "{said}");

    let grant = json!({"spec": {"credentials": ["root-key", "word"]}});
    scene.send("PATCH", "/v1/projects/default/fleets/estate", &grant).await.ok();
    let ran = cli.run(&[&run[..], &[tell]].concat()).await;
    assert!(ran.code == 0 && ran.stdout.ends_with("\n********\n********\n"), "{ran:?}");
    assert_eq!(fs::read_to_string(scene.node.home().join("got")).unwrap(), format!("{word}\n"));
    let deployed = cli.run(&["fleet", "deploy", "estate", "--", "--all"]).await;
    assert!(deployed.stdout.contains("it is ********"), "{deployed:?}");

    let uses = scene.reached("ok").await;
    assert!(uses.iter().filter(|p| *p == "credentials/default/word").count() >= 2, "{uses:?}");
    assert!(scene.reached("forbidden").await.contains(&"credentials/default/word".to_owned()));

    // It is nowhere: in no answer, log or file of the controller.
    let mut told = vec![ran.stdout, ran.stderr, deployed.stdout, deployed.stderr];
    for path in ["/v1/projects/default/operations", "/v1/audit?limit=1000", "/v1/events?limit=1000"] {
        told.push(scene.get(path).await.to_string());
    }
    // The third line of a private key is its own.
    let key = fs::read_to_string(scene.node.identity()).unwrap().lines().nth(3).unwrap().to_owned();
    assert!(key.len() > 60, "{key}");
    assert!(told.iter().all(|text| !text.contains(&word) && !text.contains(&key)), "{told:#?}");
    let mut open = vec![scene.cluster.dir().to_owned()];
    let mut read = 0;
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(fs::read_dir(path).unwrap().flatten().map(|entry| entry.path()));
        } else if let Ok(bytes) = fs::read(&path) {
            read += 1;
            let has = |text: &str| bytes.windows(text.len()).any(|w| w == text.as_bytes());
            assert!(!has(&word) && !has(&key), "{}", path.display());
        }
    }
    assert!(read > 10, "only {read} files were looked at");
    arguments.clean();
}

/// A playbook for the node, as a service of it.
const PLAYBOOK: &str = "- hosts: all\n  gather_facts: false\n  tasks:\n    - name: a mark\n      copy: {dest: \"~/played\", content: \"{{ word }}\\n\"}\n";

#[tokio::test(flavor = "multi_thread")]
async fn e2e_a_playbook_is_played_from_the_sandbox() {
    const NAME: &str = "e2e_a_playbook_is_played_from_the_sandbox";
    if !Registered::is_possible(NAME).await {
        return;
    }
    let mut probe = rt::process::command("ansible-playbook");
    if probe.arg("--version").status().await.is_err() {
        return e2e::skip(NAME, "ansible-core is not installed");
    }
    let files = [
        (
            "hostler.yaml",
            "platforms: [{name: estate, type: yaml, path: .}]\nassign: [{nodes: [node], services: [play]}]\n",
        ),
        ("services/play/service.yaml", "steps: [{ansible: {playbook: site.yml, vars: {word: hello}}}]\n"),
        ("services/play/site.yml", PLAYBOOK),
    ];
    let scene = Registered::start(&files, &[]).await;
    let cli = scene.cluster.cli();
    let checked = cli.run(&["fleet", "check", "estate", "--", "--node", "node"]).await;
    assert!(checked.code == 0 && checked.stdout.contains("+hello"), "{checked:?}");
    let deployed = cli.run(&["fleet", "deploy", "estate", "--", "--node", "node"]).await;
    assert_eq!(deployed.code, 0, "{deployed:?}");
    assert_eq!(fs::read_to_string(scene.node.home().join("played")).unwrap(), "hello\n");
    let list = scene.get("/v1/projects/default/operations").await;
    let is_deploy = |o: &&Value| o["spec"]["kind"] == "fleet-deploy";
    let operation = list["items"].as_array().unwrap().iter().find(is_deploy).unwrap();
    let task = &operation["status"]["result"]["report"]["items"][0]["playbooks"][0]["tasks"][0];
    assert_eq!((&task["name"], &task["status"]), (&json!("a mark"), &json!("changed")), "{operation}");
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_a_silent_connection_holds_up_no_other() {
    const NAME: &str = "e2e_a_silent_connection_holds_up_no_other";
    if !Registered::is_possible(NAME).await {
        return;
    }
    let scene = Registered::start(&[], &[]).await;
    let cli = scene.cluster.cli();
    // It speaks in the middle of the verb's own words, beside connections that say nothing.
    let speak = "import socket, time\n\
                 def connect():\n    s = socket.socket(socket.AF_UNIX); s.connect('/run/hostler/events.sock'); return s\n\
                 silent = [connect() for _ in range(3)]\n\
                 connect().sendall(b'{\"event\": \"queued\", \"node\": \"ghost\"}\\n')\n\
                 time.sleep(600)";
    let command = format!("python3 -c \"{}\"", speak.replace('"', "\\\""));
    let name = scene.begin("here", &command).await;
    let log = scene.cluster.dir().join("watch.log");
    let watch = Process::start(cli.command(&["operation", "watch", &name]), &log);
    let told = || async { watch.log().contains("ghost: waits for its turn").then_some(()) };
    eventually("the words of the third connection", PATIENCE, told).await;
    assert!(watch.log().contains("here: has begun"), "{}", watch.log());
    cli.run(&["operation", "cancel", &name]).await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_a_schedule_keeps_its_time_when_the_controller_is_killed() {
    const NAME: &str = "e2e_a_schedule_keeps_its_time_when_the_controller_is_killed";
    if !Registered::is_possible(NAME).await {
        return;
    }
    let mut scene = Registered::start(&[], &["--check-every", "40s"]).await;
    let path = "/v1/projects/default/fleets/estate";
    let kept = eventually("half of the time", PATIENCE, || async {
        scene.get(path).await["status"]["elapsedMs"].as_u64().filter(|ms| *ms >= 20_000)
    })
    .await;
    rt::process::signal(scene.cluster.controller.pid, Signal::KILL).unwrap();
    scene.cluster.controller.wait(PATIENCE).await;
    scene.cluster.restart_controller(&[]);
    scene.cluster.wait_until_serving().await;
    // Until the check comes the count goes on from there: it never begins anew.
    let check = || async {
        let fleet = scene.get(path).await;
        let list = scene.get("/v1/projects/default/operations").await;
        let begun = list["items"].as_array().is_some_and(|items| !items.is_empty());
        let elapsed = fleet["status"]["elapsedMs"].as_u64().unwrap_or_default();
        assert!(begun || elapsed >= kept, "{elapsed} after {kept}");
        begun.then_some(())
    };
    eventually("the check", PATIENCE, check).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_an_operation_that_never_stops_talking_is_ended() {
    if !Registered::is_possible("e2e_an_operation_that_never_stops_talking_is_ended").await {
        return;
    }
    let scene = Registered::start(&[], &[]).await;
    let flood = "exec -a flood-of-this-test yes $(head -c 30000 /dev/zero | tr '\\0' x)";
    let command = format!("bash -c \"{flood}\"");
    let name = scene.begin("here", &command).await;
    let path = format!("/v1/projects/default/operations/{name}");
    let ended = eventually("its end", PATIENCE * 2, || async {
        Some(scene.get(&path).await).filter(|o| o["status"]["state"] == "Failed")
    })
    .await;
    let why = ended["status"]["error"]["message"].as_str().unwrap();
    assert!(why.contains("said more than 256 MiB"), "{ended}");
    let log = scene.cluster.data_dir().join("operations");
    let kept: u64 = fs::read_dir(log).unwrap().flatten().map(|f| f.metadata().unwrap().len()).sum();
    assert!(kept < 17 << 20, "{kept} bytes are kept");
    // Nothing of it is left.
    let left = || async {
        let lines = fs::read_dir("/proc").unwrap().flatten().map(|p| fs::read(p.path().join("cmdline")));
        let talks = |line: Vec<u8>| line.starts_with(b"flood-of-this-test");
        (!lines.flatten().any(talks)).then_some(())
    };
    eventually("the end of its processes", PATIENCE, left).await;
}
