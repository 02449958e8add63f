//! Fleet directories with real nodes: this host, and OpenSSH servers on it.

use crate::Cli;
use std::{fmt::Write, fs, path::Path};
use tempfile::TempDir;
use testkit::sshd::Sshd;

/// A fleet directory, whose nodes `web1`, `web2`, ... are servers of its own. Their home directories have a file `name`
/// with their name. `local` is this host.
#[derive(Debug)]
pub struct Fleet {
    dir: TempDir,
    nodes: Vec<Sshd>,
}

impl Fleet {
    /// So many nodes, and `local`.
    ///
    /// # Panics
    /// Where a server does not start.
    pub async fn start(nodes: usize) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let mut fleet = Fleet { dir, nodes: Vec::new() };
        for number in 1..=nodes {
            let node = Sshd::start(&[]).await.expect("an SSH server");
            fs::write(node.home().join("name"), format!("web{number}\n")).expect("its name");
            fleet.nodes.push(node);
        }
        fs::create_dir_all(fleet.path()).expect("a directory");
        let platforms = "platforms:\n  - {name: lab, type: yaml, path: .}\n";
        fs::write(fleet.path().join("hostler.yaml"), platforms).expect("hostler.yaml");
        fleet.write_inventory(&[]);
        fleet
    }

    /// Where it is.
    pub fn path(&self) -> std::path::PathBuf {
        self.dir.path().join("fleet")
    }

    /// The servers, in the order of their numbers.
    pub fn nodes(&self) -> &[Sshd] {
        &self.nodes
    }

    /// Writes the inventory anew, with more metadata for some nodes: `("web1", "ssh_port: 1")`. What is given replaces
    /// what is usual.
    ///
    /// # Panics
    /// Where it cannot be written.
    pub fn write_inventory(&self, more: &[(&str, &str)]) {
        let mut text = String::from("local:\n  metadata: {local_node: true, description: This host}\n");
        for (i, node) in self.nodes.iter().enumerate() {
            let name = format!("web{}", i + 1);
            let usual = [
                format!("host_ip: {}", node.address().ip()),
                format!("ssh_port: {}", node.address().port()),
                format!("ssh_user: {}", node.user()),
                format!("ssh_private_key_file: {}", node.identity().display()),
                format!("host_keys: ['{}']", node.host_key()),
            ];
            let given: Vec<&str> = more.iter().filter(|(n, _)| *n == name).map(|(_, line)| *line).collect();
            let key = |line: &str| line.split(':').next().unwrap_or_default().to_owned();
            let kept =
                usual.iter().map(String::as_str).filter(|line| given.iter().all(|g| key(g) != key(line)));
            let _ = writeln!(text, "{name}:\n  metadata:");
            for line in kept.chain(given.iter().copied()) {
                let _ = writeln!(text, "    {line}");
            }
            let _ = writeln!(text, "  services: [web]");
        }
        fs::write(self.path().join("inventory.yaml"), text).expect("inventory.yaml");
    }

    /// The command line, with a home of its own.
    ///
    /// # Panics
    /// Where that cannot be made.
    pub fn cli(&self) -> Cli {
        let home = self.dir.path().join("home");
        fs::create_dir_all(&home).expect("a home");
        Cli::new(&home)
    }

    /// A call in the fleet directory, to be changed further.
    pub fn command(&self, args: &[&str]) -> tokio::process::Command {
        let mut command = self.cli().command(args);
        command.current_dir(self.path());
        command
    }

    /// Calls in the fleet directory, and waits.
    pub async fn run(&self, args: &[&str]) -> crate::Ran {
        Cli::finish(self.command(args), b"").await
    }

    /// A file of the fleet directory.
    pub fn file(&self, path: impl AsRef<Path>) -> Option<String> {
        fs::read(self.path().join(path)).ok().map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    }
}
