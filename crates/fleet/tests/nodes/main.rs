//! Commands on real nodes: over SSH, OpenSSH with bash as login shell and dropbear on a host that has BusyBox only; and in
//! a container that has BusyBox only.

#![allow(clippy::unwrap_used, clippy::disallowed_macros)] // what tests share is test code too

mod commands;
mod facts;
mod faults;

use fleet::{
    connector::{Connectors, Login, Ssh},
    session::{Command, Ended, Output, Session},
};
use inventory::Node;
use ssh::{
    DialOptions,
    config::{Files, Surroundings},
};
use std::{net::SocketAddr, path::PathBuf, time::Duration};
use testkit::{docker::Engine, dropbear::Dropbear, sshd::Sshd};

const SOON: Duration = Duration::from_mins(1);
const PLENTY: usize = 64 << 20;

/// A server of one of the kinds.
enum Server {
    OpenSsh(Sshd),
    Dropbear(Dropbear),
    Container(Engine),
}

/// The name of the container.
const CONTAINER: &str = "box";

impl Server {
    async fn open_ssh() -> Self {
        Server::OpenSsh(Sshd::start(&[]).await.unwrap())
    }

    /// One of each kind that this machine can have. Says which it cannot.
    async fn each(test: &str) -> Vec<Self> {
        let mut servers = Self::each_of_ssh(test).await;
        match Engine::missing().await {
            None => servers.push(Self::container().await),
            Some(reason) => println!("SKIPPED {test}: {reason}"),
        }
        servers
    }

    async fn container() -> Self {
        let engine = Engine::start().await.unwrap();
        engine.container(CONTAINER).await.unwrap();
        Server::Container(engine)
    }

    /// The same without those that are no servers.
    async fn each_of_ssh(test: &str) -> Vec<Self> {
        let mut servers = vec![Self::open_ssh().await];
        match Dropbear::missing().await {
            None => servers.push(Server::Dropbear(Dropbear::start().await.unwrap())),
            Some(reason) => println!("SKIPPED {test}: {reason}"),
        }
        servers
    }

    fn name(&self) -> &'static str {
        match self {
            Server::OpenSsh(_) => "OpenSSH",
            Server::Dropbear(_) => "dropbear",
            Server::Container(_) => "Docker",
        }
    }

    fn address(&self) -> SocketAddr {
        match self {
            Server::OpenSsh(server) => server.address(),
            Server::Dropbear(server) => server.address(),
            Server::Container(_) => unreachable!("a container is no server"),
        }
    }

    fn identity(&self) -> PathBuf {
        match self {
            Server::OpenSsh(server) => server.identity(),
            Server::Dropbear(server) => server.identity(),
            Server::Container(_) => unreachable!("a container is no server"),
        }
    }

    fn host_key(&self) -> &str {
        match self {
            Server::OpenSsh(server) => server.host_key(),
            Server::Dropbear(server) => server.host_key(),
            Server::Container(_) => unreachable!("a container is no server"),
        }
    }

    /// The node that it is, reached at this address.
    fn node_at(&self, address: SocketAddr) -> Node {
        let mut node = Node { name: self.name().into(), ..Node::default() };
        let user = match self {
            Server::OpenSsh(server) => server.user(),
            _ => "root",
        };
        let metadata = [
            ("host_ip", address.ip().to_string().into()),
            ("ssh_port", address.port().into()),
            ("ssh_user", user.into()),
            ("ssh_private_key_file", self.identity().to_string_lossy().into()),
            ("host_keys", self.host_key().into()),
        ];
        node.metadata.extend(metadata.map(|(name, value)| (name.to_owned(), value)));
        node
    }

    fn node(&self) -> Node {
        let Server::Container(engine) = self else { return self.node_at(self.address()) };
        let metadata = [("docker", CONTAINER.into()), ("docker_host", engine.host().into())]
            .map(|(k, v)| (k.to_owned(), v));
        Node { name: self.name().into(), metadata: metadata.into(), ..Node::default() }
    }

    /// How the end by a signal shows: Docker knows codes alone.
    fn killed(&self) -> Ended {
        match self {
            Server::Container(_) => Ended::Code(128 + 9),
            _ => Ended::Signal("KILL".into()),
        }
    }

    async fn session(&self) -> Session {
        connectors().connect(&self.node()).await.unwrap()
    }
}

/// Connectors that know nothing but what the nodes say.
fn connectors() -> Connectors {
    let options = DialOptions {
        files: Files::Nothing,
        connect_timeout: Duration::from_secs(5),
        ..DialOptions::default()
    };
    let ssh = Ssh::new(Surroundings::default(), options, Login::default());
    Connectors::new([Box::new(ssh) as _])
}

/// Runs a command to its end, within bounds.
async fn output(session: &Session, command: Command) -> Output {
    rt::clock::timeout(SOON, "a command", session.output(command, PLENTY)).await.unwrap().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A script that starts processes that never end and resist, and says when they are there. The word marks them.
fn lingering(mark: &str) -> String {
    format!(
        "trap '' TERM; (sleep {mark}; sleep {mark}) & echo started; sleep {mark}; sleep {mark}; sleep {mark}"
    )
}

/// A number of seconds that no other test sleeps.
fn mark() -> String {
    format!("1{}", u32::from_le_bytes(rt::ids::random_bytes()))
}

/// The processes of this machine that have this word in their arguments.
fn marked(mark: &str) -> Vec<u32> {
    let pids = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let has = |pid: &u32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.split(|byte| *byte == 0).any(|word| word == mark.as_bytes())
    };
    pids.filter(has).collect()
}

/// Waits until no process has this word.
async fn none_marked(mark: &str, after: &str) {
    let ending = async {
        while !marked(mark).is_empty() {
            rt::clock::sleep(Duration::from_millis(20)).await;
        }
    };
    rt::clock::timeout(SOON, &format!("the end of the processes after {after}"), ending).await.unwrap();
}

fn code(code: u32) -> Ended {
    Ended::Code(code)
}
