//! What has to be seen of a node: collected from all its resources, asked in one script.

use super::address::Address;
use ssh::quote;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

/// The functions that the script calls.
const OBSERVE: &str = include_str!("observe.sh");
/// Larger files are not fetched to show what differs in them.
pub const MOST_CONTENT: usize = 1 << 20;
/// As many paths go into one command line.
const PATHS_AT_ONCE: usize = 200;

/// How much of a file is wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Content {
    /// Its attributes and its sum.
    #[default]
    Sum,
    /// Its content too, where its SHA-256 is another one.
    Unless(String),
    /// Its content too.
    Always,
}

/// What has to be seen.
#[derive(Clone, Debug, Default)]
pub struct Look {
    paths: BTreeMap<String, Content>,
    emptied: BTreeSet<String>,
    tools: BTreeSet<&'static str>,
    wanted_tools: BTreeSet<String>,
    packages: BTreeSet<String>,
    services: BTreeSet<String>,
    users: BTreeSet<String>,
    accounts: BTreeSet<String>,
    groups: BTreeSet<String>,
    pending: BTreeSet<String>,
    /// Further lines of the script. Their answers carry the key of the step that asks.
    keyed: Vec<String>,
}

impl Look {
    /// What looking itself takes.
    pub const BASE: [&str; 6] = ["stat", "sha256sum", "base64", "readlink", "tr", "wc"];

    /// Looks at a path, which may begin with `~/`.
    pub fn path(&mut self, path: &str, content: Content) {
        let known = self.paths.entry(path.to_owned()).or_default();
        if *known == Content::Sum || content == Content::Always {
            *known = content;
        }
        self.tools.extend(Self::BASE);
    }

    /// Looks at a path and at the directory that it is in.
    pub fn path_and_parent(&mut self, path: &str, content: Content) {
        self.path(path, content);
        if let Some(parent) = super::parent(path) {
            self.path(parent, Content::Sum);
        }
    }

    /// Looks what is in a directory that must go.
    pub fn entries(&mut self, path: &str) {
        self.emptied.insert(path.to_owned());
    }

    /// Looks whether there is a tool.
    pub fn tool(&mut self, name: &str) {
        self.wanted_tools.insert(name.to_owned());
    }

    /// Looks whether packages are installed.
    pub fn packages<'a>(&mut self, names: impl Iterator<Item = &'a str>) {
        self.packages.extend(names.map(str::to_owned));
    }

    /// Looks what the package manager would do, where it can say that without a change.
    pub fn foretell(&mut self, key: usize, action: &str, words: &[String]) {
        let words: Vec<String> = words.iter().map(|w| quote(w)).collect();
        self.keyed.push(format!("foretell {key} {action} {}", words.join(" ")));
    }

    /// Looks at a service.
    pub fn service(&mut self, name: &str) {
        self.services.insert(name.to_owned());
    }

    /// Looks at an account.
    pub fn user(&mut self, name: &str) {
        self.users.insert(name.to_owned());
    }

    /// Looks whether there is an account.
    pub fn account(&mut self, name: &str) {
        self.accounts.insert(name.to_owned());
    }

    /// Looks whether there is a group.
    pub fn group(&mut self, name: &str) {
        self.groups.insert(name.to_owned());
    }

    /// Looks at a working tree and its remote repository.
    pub fn checkout(&mut self, key: usize, path: &str, from: &Address, revision: &str) {
        let [url, user, password] = from.words();
        self.keyed.push(format!("checkout {key} {} {url} {} {user} {password}", word(path), quote(revision)));
    }

    /// Looks at a container.
    pub fn container(&mut self, key: usize, name: &str, image: &str) {
        self.keyed.push(format!("container {key} {} {}", quote(name), quote(image)));
    }

    /// Looks whether an earlier deployment owes a handler, whose file below `$state/pending` has this name.
    pub fn pending(&mut self, name: &str) {
        self.pending.insert(name.to_owned());
    }

    /// The tools that something needs, by name.
    pub fn needs(&self) -> impl Iterator<Item = &str> {
        self.tools.iter().copied().chain(self.wanted_tools.iter().map(String::as_str))
    }

    /// Lines for `sh` that define the function `observe`. It prints what [`super::World::read`] reads, and writes nothing.
    pub fn script(&self) -> String {
        let mut text = format!("{OBSERVE}\nobserve() {{\nprintf 'home %s\\n' \"$HOME\"\n");
        let mut call = |function: &str, words: &mut dyn Iterator<Item = String>| {
            let words: Vec<String> = words.collect();
            if !words.is_empty() {
                let _ = writeln!(text, "{function} {}", words.join(" "));
            }
        };
        call("tools", &mut self.needs().map(quote));
        let paths: Vec<(&String, &Content)> = self.paths.iter().collect();
        for some in paths.chunks(PATHS_AT_ONCE) {
            call("paths", &mut some.iter().map(|(path, _)| word(path)));
            for (path, content) in some {
                let (path, most) = (word(path), MOST_CONTENT.to_string());
                match content {
                    Content::Sum => {}
                    Content::Unless(sum) => call("unless", &mut [sum.clone(), path, most].into_iter()),
                    Content::Always => call("content", &mut [path, most].into_iter()),
                }
            }
        }
        call("entries", &mut self.emptied.iter().map(|path| word(path)));
        let slow = !self.packages.is_empty() || !self.services.is_empty() || !self.keyed.is_empty();
        call("watch", &mut slow.then(String::new).into_iter());
        call("packages", &mut self.packages.iter().map(|n| quote(n)));
        call("services", &mut self.services.iter().map(|n| quote(n)));
        call("users", &mut self.users.iter().map(|n| quote(n)));
        call("known passwd", &mut self.accounts.iter().map(|n| quote(n)));
        call("known group", &mut self.groups.iter().map(|n| quote(n)));
        for line in &self.keyed {
            call(line, &mut std::iter::once(String::new()));
        }
        call("pending", &mut self.pending.iter().map(|n| quote(n)));
        text.push_str("}\n");
        text
    }
}

/// A path as one word of `sh`. `~/` at its beginning is the home.
pub fn word(path: &str) -> String {
    match path.strip_prefix("~/") {
        Some(rest) => format!("\"$HOME\"/{}", quote(rest)),
        None => quote(path),
    }
}
