//! The dialer against real OpenSSH servers.

#![allow(clippy::unwrap_used)] // what tests share is test code too

mod certificates;
mod host_keys;
mod login;
mod pool;
mod questions;
mod transports;
mod ways;

use bytes::Bytes;
use ssh::{
    Connection, DialOptions, Dialer, ExecRequest, HostKeyPolicy, Target,
    config::{Files, Surroundings},
};
use std::path::PathBuf;
use tempfile::TempDir;
use testkit::{ssh_agent::SshAgent, sshd::Sshd};

/// A home directory of its own, with what OpenSSH's client finds there.
struct Home(TempDir);

impl Home {
    fn new() -> Self {
        let home = Home(tempfile::tempdir().unwrap());
        std::fs::create_dir(home.0.path().join(".ssh")).unwrap();
        home
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(".ssh").join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    fn surroundings(&self) -> Surroundings {
        Surroundings {
            home: self.0.path().to_owned(),
            user: "somebody".into(),
            host: "here".into(),
            ..Surroundings::default()
        }
    }

    /// Strict about host keys.
    fn strict(&self) -> Dialer {
        self.dialer(Some(HostKeyPolicy::Strict))
    }

    /// A dialer that has an agent.
    fn with_agent(&self, agent: &SshAgent) -> Dialer {
        let me = Surroundings { agent: Some(agent.socket()), ..self.surroundings() };
        Dialer::new(&me, self.options(Some(HostKeyPolicy::Strict))).unwrap()
    }

    fn options(&self, host_keys: Option<HostKeyPolicy>) -> DialOptions {
        DialOptions { files: Files::Only(self.path("config")), host_keys, ..DialOptions::default() }
    }

    fn dialer(&self, host_keys: Option<HostKeyPolicy>) -> Dialer {
        Dialer::new(&self.surroundings(), self.options(host_keys)).unwrap()
    }
}

/// A server that the home knows as `web1`, strictly.
async fn known_server(extra: &[&str]) -> (Sshd, Home) {
    let server = Sshd::start(extra).await.unwrap();
    let home = Home::new();
    home.write("config", &host_lines("web1", &server));
    home.write("known_hosts", &known_line(&server));
    (server, home)
}

/// The lines of a configuration that lead to a server.
fn host_lines(name: &str, server: &Sshd) -> String {
    format!(
        "Host {name}\n HostName {}\n Port {}\n User {}\n IdentityFile {}\n",
        server.address().ip(),
        server.address().port(),
        server.user(),
        server.identity().display()
    )
}

/// The line of known_hosts for a server.
fn known_line(server: &Sshd) -> String {
    let key: Vec<&str> = server.host_key().split(' ').take(2).collect();
    format!("[{}]:{} {}\n", server.address().ip(), server.address().port(), key.join(" "))
}

async fn says(connection: &Connection, command: &str) -> String {
    let output = connection.output(ExecRequest::command(command), Bytes::new(), 1 << 20).await.unwrap();
    assert!(output.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// How many logged in at a server.
fn logins(server: &Sshd) -> usize {
    server.log().matches("Accepted publickey for").count()
}

fn target(name: &str) -> Target {
    Target::new(name)
}
