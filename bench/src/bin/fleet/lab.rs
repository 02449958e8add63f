//! Nodes that are SSH servers of this benchmark, and the files by which each tool knows them. All tools log in with the same keys,
//! check the same host keys and exchange keys in the same way.

use bench::cpu_time_with_children;
use e2e::Cli;
use futures::future::join_all;
use std::{
    fmt::Write,
    fs,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    time::Duration,
};
use tempfile::TempDir;
use testkit::sshd::Sshd;

/// Nodes, and the directory of their fleet.
pub struct Lab {
    dir: TempDir,
    servers: Vec<Sshd>,
    nodes: usize,
}

/// What each tool puts on a node.
const TEMPLATE: &str = "# {{ title }}\nlisten = {{ listen }}\nworkers = 4\nlog = {{ place }}/log\n";

/// The two steps of the service, as each tool calls them.
const SERVICE: &str = r#"steps:
  - template: {src: app.j2, path: "{{ place }}/app.conf", mode: "0644"}
  - remote_bash: "echo reloaded >{{ place }}/reloaded"
"#;
const PLAYBOOK: &str = r#"- hosts: all
  gather_facts: false
  tasks:
    - template: {src: app.j2, dest: "{{ place }}/app.conf", mode: "0644"}
    - shell: "echo reloaded >{{ place }}/reloaded"
"#;
const OPERATIONS: &str = r#"from pyinfra import host
from pyinfra.operations import files, server

data = {key: host.data.get(key) for key in ("title", "listen", "place")}
files.template(src="app.j2", dest=f"{data['place']}/app.conf", mode="644", **data)
server.shell(commands=[f"echo reloaded >{data['place']}/reloaded"])
"#;

impl Lab {
    /// So many nodes on so many servers. Each node has an address of its own.
    pub async fn start(servers: usize, nodes: usize) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let starting = (0..servers).map(|_| Sshd::start_at(Ipv4Addr::UNSPECIFIED, async |_| Ok(Vec::new())));
        let servers = join_all(starting).await.into_iter().map(|s| s.expect("an SSH server")).collect();
        let lab = Lab { dir, servers, nodes };
        fs::create_dir_all(lab.path("home")).expect("a home");
        for node in 0..nodes {
            fs::create_dir_all(lab.place(node)).expect("a place");
        }
        lab.write_files();
        lab
    }

    /// How many nodes there are.
    pub fn len(&self) -> usize {
        self.nodes
    }

    /// A file of the directory that all calls start in.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Processor time of the servers so far, and of all that they ran.
    pub fn cpu_time(&self) -> Duration {
        self.servers.iter().filter_map(Sshd::pid).map(cpu_time_with_children).sum()
    }

    /// The process that keeps our connections.
    pub fn keeper(&self) -> u32 {
        let lock = fs::read_to_string(self.path("home/run/hostler/persist-1/lock")).expect("a lock");
        lock.trim().parse().expect("a process id")
    }

    /// Takes away what a deployment left.
    pub fn clean(&self) {
        for node in 0..self.nodes {
            fs::remove_dir_all(self.place(node)).expect("the place of a node");
            fs::create_dir(self.place(node)).expect("the place of a node");
        }
    }

    /// On how many nodes both steps were done.
    pub fn deployed(&self) -> usize {
        let done = |node: &usize| {
            let conf = fs::read_to_string(self.place(*node).join("app.conf")).unwrap_or_default();
            conf.contains(&format!("# web{node}\nlisten = 80\n"))
                && self.place(*node).join("reloaded").exists()
        };
        (0..self.nodes).filter(done).count()
    }

    fn place(&self, node: usize) -> PathBuf {
        self.path("nodes").join(format!("web{node}"))
    }

    fn server(&self, node: usize) -> &Sshd {
        &self.servers[node % self.servers.len()]
    }

    fn write_files(&self) {
        let known_hosts = self.path("known_hosts");
        let (mut ssh, mut known) = (String::new(), String::new());
        let (mut yaml, mut ini, mut python) = (String::new(), String::new(), String::from("hosts = [\n"));
        for node in 0..self.nodes {
            let (server, place) = (self.server(node), self.place(node));
            let (address, port, place) = (address(node), server.address().port(), place.display());
            let (user, key) = (server.user(), server.identity());
            let key = key.display();
            let _ = write!(
                ssh,
                "Host web{node}\n  HostName {address}\n  Port {port}\n  User {user}\n  IdentityFile {key}\n"
            );
            let _ = writeln!(known, "[{address}]:{port} {}", server.host_key());
            let _ = writeln!(
                yaml,
                "web{node}:\n  metadata: {{hostname: web{node}, title: web{node}, listen: 80, place: {place}}}\n  services: [web]"
            );
            let _ = writeln!(ini, "web{node} title=web{node} listen=80 place={place}");
            let _ = writeln!(
                python,
                "  ('web{node}', dict(title='web{node}', listen=80, place='{place}', ssh_hostname='{address}', \
                 ssh_port={port}, ssh_user='{user}', ssh_key='{key}', ssh_known_hosts_file='{}', \
                 ssh_strict_host_key_checking='yes')),",
                known_hosts.display()
            );
        }
        python.push_str("]\n");
        let _ = write!(
            ssh,
            "Host *\n  UserKnownHostsFile {}\n  GlobalKnownHostsFile none\n  StrictHostKeyChecking yes\n  \
             KexAlgorithms curve25519-sha256\n  IdentitiesOnly yes\n  BatchMode yes\n  LogLevel ERROR\n  \
             ConnectTimeout 120\n",
            known_hosts.display()
        );
        let lab = "platforms:\n  - {name: lab, type: yaml, path: .}\ndeploy: {state_dir: ~/state, log_dir: ~/log}\n";
        fs::create_dir_all(self.path("services/web")).expect("a directory");
        for (name, text) in [
            ("ssh_config", ssh.as_str()),
            ("known_hosts", &known),
            ("hostler.yaml", lab),
            ("inventory.yaml", &yaml),
            ("services/web/service.yaml", SERVICE),
            ("services/web/app.j2", TEMPLATE),
            ("app.j2", TEMPLATE),
            ("hosts.ini", &ini),
            ("playbook.yml", PLAYBOOK),
            ("inventory.py", &python),
            ("deploy.py", OPERATIONS),
        ] {
            write(&self.path(name), text);
        }
    }
}

/// Within 127.0.0.0/8, where the servers listen everywhere.
fn address(node: usize) -> Ipv4Addr {
    let [low, high] = [node % 250, node / 250].map(|n| u8::try_from(n).expect("not so many nodes"));
    Ipv4Addr::new(127, 1, high, low + 1)
}

/// Our program, in the directory of a lab.
pub fn hostler(dir: &Path, args: &[&str]) -> tokio::process::Command {
    let mut command = Cli::new(&dir.join("home")).command(args);
    command.env("HOSTLER_SSH_CONFIG", dir.join("ssh_config")).current_dir(dir);
    command
}

fn write(path: &Path, text: &str) {
    fs::write(path, text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
}
