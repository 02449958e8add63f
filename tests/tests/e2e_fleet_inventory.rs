//! Inventories on the command line: no controller, no network but the loopback.

#![allow(clippy::unwrap_used)] // what is not as it must be ends the test

use e2e::{Cli, Ran};
use serde_json::{Value, json};
use std::{fs, path::Path, process::Stdio};
use tempfile::TempDir;
use testkit::sshd::Sshd;

/// A home, and in it a fleet directory `fleet` with these files.
struct Fleet {
    home: TempDir,
    cli: Cli,
}

impl Fleet {
    fn new(files: &[(&str, &str)]) -> Self {
        let home = TempDir::new().unwrap();
        let fleet = Fleet { cli: Cli::new(home.path()), home };
        fs::create_dir_all(fleet.home.path().join(".ssh")).unwrap();
        for (name, text) in files {
            fleet.write(&format!("fleet/{name}"), text);
        }
        fleet
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.home.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    async fn run(&self, args: &[&str]) -> Ran {
        self.run_in("fleet", args).await
    }

    async fn run_in(&self, dir: &str, args: &[&str]) -> Ran {
        let mut command = self.cli.command(args);
        command.current_dir(self.home.path().join(dir)).env_remove("hpc_ssh_user");
        for name in ["HOSTLER_FLEET_DIR", "HOSTLER_SSH_USER", "HOSTLER_SSH_CONFIG"] {
            command.env_remove(name);
        }
        Cli::finish(command, b"").await
    }

    /// The names that a selection means.
    async fn names(&self, args: &[&str]) -> String {
        let args = [&["node", "list", "-o", "name"], args].concat();
        self.run(&args).await.ok().lines().collect::<Vec<_>>().join(" ")
    }
}

/// As chapter 3 of that system's tutorial lays it out, with addresses that need no name server.
fn web_fleet() -> Fleet {
    let web = |i: u32| {
        format!(
            "web{i}:\n  metadata:\n    description: Web service nbr {i}\n    hostname: 127.0.1.{i}\n    planet: {}\n  \
             services:\n    - web-hello\n",
            if i.is_multiple_of(2) { "Venus" } else { "Mars" }
        )
    };
    let webs: Vec<String> = (1..=10).map(web).collect();
    let local = "---\nlocal:\n  metadata:\n    description: The local environment\n    local_node: true\n  services:\n    - my-service\n";
    let nodes = format!(
        "{local}{}",
        webs.concat().replacen("    - web-hello\n", "    - web-hello\n    - my-service\n", 1)
    );
    Fleet::new(&[
        ("hostler.yaml", "platforms:\n  - type: yaml\n    path: my-service-conf-repo\n"),
        ("my-service-conf-repo/inventory.yaml", &nodes),
    ])
}

#[tokio::test]
async fn e2e_report_is_the_table_of_the_tutorial() {
    let fleet = web_fleet();
    let table = fleet.run(&["report"]).await.ok();
    let wanted = "\
+-------+----------------------+------------+------------+-----------+----+-----------------------+-----------------------+
| Node  | Platform             | Host name  | IP         | Physical? | OS | Description           | Services              |
+-------+----------------------+------------+------------+-----------+----+-----------------------+-----------------------+
| local | my-service-conf-repo |            |            | No        |    | The local environment | my-service            |
| web1  | my-service-conf-repo | 127.0.1.1  | 127.0.1.1  | No        |    | Web service nbr 1     | my-service, web-hello |
| web10 | my-service-conf-repo | 127.0.1.10 | 127.0.1.10 | No        |    | Web service nbr 10    | web-hello             |
| web2  | my-service-conf-repo | 127.0.1.2  | 127.0.1.2  | No        |    | Web service nbr 2     | web-hello             |
| web3  | my-service-conf-repo | 127.0.1.3  | 127.0.1.3  | No        |    | Web service nbr 3     | web-hello             |
| web4  | my-service-conf-repo | 127.0.1.4  | 127.0.1.4  | No        |    | Web service nbr 4     | web-hello             |
| web5  | my-service-conf-repo | 127.0.1.5  | 127.0.1.5  | No        |    | Web service nbr 5     | web-hello             |
| web6  | my-service-conf-repo | 127.0.1.6  | 127.0.1.6  | No        |    | Web service nbr 6     | web-hello             |
| web7  | my-service-conf-repo | 127.0.1.7  | 127.0.1.7  | No        |    | Web service nbr 7     | web-hello             |
| web8  | my-service-conf-repo | 127.0.1.8  | 127.0.1.8  | No        |    | Web service nbr 8     | web-hello             |
| web9  | my-service-conf-repo | 127.0.1.9  | 127.0.1.9  | No        |    | Web service nbr 9     | web-hello             |
+-------+----------------------+------------+------------+-----------+----+-----------------------+-----------------------+
";
    assert_eq!(table, wanted);
    let data = fleet.run(&["report", "--node", "web1", "-o", "json"]).await.json();
    assert_eq!(
        data,
        json!([{"node": "web1", "platform": "my-service-conf-repo", "hostname": "127.0.1.1", "ip": "127.0.1.1",
            "physical": false, "os": "", "description": "Web service nbr 1",
            "services": ["my-service", "web-hello"]}])
    );
    let yaml = fleet.run(&["report", "--node", "web2", "-o", "yaml"]).await.ok();
    assert!(yaml.starts_with("- node: web2\n  platform: my-service-conf-repo\n"), "{yaml}");
}

#[tokio::test]
async fn e2e_an_empty_fleet_has_an_empty_table() {
    let fleet = Fleet::new(&[("hostler.yaml", "")]);
    let table = fleet.run(&["report"]).await.ok();
    assert_eq!(table.lines().count(), 4, "{table}");
    assert!(table.lines().nth(1).unwrap().starts_with("| Node | Platform | Host name | IP | Physical? |"));
}

#[tokio::test]
async fn e2e_selectors_mean_the_same_in_all_spellings() {
    let fleet = web_fleet();
    for (args, wanted) in [
        (&["--node", "web4"][..], "web4"),
        (&["--node", "web4", "--node", "web10"], "web10 web4"),
        (&["--node", "/web[135].*/"], "web1 web10 web3 web5"),
        (&["--node", "/web[1-5]$/"], "web1 web2 web3 web4 web5"),
        (&["--node", "/web[2-8]/"], "web2 web3 web4 web5 web6 web7 web8"),
        (&["--node-service", "my-service"], "local web1"),
        (&["--nodes-service", "my-service"], "local web1"),
        (&["--node_service=my-service"], "local web1"),
        (&["-r", "my-service", "-n", "web9"], "local web1 web9"),
        (&["--where", "planet=Mars,name!=web1"], "web3 web5 web7 web9"),
        (&["--label", "planet in (Venus,Pluto)", "--limit", "/web[2-4]/"], "web2 web4"),
        (&["--all", "--exclude", "service:web-hello"], "local"),
        (&["--all_nodes", "--exclude", "planet=Venus", "--exclude", "local"], "web1 web3 web5 web7 web9"),
        (&["--nodes-platform", "my-service-conf-repo", "--limit", "web1"], "web1"),
        (&["--node", "/nothing/", "--allow-empty"], ""),
        (&["--where", "host_ip=127.0.1.7"], "web7"),
    ] {
        assert_eq!(fleet.names(args).await, wanted, "{args:?}");
    }
    assert_eq!(fleet.names(&["--all"]).await, fleet.names(&[]).await);
}

#[tokio::test]
async fn e2e_slips_are_errors_that_help() {
    let fleet = web_fleet();
    let words = fleet.run(&["report", "--node", "wbe1"]).await.fails(5);
    assert_eq!(words, "error: there is no node 'wbe1'\nhint: did you mean 'web1'?\n");
    let words = fleet.run(&["report", "--node", "/x/"]).await.fails(5);
    assert!(words.starts_with("error: no node is meant by /x/\n"), "{words}");
    assert!(fleet.run(&["report", "--node", "/[/"]).await.fails(2).contains("is not a regular expression"));
    assert!(fleet.run(&["report", "--where", "a=("]).await.fails(2).contains("a comma or the end"));

    fleet.write("fleet/hostler.yaml", "platforms:\n  - tpye: yaml\n");
    let words = fleet.run(&["report"]).await.fails(2);
    assert!(
        words.ends_with("hostler.yaml:2:5: unknown field 'tpye'\nhint: did you mean 'type'?\n"),
        "{words}"
    );
    let problem = fleet.run(&["report", "-o", "json"]).await.fails(2);
    let problem: Value = serde_json::from_str(problem.trim()).unwrap();
    assert!(problem["field"].as_str().unwrap().ends_with("hostler.yaml:2:5"), "{problem}");
}

#[tokio::test]
async fn e2e_the_fleet_directory_is_here_above_or_named() {
    let fleet = web_fleet();
    let one = ["report", "--node", "web1", "-o", "name", "--fleet-dir"];
    fleet.run_in("fleet/my-service-conf-repo", &one[..3]).await.ok();
    let words = fleet.run_in("", &one[..3]).await.fails(5);
    assert!(words.contains("there is no hostler.yaml in "), "{words}");
    fleet.run_in("", &[&one[..], &["fleet"]].concat()).await.ok();
    fleet.run_in("", &[&one[..], &["nope"]].concat()).await.fails(5);
    let mut command = fleet.cli.command(&one[..3]);
    command.env("HOSTLER_FLEET_DIR", fleet.home.path().join("fleet"));
    Cli::finish(command, b"").await.ok();
}

#[tokio::test]
async fn e2e_nodes_are_shown_with_all_that_is_known() {
    let fleet = web_fleet();
    let node = fleet.run(&["node", "show", "web1", "-o", "json"]).await.json();
    assert_eq!(node["metadata"]["planet"], "Mars");
    assert_eq!(node["services"], json!(["web-hello", "my-service"]));
    assert!(node["origin"].as_str().unwrap().ends_with("inventory.yaml:8:1"), "{node}");
    let text = fleet.run(&["nodes", "show", "web1", "local"]).await.ok();
    assert!(text.starts_with("name          local\n") && text.contains("\n\nname          web1\n"), "{text}");
    assert!(text.contains("planet        Mars\n"), "{text}");
    let table = fleet.run(&["node", "list", "-n", "web1"]).await.ok();
    assert!(table.starts_with("NAME   PLATFORM               ADDRESS     SERVICES"), "{table}");
}

/// Runs a tool of OpenSSH with a configuration.
async fn openssh(program: &str, config: &Path, args: &[&str]) -> Ran {
    let mut command = rt::process::command(program);
    command.arg("-F").arg(config).args(args).stdin(Stdio::null());
    Cli::finish(command, b"").await
}

#[tokio::test]
async fn e2e_ssh_config_leads_ssh_and_scp_to_the_nodes() {
    let server = Sshd::start(&[]).await.unwrap();
    let address = server.address();
    let key = server.host_key();
    let fleet = Fleet::new(&[(
        "hostler.yaml",
        "platforms: [{name: lab, type: yaml, path: .}, {type: ssh-config}]\n",
    )]);
    let key: Vec<&str> = key.split_whitespace().take(2).collect();
    fleet.write(
        "fleet/inventory.yaml",
        &format!(
            "web1:\n  metadata:\n    description: The first\n    hostname: web1.lab.invalid\n    host_ip: {}\n    \
             ssh_port: {}\n    ssh_private_key_file: {}\n    host_keys: ['{}']\n\
             behind: {{metadata: {{hostname: 10.9.9.9, gateway: gate, ssh_user: deep}}}}\n\
             here: {{metadata: {{local_node: true}}}}\n'odd name': {{metadata: {{hostname: x}}}}\n",
            address.ip(),
            address.port(),
            server.identity().display(),
            key.join(" ")
        ),
    );
    fleet.write(
        ".ssh/config",
        "Host gate\n  HostName gate.example.org\n  User jump\nHost alias\n  HostName 10.1.1.1\n  Port 77\n\
         Host web1.lab.invalid\n  ServerAliveInterval 7\nHost *.lab.invalid\n  IdentitiesOnly yes\n",
    );
    let config = fleet.home.path().join("generated");
    let known = fleet.home.path().join("known");
    let args = ["ssh-config", "--ssh-user", server.user(), "--known-hosts", known.to_str().unwrap()];
    let text = fleet.run(&args).await.ok();
    fs::write(&config, &text).unwrap();
    for line in [
        "# web1: The first\nHost web1\n",
        "# here: this host, without SSH\n",
        "# odd name: this name cannot be one of SSH\n",
        "    IdentitiesOnly yes\n",
    ] {
        assert!(text.contains(line), "{line} in\n{text}");
    }

    // What ssh makes of it.
    let asked = openssh("ssh", &config, &["-G", "behind"]).await.ok();
    for line in ["hostname 10.9.9.9\n", "proxyjump jump@gate\n"] {
        assert!(asked.contains(line), "{line} in\n{asked}");
    }
    let asked = openssh("ssh", &config, &["-G", "gate"]).await.ok();
    assert!(asked.contains("hostname gate.example.org\n"), "{asked}");
    let asked = openssh("ssh", &config, &["-G", "alias"]).await.ok();
    assert!(asked.contains("hostname 10.1.1.1\n") && asked.contains("port 77\n"), "{asked}");

    // And really: the keys of the inventory are believed, and only they.
    let batch = ["-o", "BatchMode=yes"];
    let said = openssh("ssh", &config, &[&batch[..], &["web1", "echo hello"]].concat()).await.ok();
    assert_eq!(said, "hello\n");
    let file = fleet.home.path().join("copied");
    let to = file.to_str().unwrap();
    let from = format!("web1:{}", config.display());
    openssh("scp", &config, &[&batch[..], &["-q", &from, to]].concat()).await.ok();
    assert_eq!(fs::read_to_string(&file).unwrap(), text);
    let forged = fs::read_to_string(&known).unwrap();
    let other = ssh::KeyPair::generate().public_openssh().unwrap();
    let name = forged.split_once(' ').unwrap().0;
    fs::write(&known, format!("{name} {other}\n")).unwrap();
    let refused = openssh("ssh", &config, &[&batch[..], &["web1", "true"]].concat()).await.fails(255);
    assert!(refused.contains("Host key verification failed"), "{refused}");

    let data = fleet.run(&["ssh-config", "-n", "alias", "-o", "json"]).await.json();
    assert_eq!((&data[0]["Host"], &data[0]["Port"]), (&json!("alias"), &json!("77")));
}

#[tokio::test]
async fn e2e_metadata_cannot_add_lines_to_the_configuration() {
    let nodes =
        "web1: {metadata: {description: \"a\\nHost *\", hostname: \"x\\nProxyCommand touch evil\"}}\n";
    let fleet = Fleet::new(&[
        ("hostler.yaml", "platforms: [{name: lab, type: yaml, path: .}]\n"),
        ("inventory.yaml", nodes),
    ]);
    let words = fleet.run(&["ssh-config"]).await.fails(2);
    assert!(words.contains("control character") && words.contains("inventory.yaml:1:1"), "{words}");
}

#[tokio::test]
async fn e2e_a_host_key_is_trusted_by_name() {
    let server = Sshd::start(&[]).await.unwrap();
    let address = server.address();
    let fleet = Fleet::new(&[("hostler.yaml", "platforms: [{name: lab, type: yaml, path: .}]\n")]);
    let metadata = format!("hostname: web1.lab, host_ip: {}, ssh_port: {}", address.ip(), address.port());
    fleet.write(
        "fleet/inventory.yaml",
        &format!("web1: {{metadata: {{{metadata}}}}}\nme: {{metadata: {{local_node: true}}}}\n"),
    );
    // Debian's system-wide configuration hides the names.
    fleet.write(".ssh/config", "HashKnownHosts no\n");
    let known = fleet.home.path().join(".ssh/known_hosts");
    let wrong = ["node", "trust", "web1", "--fingerprint", "SHA256:x"];
    assert!(fleet.run(&wrong).await.fails(4).contains("web1 shows another host key"));
    assert!(!known.exists());
    let data = fleet.run(&["node", "trust", "web1.lab", "-o", "json"]).await.json();
    let fingerprint = data[0]["fingerprint"].as_str().unwrap();
    assert!(server.host_key().starts_with(data[0]["key"].as_str().unwrap()), "{data}");
    let kept = fs::read_to_string(&known).unwrap();
    assert!(kept.starts_with(&format!("[{}]:{} ssh-ed25519 ", address.ip(), address.port())), "{kept}");
    let said = fleet.run(&["node", "trust", "web1", "--fingerprint", fingerprint]).await;
    assert!(said.stderr.starts_with("web1 is believed to be SHA256:"), "{said:?}");
    assert_eq!((said.code, fs::read_to_string(&known).unwrap()), (0, kept));
    assert!(fleet.run(&["node", "trust", "me"]).await.fails(2).contains("me is not reached by SSH"));
}
