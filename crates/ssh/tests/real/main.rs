//! The client against a real OpenSSH server.

#![allow(clippy::unwrap_used)] // what tests share is test code too

mod connect;
mod exec;
mod files;
mod key_agent;

use ssh::{Auth, Connection, HostKeyCheck, KeyPair, Options};
use testkit::sshd::Sshd;

/// A server, and how to get into it.
struct Server(Sshd);

impl Server {
    async fn start() -> Self {
        Self::start_with(&[]).await
    }

    async fn start_with(extra: &[&str]) -> Self {
        Server(Sshd::start(extra).await.unwrap())
    }

    fn options(&self) -> Options {
        let key = KeyPair::from_openssh(self.0.user_key()).unwrap();
        let known = HostKeyCheck::Pinned(vec![self.0.host_key().to_owned()]);
        Options::new(self.0.user(), vec![Auth::Key(key)], known)
    }

    async fn connect(&self) -> Connection {
        self.connect_with(self.options()).await.unwrap()
    }

    async fn connect_with(&self, options: Options) -> base::Result<Connection> {
        Connection::connect(self.0.dial().await.unwrap(), options).await
    }
}
