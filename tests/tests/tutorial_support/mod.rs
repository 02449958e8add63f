//! Ten web servers and an operator, as the tutorial of Hybrid Platforms Conductor has them, and what is typed there.

#![allow(clippy::expect_used)] // part of a test

pub mod chapter;
pub mod printed;

use chapter::Entry;
use e2e::{Shell, skip};
use std::fs;
use testkit::hosts::{Network, missing};

/// The hosts, and a shell on the one of the operator.
pub struct Scene {
    pub network: Network,
    pub shell: Shell,
}

impl Scene {
    /// Hosts from `web1` to `web10` in this domain; `None` where this machine cannot have them, which is said.
    pub async fn start(test: &str, domain: &str) -> Option<Self> {
        if let Some(reason) = missing().await {
            skip(test, &reason);
            return None;
        }
        let names: Vec<String> = (1..=10).map(|n| format!("web{n}.{domain}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let program = e2e::binary();
        let program = program.parent().expect("the program is in a directory");
        let network = Network::start(&names, &[program]).await.expect("hosts can be made");
        let operator = network.operator();
        let mut bash = operator.command("bash");
        bash.env("NO_COLOR", "1");
        let here = operator.root().join("run");
        let shell = Shell::start(bash, here, "/run".into());
        Some(Scene { network, shell })
    }

    /// Types something that must go well.
    pub async fn type_in(&mut self, lines: &str) {
        let ran = self.shell.enter(lines).await;
        assert_eq!(ran.code, 0, "{lines}\n{}{}", ran.stdout, ran.stderr);
    }

    /// Types what a chapter says, which must print what it says.
    pub async fn play(&mut self, entry: &Entry) {
        let ran = self.shell.enter(&entry.lines).await;
        if let Err(why) = printed::holds(entry, &ran) {
            let (out, err, expected) = (&ran.stdout, &ran.stderr, entry.printed.join("\n"));
            panic!("{why}\n{}code {}\n{out}\n{err}\nexpected:\n{expected}", entry.lines, ran.code);
        }
    }

    /// Lets all hosts serve this page.
    pub async fn serve(&self, text: &[u8]) {
        for host in self.network.hosts() {
            fs::write(host.root().join("root/hello_world.txt"), text).expect("a page");
            host.serve_page().await.expect("a web server");
        }
    }

    /// A file of the operator's.
    pub fn file(&self, path: &str) -> Vec<u8> {
        let path = self.network.operator().root().join(path.trim_start_matches('/'));
        fs::read(path).expect("a file of the operator's")
    }

    /// Lets the owner of this key, and nobody else, log in everywhere.
    pub fn admit(&self, public_key: &[u8]) {
        for host in self.network.hosts() {
            fs::write(host.root().join("root/.ssh/authorized_keys"), public_key).expect("a key");
        }
    }
}
