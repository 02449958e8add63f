//! Host keys that are known: files of known_hosts, as OpenSSH reads and writes them.
//!
//! A host is refused when any other key is known for it, also one of another type: a host that we know never comes with
//! a key that is only new. (OpenSSH takes a key of a type that it has not seen for a new one.)

mod entry;
mod file;

pub(crate) use entry::{Kind, fingerprint};
pub(crate) use file::{add, replace};

use base::Result;
use entry::Entry;
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

/// The name of a host in these files: `[NAME]:PORT` where the port is not 22, in small letters.
pub(crate) fn host_name(host: &str, port: u16) -> String {
    let host = host.to_ascii_lowercase();
    if port == 22 { host } else { format!("[{host}]:{port}") }
}

/// One file.
#[derive(Clone, Debug)]
pub(crate) struct File {
    pub(crate) path: PathBuf,
    entries: Vec<Entry>,
}

impl File {
    /// Reads its text.
    pub(crate) fn parse(path: &Path, text: &str) -> Self {
        let entries = text.lines().enumerate().filter_map(|(n, line)| Entry::parse(line, n + 1)).collect();
        File { path: path.to_owned(), entries }
    }

    /// Reads it from the disk; one that does not exist knows nothing.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let bytes = rt::files::read_optional(path)?.unwrap_or_default();
        Ok(File::parse(path, &String::from_utf8_lossy(&bytes)))
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
}

/// Several files, in the order in which they are looked into.
#[derive(Clone, Debug, Default)]
pub(crate) struct KnownHosts {
    pub(crate) files: Vec<Arc<File>>,
}

impl KnownHosts {
    /// All that is known about a host.
    pub(crate) fn of<'a>(&'a self, name: &'a str) -> impl Iterator<Item = Known<'a>> {
        self.files.iter().flat_map(move |file| {
            file.entries.iter().filter(move |e| e.names.are(name)).map(|e| Known {
                kind: e.kind,
                key_type: &e.key_type,
                blob: &e.blob,
                path: &file.path,
                line: e.line,
            })
        })
    }
}

#[cfg(test)]
mod tests;
