//! Bad days of checks and deployments, on whole machines: one that is down, one that hangs, one that freezes half way, one
//! with a full disk, one with another host key, one whose sudo asks. The others finish, each gets its own clear result,
//! and the next deployment completes what is missing.

#![allow(clippy::unwrap_used)] // what is not as it must be ends the test

use e2e::{binary, skip};
use serde_json::Value;
use std::{fmt::Write as _, fs, path::PathBuf, process::Stdio, time::Duration};
use testkit::hosts::{self, Host, Network};

const SOON: Duration = Duration::from_mins(2);
const NAMES: [&str; 7] = ["good", "down", "hangs", "freezes", "full", "changed", "asks"];
const SUDO: &str = "canary-of-the-sudo";

/// What each node has. The page of the second version is larger than what a full disk has left.
const SERVICE: &str = "steps:
  - file: {path: /srv/page, content: \"{{ page * length }}\\n\"}
  - remote_bash: \"{{ then | default('true') }}\"
  - bash: cat /proc/[0-9]*/cmdline >>/tmp/argv 2>/dev/null || true
  - line_in_file: {path: /srv/notes, line: \"{{ page }}\", matching: \"^v\"}
";

/// Machines, and a fleet of them on the operator's.
struct Scene {
    network: Network,
    program: PathBuf,
}

impl Scene {
    async fn start() -> Self {
        let program = binary().canonicalize().unwrap();
        let network = Network::start(&NAMES, &[program.parent().unwrap()]).await.unwrap();
        let scene = Scene { network, program };
        scene.write(
            "hostler.yaml",
            "platforms: [{name: lab, type: yaml, path: .}]\nsecrets: [{type: file, file: secrets.yaml}]\n",
        );
        scene.write("secrets.yaml", &format!("sudo: {SUDO}\n"));
        scene.write("services/web/service.yaml", SERVICE);
        scene.version("v1", 1, &[]);
        for host in scene.network.hosts() {
            host.run("mount -t tmpfs -o size=256k none /srv; echo v0 >/srv/notes").await.unwrap();
        }
        scene.host("asks").run(&format!(
            "set -e; useradd -m -s /bin/sh deploy; echo 'deploy:{SUDO}' | chpasswd\n\
             mkdir -p /etc/sudoers.d ~deploy/.ssh; rm -f /etc/sudoers.d/*; cp /root/.ssh/authorized_keys ~deploy/.ssh\n\
             echo 'deploy ALL=(ALL:ALL) NOPASSWD: ALL' >/etc/sudoers; chmod 440 /etc/sudoers"
        )).await.unwrap();
        let keys: String = NAMES.iter().fold(String::new(), |mut all, name| {
            let key = scene.file(name, "etc/ssh/ssh_host_ed25519_key.pub").unwrap();
            let _ = writeln!(all, "{name} {}", key.trim());
            all
        });
        fs::write(scene.network.operator().root().join("root/.ssh/known_hosts"), keys).unwrap();
        scene
    }

    fn host(&self, name: &str) -> &Host {
        self.network.hosts().iter().find(|h| h.name() == name).unwrap()
    }

    fn file(&self, host: &str, path: &str) -> Option<String> {
        fs::read_to_string(self.host(host).root().join(path)).ok()
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.network.operator().root().join("root/fleet").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Writes what the nodes should have: a page of this word so many times. `then` are scripts that some of them run.
    fn version(&self, page: &str, length: usize, then: &[(&str, &str)]) {
        let mut text = String::new();
        for name in NAMES {
            let login = if name == "asks" { "ssh_user: deploy, become: true" } else { "ssh_user: root" };
            let script =
                then.iter().find(|(node, _)| *node == name).map(|(_, script)| format!(", then: '{script}'"));
            let more = format!("{login}{}", script.unwrap_or_default());
            let options = "{ConnectTimeout: 6, ServerAliveInterval: 2, ServerAliveCountMax: 3}";
            let _ = writeln!(
                text,
                "{name}:\n  metadata: {{page: {page}, length: {length}, ssh_options: {options}, {more}}}\n  services: [web]"
            );
        }
        self.write("inventory.yaml", &text);
    }

    async fn hostler(&self, args: &str) -> (i32, String, String) {
        let mut sh = self.network.operator().command("sh");
        sh.args(["-c", &format!("cd /root/fleet && exec {} {args}", self.program.display())]);
        sh.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let output = rt::clock::timeout(SOON, "hostler", sh.output()).await.unwrap().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
    }

    /// Everything goes wrong at once.
    async fn break_everything(&self) {
        for (name, script) in [
            ("down", "pkill -x sshd"),
            ("hangs", "pkill -STOP -x sshd"),
            ("full", "head -c 1000000 /dev/zero >/srv/filler || true"),
            (
                "changed",
                "cd /etc/ssh; rm ssh_host_*; ssh-keygen -q -t ed25519 -N '' -f ssh_host_ed25519_key; pkill -HUP -x sshd",
            ),
            ("asks", "echo 'deploy ALL=(ALL:ALL) ALL' >/etc/sudoers"),
        ] {
            self.host(name).run(script).await.unwrap();
        }
    }

    async fn repair_everything(&self) {
        for (name, script) in [
            ("down", "/usr/sbin/sshd 2>/dev/null"),
            ("hangs", "pkill -CONT -x sshd"),
            ("freezes", "pkill -CONT sshd"),
            ("full", "rm /srv/filler"),
        ] {
            self.host(name).run(script).await.unwrap();
        }
        assert_eq!(self.hostler("node trust changed").await.0, 0);
    }

    /// A deployment of all nodes: its exit code, and what became of each node.
    async fn deploy(&self, flags: &str) -> (i32, impl Fn(&str) -> (String, String) + use<>) {
        let (code, said, complaint) = self.hostler(&format!("deploy --all -o json {flags}")).await;
        let told: Value = serde_json::from_str(&said).unwrap_or_else(|e| panic!("{e} in {said}{complaint}"));
        let result = move |name: &str| {
            let item = told["items"].as_array().unwrap().iter().find(|i| i["node"] == name).unwrap();
            (item["status"].as_str().unwrap().to_owned(), item["error"].to_string())
        };
        (code, result)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_each_bad_node_gets_its_own_result_and_the_next_deployment_completes_it() {
    if let Some(reason) = hosts::missing().await {
        return skip("e2e_each_bad_node_gets_its_own_result_and_the_next_deployment_completes_it", &reason);
    }
    let scene = Scene::start().await;
    let (code, result) = scene.deploy("").await;
    assert_eq!(code, 0, "{:?}", NAMES.map(result));
    assert_eq!(scene.file("full", "srv/page").unwrap(), "v1\n");

    scene.break_everything().await;
    scene.version("v2", 4096, &[("freezes", "pkill -STOP sshd")]);
    let (code, _, told) = scene.hostler("check --all").await;
    assert_eq!(code, 8, "{told}");
    let row = |name: &str| told.lines().find(|line| line.starts_with(name)).unwrap_or_default();
    assert!(row("down").contains("unreachable") && row("down").contains("refused"), "{told}");
    assert!(
        row("hangs").contains("unreachable") && row("hangs").contains("did not finish within 6 s"),
        "{told}"
    );
    assert!(row("changed").contains("THE HOST KEY OF changed HAS CHANGED"), "{told}");
    assert!(row("asks").contains("failed") && row("asks").contains("sudo asks for a password"), "{told}");
    assert!(told.contains("7 nodes: 3 ok, 1 failed, 3 unreachable"), "{told}");

    let (code, result) = scene.deploy("").await;
    assert_eq!(code, 8);
    for (name, status, why) in [
        ("good", "ok", "null"),
        ("down", "unreachable", "refused"),
        ("hangs", "unreachable", "did not finish within 6 s"),
        ("freezes", "unreachable", "no longer answers"),
        ("full", "failed", "a disk of the node is full"),
        ("changed", "unreachable", "hostler node trust changed"),
        ("asks", "failed", "sudo asks for a password"),
    ] {
        let (found, error) = result(name);
        assert!(found == status && error.contains(why), "{name}: {found} {error}");
    }
    assert_eq!(scene.file("good", "srv/notes").unwrap(), "v2\n");
    // Nothing is half written, and the log says why.
    let listed = scene
        .host("full")
        .run("ls -A /srv; cat /srv/page /srv/notes /var/log/deployments/*")
        .await
        .unwrap()
        .stdout;
    assert!(listed.starts_with("filler\nnotes\npage\nv1\nv1\n"), "{listed}");
    assert!(listed.contains("exit_status: failed_command\n") && listed.contains("No space left"), "{listed}");

    // Repaired, the next deployment completes what is missing, with the password of the one that asks.
    scene.repair_everything().await;
    scene.version("v2", 4096, &[("asks", "cat /proc/[0-9]*/cmdline >/tmp/argv 2>/dev/null || true")]);
    let (code, result) = scene.deploy("--become-secret sudo").await;
    assert_eq!(code, 0, "{:?}", NAMES.map(result));
    for name in NAMES {
        assert_eq!(scene.file(name, "srv/page").unwrap(), format!("{}\n", "v2".repeat(4096)), "{name}");
        assert_eq!(scene.file(name, "srv/notes").unwrap(), "v2\n", "{name}");
    }
    let (_, _, told) = scene.hostler("deploy --all --become-secret sudo").await;
    assert!(told.contains("7 nodes: 0 changes"), "{told}");
    let places = "/tmp/argv /root/.local /var/log/deployments";
    for host in [scene.host("asks"), scene.network.operator()] {
        let seen = host
            .run(&format!("cat /tmp/argv | tr '\\0' ' '; ! grep -rl {SUDO} {places}"))
            .await
            .unwrap()
            .stdout;
        assert!(seen.contains("sh -c") && !seen.contains("canary"), "{}: {seen}", host.name());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_a_disk_without_room_for_locks_and_logs_is_said() {
    if let Some(reason) = hosts::missing().await {
        return skip("e2e_a_disk_without_room_for_locks_and_logs_is_said", &reason);
    }
    let scene = Scene::start().await;
    // Room for the directory, and for nothing in it.
    scene
        .host("full")
        .run("mkdir /small; mount -t tmpfs -o nr_inodes=2 none /small; mkdir /small/state")
        .await
        .unwrap();
    let settings = "platforms: [{name: lab, type: yaml, path: .}]\n";
    scene.write("hostler.yaml", &format!("{settings}deploy: {{state_dir: /small/state}}\n"));
    let (code, _, told) = scene.hostler("deploy -n full").await;
    assert!(
        code == 1 && told.contains("a disk of the node is full") && told.contains("cannot be locked"),
        "{told}"
    );
    assert_eq!(scene.file("full", "srv/notes").unwrap(), "v0\n");

    // The work is done all the same where only its log has no room.
    scene.write("hostler.yaml", &format!("{settings}deploy: {{log_dir: /small/state/log}}\n"));
    let (code, _, told) = scene.hostler("deploy -n full").await;
    assert!(
        code == 0 && told.contains("the log could not be written") && told.contains("No space left"),
        "{told}"
    );
    assert_eq!(scene.file("full", "srv/notes").unwrap(), "v1\n");
}
