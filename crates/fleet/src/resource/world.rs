//! What a node has: as it was seen, and as it will be after the changes planned so far.

mod facts;

use base::{Error, Result};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};

/// What a path is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file, with the SHA-256 of its content in hexadecimal where it may be read.
    File(Option<String>),
    /// A directory.
    Directory,
    /// A symbolic link to this text.
    Link(String),
    /// A device, a socket, a pipe.
    Other,
}

impl Kind {
    /// As a noun.
    pub fn noun(&self) -> &'static str {
        match self {
            Kind::File(_) => "file",
            Kind::Directory => "directory",
            Kind::Link(_) => "link",
            Kind::Other => "special file",
        }
    }
}

/// What is at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// What it is.
    pub kind: Kind,
    /// Its permissions, with setuid, setgid and sticky bit.
    pub mode: u32,
    /// The user who owns it, by number and by name.
    pub owner: [String; 2],
    /// Its group, by number and by name.
    pub group: [String; 2],
    /// Its size in bytes.
    pub size: usize,
    /// Its content, where it was asked for and is not too large.
    pub content: Option<Bytes>,
}

/// Whether a supervisor knows a service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Load {
    /// It does not.
    #[default]
    Missing,
    /// It does.
    Loaded,
    /// It does, and somebody forbade that it starts.
    Masked,
}

/// What the supervisor says of a service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceState {
    /// Whether the supervisor knows it.
    pub load: Load,
    /// Whether it runs.
    pub active: bool,
    /// Whether it starts with the machine; `None` where that cannot be chosen.
    pub enabled: Option<bool>,
    /// Whether the supervisor has not read its newest definition.
    pub stale: bool,
}

/// An account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Its number.
    pub uid: String,
    /// The name of its primary group.
    pub group: String,
    /// The comment, by convention the full name.
    pub comment: String,
    /// Its home directory.
    pub home: String,
    /// Its login shell.
    pub shell: String,
    /// The other groups that it is in.
    pub groups: BTreeSet<String>,
}

/// A working tree of git.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree {
    /// The commit that is checked out, if there is one.
    pub head: Option<String>,
    /// How many files differ from that commit.
    pub dirty: usize,
    /// Where it was cloned from.
    pub url: String,
    /// What the remote repository calls by the wanted name: commit and reference.
    pub remote: Vec<(String, String)>,
}

/// A container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContainerState {
    /// The id of the image that the wanted name means on the node, if it is there.
    pub image: Option<String>,
    /// Whether it runs, the image it was made from, and the settings that it was made with; `None` where there is none.
    pub found: Option<(bool, String, String)>,
    /// The variables that it has, those of its image too.
    pub variables: BTreeMap<String, String>,
}

/// All that was seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct World {
    /// The home of the user who looked.
    pub home: String,
    /// By absolute path.
    pub paths: BTreeMap<String, Seen>,
    /// The names in directories that must go, by absolute path.
    pub entries: BTreeMap<String, BTreeSet<String>>,
    /// Tools that are not there.
    pub missing: BTreeSet<String>,
    /// `apt-get`, `dnf` or `apk`; empty where there is none.
    pub manager: String,
    /// Installed packages and their versions.
    pub packages: BTreeMap<String, String>,
    /// What the package manager would do, by the key of the look.
    pub would: BTreeMap<usize, Vec<String>>,
    /// Why something could not be foretold, by the key of the look.
    pub cannot: BTreeMap<usize, String>,
    /// `systemd` or `openrc`; empty where there is none.
    pub supervisor: String,
    /// Services by name.
    pub services: BTreeMap<String, ServiceState>,
    /// Accounts by name.
    pub users: BTreeMap<String, Account>,
    /// Accounts that were asked for and are there, by name or by number.
    pub accounts: BTreeSet<String>,
    /// Groups that were asked for and are there, by name.
    pub groups: BTreeSet<String>,
    /// Directories that steps before bring, with more in them than was looked at: clones, homes.
    pub brought: BTreeSet<String>,
    /// Working trees, by the key of the look.
    pub trees: BTreeMap<usize, Tree>,
    /// Containers, by the key of the look.
    pub containers: BTreeMap<usize, ContainerState>,
    /// Handlers that an earlier deployment owes.
    pub pending: BTreeSet<String>,
    /// Whether something planned before may have changed what was not looked at: a script, a package.
    pub loose: bool,
}

impl World {
    /// A path with `~/` at its beginning replaced.
    pub fn absolute(&self, path: &str) -> String {
        match path.strip_prefix("~/") {
            Some(rest) => format!("{}/{rest}", self.home),
            None => path.to_owned(),
        }
    }

    /// Whether something may be at an absolute path that was not seen there, because a step before brings it.
    pub fn may_have(&self, path: &str) -> bool {
        let above = |dir: &String| {
            path.strip_prefix(dir.as_str()).is_some_and(|rest| rest.starts_with('/') || rest.is_empty())
        };
        self.loose || self.brought.iter().any(above)
    }

    /// Makes sure that there is an account of this name.
    ///
    /// # Errors
    /// [`base::Code::NotFound`] where there is none.
    pub fn account(&self, name: &str) -> Result<()> {
        if self.loose || self.accounts.contains(name) || self.users.contains_key(name) {
            return Ok(());
        }
        Err(Error::not_found(format!("the node has no user '{name}'"))
            .hint("add a user step before this one"))
    }

    /// Makes sure that there is a group of this name.
    ///
    /// # Errors
    /// [`base::Code::NotFound`] where there is none.
    pub fn group(&self, name: &str) -> Result<()> {
        if self.loose || self.groups.contains(name) {
            return Ok(());
        }
        Err(Error::not_found(format!("the node has no group '{name}'"))
            .hint("add a step before this one that creates it"))
    }

    /// From now on this is at an absolute path.
    pub fn put(&mut self, path: String, seen: Seen) {
        if let Some((names, name)) = self.entry(&path) {
            names.insert(name);
        }
        self.paths.insert(path, seen);
    }

    /// From now on nothing is at an absolute path, or below it.
    pub fn remove(&mut self, path: &str) {
        if let Some((names, name)) = self.entry(path) {
            names.remove(&name);
        }
        let below = format!("{path}/");
        self.paths.retain(|p, _| p != path && !p.starts_with(&below));
    }

    /// The names in the directory of a path, where they are known, and its own.
    fn entry(&mut self, path: &str) -> Option<(&mut BTreeSet<String>, String)> {
        let (directory, name) = path.rsplit_once('/')?;
        Some((self.entries.get_mut(directory)?, name.to_owned()))
    }
}
