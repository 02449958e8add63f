//! Fleet directories through the controller: real repositories, real nodes, and code that must be kept apart.

#![allow(clippy::unwrap_used, clippy::expect_used)] // what is not as it must be ends the test

use e2e::{Cluster, Layout, Ran, Setup, eventually, skip};
use rt::process::Signal;
use serde_json::{Value, json};
use std::{fs, path::Path, time::Duration};
use testkit::sshd::Sshd;

const PATIENCE: Duration = Duration::from_mins(1);

/// Whether this machine can keep code apart; says so where it cannot.
async fn possible(test: &str) -> bool {
    match runner::Sandbox::available().await {
        Ok(()) => true,
        Err(e) => {
            skip(test, &e.to_string());
            false
        }
    }
}

async fn git(dir: &Path, args: &[&str]) {
    let mut command = rt::process::command("git");
    command.current_dir(dir).args(["-c", "user.name=test", "-c", "user.email=test@example.org"]).args(args);
    rt::process::run(command, PATIENCE).await.unwrap();
}

/// A repository with a fleet directory: one node behind this server, and one that is the place where the code runs.
async fn repository(dir: &Path, node: &Sshd) {
    fs::create_dir_all(dir).unwrap();
    fs::write(dir.join("hostler.yaml"), "platforms:\n  - name: estate\n    type: yaml\n    path: .\n")
        .unwrap();
    let (ip, port) = (node.address().ip(), node.address().port());
    let inventory = format!(
        "node:\n  metadata:\n    host_ip: {ip}\n    ssh_port: {port}\n    ssh_user: {}\n\
         here:\n  metadata:\n    local_node: true\n  services: [mark]\n",
        node.user()
    );
    fs::write(dir.join("inventory.yaml"), inventory).unwrap();
    let service = dir.join("services/mark");
    fs::create_dir_all(&service).unwrap();
    let steps = "steps:\n  - file:\n      path: /tmp/mark\n      content: here\n";
    fs::write(service.join("service.yaml"), steps).unwrap();
    git(dir, &["init", "--quiet"]).await;
    git(dir, &["add", "."]).await;
    git(dir, &["commit", "--quiet", "-m", "an estate"]).await;
}

/// A cluster that knows the directory, with a key for its node. Loopback is allowed: that is where test nodes are.
struct Scene {
    cluster: Cluster,
    node: Sshd,
}

impl Scene {
    async fn start() -> Self {
        let cluster = Cluster::start(Setup::synthetic(Layout::Apart, 1)).await;
        let node = Sshd::start(&[]).await.unwrap();
        let repo = cluster.dir().join("repo");
        repository(&repo, &node).await;
        let (ip, port) = (node.address().ip(), node.address().port());
        let known = cluster.dir().join("known_hosts");
        fs::write(&known, format!("[{ip}]:{port} {}\n", node.host_key())).unwrap();
        let identity = node.identity();
        let cli = cluster.cli();
        let key = ["credential", "create", "root-key", "--ssh-key", identity.to_str().unwrap()];
        cli.run(&key).await.ok();
        let url = format!("ssh://{}@{ip}:{port}{}", node.user(), repo.display());
        let create =
            ["fleet", "create", "estate", "--git", &url, "--credential", "root-key", "--known-hosts"];
        cli.run(&[&create[..], &[known.to_str().unwrap()]].concat()).await.ok();
        let scene = Scene { cluster, node };
        let allow = json!({"spec": {"runnerNetworks": ["127.0.0.0/8"]}});
        scene.send("PATCH", "/v1/settings", &allow).await.ok();
        scene
    }

    async fn send(&self, method: &str, path: &str, body: &Value) -> Ran {
        let text = body.to_string();
        self.cluster.cli().run_with(&["api", method, path, "--input", "-"], text.as_bytes()).await
    }

    async fn get(&self, path: &str) -> Value {
        self.cluster.cli().run(&["api", "GET", path]).await.json()
    }

    async fn audit(&self) -> Vec<Value> {
        let page = self.get("/v1/audit?limit=1000").await;
        page["items"].as_array().unwrap().clone()
    }

    /// The paths of audit records of operations with this result, without what leads to them.
    async fn reached(&self, result: &str) -> Vec<String> {
        let of_operation = |r: &Value| {
            let path = r["path"].as_str()?.split_once("/operations/")?.1.split_once('/')?.1.to_owned();
            (r["result"] == result && r["verb"] == "connect").then_some(path)
        };
        self.audit().await.iter().filter_map(of_operation).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_commands_run_on_nodes_through_the_controller() {
    if !possible("e2e_commands_run_on_nodes_through_the_controller").await {
        return;
    }
    let scene = Scene::start().await;
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

#[tokio::test(flavor = "multi_thread")]
async fn e2e_a_hostile_directory_gets_four_refusals_and_four_records() {
    if !possible("e2e_a_hostile_directory_gets_four_refusals_and_four_records").await {
        return;
    }
    let scene = Scene::start().await;
    let cli = scene.cluster.cli();
    scene.send("POST", "/v1/projects", &json!({"name": "blue", "spec": {}})).await.ok();
    let theirs = json!({"name": "word", "spec": {"kind": "text", "value": "the-word-of-blue"}});
    scene.send("POST", "/v1/projects/blue/credentials", &theirs).await.ok();
    let state = scene.cluster.data_dir();
    let ask = "import socket\n\
               s = socket.socket(socket.AF_UNIX); s.connect('/run/hostler/broker.sock')\n\
               s.sendall(b'GET /credentials/blue/word HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n')\n\
               print(s.recv(4096).decode())";
    let script = format!(
        "cat {0}/store.db {0}/ca.key\npython3 -c \"{ask}\"\n/hostler sandbox-connect 169.254.169.254 80\ntrue",
        state.display()
    );
    let run = ["fleet", "run", "estate", "--", "--node", "here", "--command", &script];
    let ran = cli.run(&run).await;
    let said = format!("{}{}", ran.stdout, ran.stderr);
    assert!(said.contains("link-local"), "{said}");
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
    if !possible("e2e_commands_cut_off_by_a_crash_are_not_repeated").await {
        return;
    }
    let mut scene = Scene::start().await;
    let mark = scene.node.home().join("began");
    let command = format!("echo x >>{0}; sleep 600", mark.display());
    let run = ["fleet", "run", "estate", "--detach", "--", "--node", "node", "--command", &command];
    let name = scene.cluster.cli().run(&run).await.ok().trim().to_owned();
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
    if !possible("e2e_only_a_check_of_all_nodes_tells_of_drift").await {
        return;
    }
    let scene = Scene::start().await;
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
    if !possible("e2e_an_operation_is_cancelled").await {
        return;
    }
    let scene = Scene::start().await;
    let cli = scene.cluster.cli();
    let mark = scene.node.home().join("began");
    let command = format!("echo x >>{}; sleep 600", mark.display());
    let run = ["fleet", "run", "estate", "--detach", "--", "--node", "node", "--command", &command];
    let name = cli.run(&run).await.ok().trim().to_owned();
    eventually("its start", PATIENCE, || async { mark.exists().then_some(()) }).await;
    cli.run(&["operation", "cancel", &name]).await.ok();
    let path = format!("/v1/projects/default/operations/{name}");
    eventually("its end", PATIENCE, || async {
        let operation = scene.get(&path).await;
        (operation["status"]["state"] == "Cancelled").then_some(())
    })
    .await;
}
