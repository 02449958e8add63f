//! Whole machines that a fleet is made of, seen from outside: what a check writes on them, and what a deployment does.

use crate::{Ran, binary};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};
use testkit::hosts::{Host, Network};

/// Where the files of a machine are looked at.
const PLACES: [&str; 8] = ["etc", "tmp", "var/log", "var/lib", "var/cache", "root", "srv", "home"];
/// What the login itself writes, whatever is done then.
const LOGINS: [&str; 4] = ["var/log/wtmp", "var/log/btmp", "var/log/lastlog", "var/log/sshd.log"];
/// Where Docker engines of tests write, which a machine sees but has no part in.
const ENGINES: &str = "tmp/docker-";
/// As long as the command line may take.
const PATIENCE: Duration = Duration::from_mins(2);

/// A fleet directory at `/root/fleet` of an operator, and its nodes.
#[derive(Debug)]
pub struct Machines {
    network: Network,
    program: PathBuf,
}

/// What can be seen of a machine's files.
#[derive(Debug, PartialEq, Eq)]
pub struct Snapshot(BTreeMap<PathBuf, Seen>);

/// Mode, owners, time of the last change, content.
type Seen = (u32, u32, u32, i64, i64, Vec<u8>);

impl Machines {
    /// Machines with these short names. `visible` are directories of this machine that all of them see.
    ///
    /// # Panics
    /// Where this machine has no such hosts: ask [`testkit::hosts::missing`] first.
    pub async fn start(names: &[&str], visible: &[&Path]) -> Self {
        let program = binary().canonicalize().expect("the program");
        let full: Vec<String> = names.iter().map(|name| format!("{name}.example.org")).collect();
        let full: Vec<&str> = full.iter().map(String::as_str).collect();
        let visible: Vec<&Path> = visible.iter().copied().chain(program.parent()).collect();
        let network = Network::start(&full, &visible).await.expect("machines");
        let machines = Machines { network, program };
        machines.write("hostler.yaml", "platforms: [{name: lab, type: yaml, path: .}]\n");
        machines
    }

    /// A machine by its short name.
    ///
    /// # Panics
    /// Where there is none.
    pub fn host(&self, name: &str) -> &Host {
        let is = |host: &&Host| host.name() == format!("{name}.example.org");
        self.network.hosts().iter().find(is).expect("a machine")
    }

    /// Boots systemd on all of them.
    ///
    /// # Panics
    /// Where it does not come up.
    pub async fn boot_systemd(&mut self) {
        for host in self.network.hosts_mut() {
            host.boot_systemd().await.expect("systemd");
        }
    }

    /// Where the program under test runs.
    pub fn operator(&self) -> &Host {
        self.network.operator()
    }

    /// The private key that all of them accept for root, as a file of this machine.
    pub fn user_key(&self) -> PathBuf {
        self.network.user_key()
    }

    /// Writes a file of the fleet directory.
    ///
    /// # Panics
    /// Where it cannot be written.
    pub fn write(&self, file: &str, text: &str) {
        let path = self.operator().root().join("root/fleet").join(file);
        fs::create_dir_all(path.parent().expect("a directory")).expect("a directory");
        fs::write(path, text).expect("a file of the fleet");
    }

    /// Writes the inventory: these nodes, each with these services. Logs in to each once: what that makes is no check's.
    ///
    /// # Panics
    /// Where that does not go well.
    pub async fn inventory(&self, nodes: &[(&str, &[&str])]) {
        let mut text = String::new();
        for (name, services) in nodes {
            let key = self.host(name).root().join("etc/ssh/ssh_host_ed25519_key.pub");
            let key = fs::read_to_string(key).expect("its host key");
            let _ = writeln!(
                text,
                "{name}:\n  metadata: {{hostname: {name}.example.org, ssh_user: root, host_keys: ['{}']}}\n  \
                 services: [{}]",
                key.trim(),
                services.join(", ")
            );
        }
        self.write("inventory.yaml", &text);
        self.hostler(&["run", "--all", "--command", "true"]).await.ok();
    }

    /// Calls the program in the fleet directory.
    ///
    /// # Panics
    /// Where it does not end within two minutes.
    pub async fn hostler(&self, args: &[&str]) -> Ran {
        let mut sh = self.operator().command("sh");
        sh.args(["-c", "cd /root/fleet && exec \"$@\"", "sh"]).arg(&self.program).args(args);
        sh.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let running = sh.spawn().expect("the program starts").wait_with_output();
        let output = rt::clock::timeout(PATIENCE, "the program", running).await.expect("its end");
        let output = output.expect("its output");
        Ran {
            code: output.status.code().unwrap_or(255),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// The files of a machine as they are now.
    pub fn snapshot(&self, name: &str) -> Snapshot {
        Snapshot::of(&self.host(name).root())
    }

    /// Checks a node, and returns its plan. Not one byte of the node may differ then, and nothing be unknown.
    ///
    /// # Panics
    /// Where it is otherwise.
    pub async fn foretold(&self, name: &str) -> Value {
        let before = self.snapshot(name);
        let found = self.hostler(&["check", "--node", name, "-o", "json"]).await.json();
        before.is_still(&self.snapshot(name));
        let plan = found["nodes"][name].clone();
        assert_eq!(plan["unknown"], 0, "{plan}");
        plan
    }

    /// Checks a node, deploys it, and looks again: the check wrote nothing and foretold what was done, and nothing more is
    /// to be done then. Returns the titles of what was done, and the lines of the differences.
    ///
    /// # Panics
    /// Where it is otherwise, and where not so many steps changed something.
    pub async fn settle(&self, name: &str, changes: usize) -> Vec<String> {
        let plan = self.foretold(name).await;
        assert_eq!(plan["changes"], changes, "{plan}");
        let done = self.hostler(&["deploy", "--node", name, "-o", "json"]).await.json();
        let item = &done["items"][0];
        assert_eq!((&item["plan"], &item["changed"]), (&plan, &Value::from(changes)), "{done}");
        let again = self.foretold(name).await;
        assert_eq!(
            (&again["changes"], &again["handlers"]),
            (&Value::from(0), &Value::Array(vec![])),
            "{again}"
        );
        let second = self.hostler(&["deploy", "--node", name]).await;
        assert!(second.code == 0 && second.stderr.contains("1 node: 0 changes"), "{second:?}");
        told(&plan)
    }
}

/// The titles of a plan and the lines of its differences.
fn told(plan: &Value) -> Vec<String> {
    let all = |key: &str| plan[key].as_array().cloned().unwrap_or_default();
    let steps = all("steps").into_iter().chain(all("handlers"));
    let parts = steps.flat_map(|step| step["parts"].as_array().cloned().unwrap_or_default());
    let lines = parts.flat_map(|part| {
        let diff = part["diff"].as_array().cloned().unwrap_or_default();
        std::iter::once(part["title"].clone()).chain(diff)
    });
    lines.map(|line| line.as_str().unwrap_or_default().to_owned()).collect()
}

impl Snapshot {
    /// All files below the usual places of a root directory, without what the login itself writes.
    pub fn of(root: &Path) -> Self {
        Self::below(root, PLACES.iter().map(|p| root.join(p)).collect())
    }

    /// All files of a directory, itself included.
    pub fn of_directory(dir: &Path) -> Self {
        Self::below(dir, vec![dir.to_owned()])
    }

    fn below(root: &Path, mut open: Vec<PathBuf>) -> Self {
        let mut all = BTreeMap::new();
        while let Some(path) = open.pop() {
            let Ok(metadata) = path.symlink_metadata() else { continue };
            let Ok(name) = path.strip_prefix(root).map(Path::to_owned) else { continue };
            let of_engine = name.to_string_lossy().starts_with(ENGINES);
            if of_engine || LOGINS.iter().any(|login| name == Path::new(login)) {
                continue;
            }
            let content = if metadata.is_file() {
                fs::read(&path).unwrap_or_default()
            } else if metadata.is_symlink() {
                fs::read_link(&path).unwrap_or_default().into_os_string().into_encoded_bytes()
            } else {
                Vec::new()
            };
            if metadata.is_dir() {
                open.extend(fs::read_dir(&path).into_iter().flatten().flatten().map(|e| e.path()));
            }
            let times = (metadata.mtime(), metadata.mtime_nsec());
            let seen = (metadata.mode(), metadata.uid(), metadata.gid(), times.0, times.1, content);
            all.insert(name, seen);
        }
        Snapshot(all)
    }

    /// Nothing differs in the other one, and there was something to look at.
    ///
    /// # Panics
    /// Where something differs.
    #[track_caller]
    pub fn is_still(&self, other: &Snapshot) {
        let paths = self.0.keys().chain(other.0.keys());
        let differs: Vec<&PathBuf> = paths.filter(|p| self.0.get(*p) != other.0.get(*p)).collect();
        assert!(differs.is_empty(), "{differs:?}");
        assert!(self.0.len() > 1000, "only {} files were looked at", self.0.len());
    }
}
