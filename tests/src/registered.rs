//! A fleet directory that a controller knows: a real repository, a real node, and the place where its code runs.

use crate::{Cluster, Layout, Ran, Setup, skip};
use serde_json::{Value, json};
use std::{fs, path::Path, time::Duration};
use testkit::sshd::Sshd;

const PATIENCE: Duration = Duration::from_mins(1);

/// A cluster that knows the directory `estate`, with a key for its nodes: `node` is behind an SSH server, `here` is the
/// sandbox. Loopback is allowed: that is where nodes of tests are.
#[derive(Debug)]
pub struct Registered {
    /// The cluster.
    pub cluster: Cluster,
    /// The node.
    pub node: Sshd,
}

impl Registered {
    /// Whether this machine can keep code apart; says so where it cannot.
    pub async fn is_possible(test: &str) -> bool {
        match runner::Sandbox::available().await {
            Ok(()) => true,
            Err(e) => {
                skip(test, &e.to_string());
                false
            }
        }
    }

    /// With these files besides the usual ones, or instead of them, and with these flags of `fleet create`.
    ///
    /// # Panics
    /// Where it does not start.
    pub async fn start(files: &[(&str, &str)], flags: &[&str]) -> Self {
        let cluster = Cluster::start(Setup::synthetic(Layout::chosen(), 1)).await;
        let node = Sshd::start(&[]).await.expect("an SSH server");
        let repo = cluster.dir().join("repo");
        repository(&repo, &node, files).await;
        let (ip, port) = (node.address().ip(), node.address().port());
        let known = cluster.dir().join("known_hosts");
        fs::write(&known, format!("[{ip}]:{port} {}\n", node.host_key())).expect("known_hosts");
        let identity = node.identity();
        let key = ["credential", "create", "root-key", "--ssh-key", identity.to_str().expect("a path")];
        cluster.cli().run(&key).await.ok();
        let registered = Registered { cluster, node };
        let allow = json!({"spec": {"runnerNetworks": ["127.0.0.0/8"]}});
        registered.send("PATCH", "/v1/settings", &allow).await.ok();
        let url = format!("ssh://{}@{ip}:{port}{}", registered.node.user(), repo.display());
        let known = known.to_string_lossy().into_owned();
        let create =
            ["fleet", "create", "estate", "--git", &url, "--credential", "root-key", "--known-hosts", &known];
        registered.cluster.cli().run(&[&create[..], flags].concat()).await.ok();
        registered
    }

    /// Begins an operation that runs a command on a node, `node` or `here`. Its name; nobody waits for its end.
    pub async fn begin(&self, node: &str, command: &str) -> String {
        let run = ["fleet", "run", "estate", "--detach", "--", "--node", node, "--command", command];
        self.cluster.cli().run(&run).await.ok().trim().to_owned()
    }

    /// Sends a request of the API.
    pub async fn send(&self, method: &str, path: &str, body: &Value) -> Ran {
        let text = body.to_string();
        self.cluster.cli().run_with(&["api", method, path, "--input", "-"], text.as_bytes()).await
    }

    /// An object of the API.
    pub async fn get(&self, path: &str) -> Value {
        self.cluster.cli().run(&["api", "GET", path]).await.json()
    }

    /// The paths of audit records of operations with this result, without what leads to them.
    ///
    /// # Panics
    /// Where the audit cannot be read.
    pub async fn reached(&self, result: &str) -> Vec<String> {
        let page = self.get("/v1/audit?limit=1000").await;
        let of_operation = |r: &Value| {
            let path = r["path"].as_str()?.split_once("/operations/")?.1.split_once('/')?.1.to_owned();
            (r["result"] == result && r["verb"] == "connect").then_some(path)
        };
        page["items"].as_array().expect("records").iter().filter_map(of_operation).collect()
    }
}

async fn git(dir: &Path, args: &[&str]) {
    let mut command = rt::process::command("git");
    command.current_dir(dir).args(["-c", "user.name=test", "-c", "user.email=test@example.org"]).args(args);
    rt::process::run(command, PATIENCE).await.expect("git");
}

async fn repository(dir: &Path, node: &Sshd, more: &[(&str, &str)]) {
    let (ip, port, user) = (node.address().ip(), node.address().port(), node.user());
    let inventory = format!(
        "node:\n  metadata:\n    host_ip: {ip}\n    ssh_port: {port}\n    ssh_user: {user}\n\
         here:\n  metadata:\n    local_node: true\n  services: [mark]\n"
    );
    let usual = [
        ("hostler.yaml", "platforms:\n  - name: estate\n    type: yaml\n    path: .\n"),
        ("inventory.yaml", inventory.as_str()),
        ("services/mark/service.yaml", "steps:\n  - file:\n      path: /tmp/mark\n      content: here\n"),
    ];
    for (name, text) in usual.into_iter().chain(more.iter().copied()) {
        let path = dir.join(name);
        fs::create_dir_all(path.parent().expect("a directory")).expect("a directory");
        fs::write(path, text).expect("a file");
    }
    git(dir, &["init", "--quiet"]).await;
    git(dir, &["add", "."]).await;
    git(dir, &["commit", "--quiet", "-m", "an estate"]).await;
}
