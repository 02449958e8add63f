//! Host keys that are known: files of known_hosts, as OpenSSH reads and writes them.
//!
//! A host is refused when any other key is known for it, also one of another type: a host that we know never comes with
//! a key that is only new. (OpenSSH takes a key of a type that it has not seen for a new one.)

mod books;
mod entry;
mod file;

pub(crate) use books::Books;
pub(crate) use entry::{Kind, fingerprint};
pub(crate) use file::{add, replace};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use entry::Entry;
use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::Arc,
};

/// The name of a host in these files: `[NAME]:PORT` where the port is not 22, in small letters.
pub(crate) fn host_name(host: &str, port: u16) -> String {
    let host = host.to_ascii_lowercase();
    if port == 22 { host } else { format!("[{host}]:{port}") }
}

/// One file.
#[derive(Clone, Debug, Default)]
pub(crate) struct File {
    path: PathBuf,
    entries: Vec<Entry>,
    /// Which entries speak of a name, for those that say it plainly.
    plain: HashMap<String, Vec<usize>>,
    /// The others: hashes and patterns, each of which must be tried.
    tried: Vec<usize>,
}

impl File {
    /// Reads its text.
    pub(crate) fn parse(path: &Path, text: &str) -> Self {
        let entries = text.lines().enumerate().filter_map(|(n, line)| Entry::parse(line, n + 1)).collect();
        let mut file = File { path: path.to_owned(), entries, ..File::default() };
        for (number, entry) in file.entries.iter().enumerate() {
            match entry.names.plain() {
                Some(names) => {
                    for name in names {
                        let lines = file.plain.entry(name).or_default();
                        // A line may name a host twice.
                        if lines.last() != Some(&number) {
                            lines.push(number);
                        }
                    }
                }
                None => file.tried.push(number),
            }
        }
        file
    }

    /// What it knows about a host.
    fn of<'a>(&'a self, name: &'a str) -> impl Iterator<Item = Known<'a>> {
        let plain = self.plain.get(name).into_iter().flatten().map(|n| &self.entries[*n]);
        let tried = self.tried.iter().map(|n| &self.entries[*n]).filter(|entry| entry.names.are(name));
        plain.chain(tried).map(|entry| Known {
            kind: entry.kind,
            key_type: &entry.key_type,
            blob: &entry.blob,
            path: &self.path,
            line: entry.line,
        })
    }
}

/// A key that is known, and where it is written.
#[derive(Clone, Debug)]
pub(crate) struct Known<'a> {
    pub(crate) kind: Kind,
    pub(crate) key_type: &'a str,
    pub(crate) blob: &'a [u8],
    path: &'a Path,
    line: usize,
}

impl Known<'_> {
    /// `ssh-ed25519 SHA256:... (/home/me/.ssh/known_hosts:3)`
    pub(crate) fn describe(&self) -> String {
        format!("{} {} ({}:{})", self.key_type, fingerprint(self.blob), self.path.display(), self.line)
    }

    /// `ssh-ed25519 AAAA...`
    pub(crate) fn key_line(&self) -> String {
        format!("{} {}", self.key_type, STANDARD.encode(self.blob))
    }
}

/// Several files, in the order in which they are looked into.
#[derive(Clone, Debug, Default)]
pub(crate) struct KnownHosts {
    pub(crate) files: Vec<Arc<File>>,
}

impl KnownHosts {
    /// All that is known about a host.
    pub(crate) fn of<'a>(&'a self, name: &'a str) -> impl Iterator<Item = Known<'a>> {
        self.files.iter().flat_map(move |file| file.of(name))
    }
}

#[cfg(test)]
mod tests;
