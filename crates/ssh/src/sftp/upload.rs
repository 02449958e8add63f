//! From here to the server.

use super::{
    Copied, FILES_AT_ONCE, SftpClient,
    path::{from_user, join},
    pipeline,
    progress::Tally,
    remote::{Kind, PERMISSIONS},
};
use base::{Code, Error, Result};
use futures::{StreamExt, TryStreamExt, stream};
use russh_sftp::protocol::OpenFlags;
use std::{
    fs::{self, Metadata},
    os::unix::fs::{FileTypeExt, PermissionsExt},
    path::{Path, PathBuf},
};

/// Something below the source.
struct Entry {
    local: PathBuf,
    remote: String,
    what: What,
}

enum What {
    File { mode: u32 },
    Directory { mode: u32 },
    Link { target: String },
}

/// What there is to copy, directories before what is in them.
#[derive(Default)]
struct Plan {
    entries: Vec<Entry>,
    bytes: u64,
    skipped: Vec<String>,
}

pub(super) async fn run(
    client: &SftpClient,
    local: &Path,
    remote: &str,
    recursive: bool,
    progress: impl FnMut(u64, u64) + Send,
) -> Result<Copied> {
    let source = local.to_owned();
    let facts =
        rt::task::blocking(move || fs::metadata(source)).await?.map_err(|e| doing("read", local, &e))?;
    if facts.is_dir() && !recursive {
        return Err(Error::new(Code::Invalid, format!("{} is a directory", local.display()))
            .hint("copy directories with --recursive"));
    }
    let target = place(client, local, remote, facts.is_dir()).await?;
    let (source, top) = (local.to_owned(), target.clone());
    let plan = rt::task::blocking(move || Plan::of(&source, top, &facts)).await??;
    let tally = Tally::new(plan.bytes, plan.skipped, progress);
    let fresh = directories(client, &plan.entries, &tally).await?;
    let copies = stream::iter(&plan.entries).map(|entry| contents(client, entry, &tally));
    copies.buffer_unordered(FILES_AT_ONCE).try_collect::<()>().await?;
    // Last, since a mode may forbid writing into the directory; the innermost first, since it may forbid entering.
    for (path, mode) in fresh.into_iter().rev() {
        client.set_mode_at(path, mode).await?;
    }
    Ok(tally.finish())
}

/// Where the source goes: into a directory that exists, else to that very path.
async fn place(client: &SftpClient, local: &Path, remote: &str, directory: bool) -> Result<String> {
    let path = from_user(remote);
    match client.facts(&path).await? {
        Some(found) if found.kind == Kind::Directory => Ok(join(&path, &base_name(local)?)),
        Some(_) if directory => {
            Err(Error::conflict(format!("{path} exists on the server and is not a directory")))
        }
        None if !directory && path.ends_with('/') => {
            Err(Error::not_found(format!("there is no directory {path} on the server")))
        }
        _ => Ok(path.trim_end_matches('/').to_owned()),
    }
}

fn base_name(local: &Path) -> Result<String> {
    let named = if let Some(name) = local.file_name() {
        name.to_owned()
    } else {
        // "." and ".." have a name only after resolving.
        let full = local.canonicalize().map_err(|e| doing("resolve", local, &e))?;
        full.file_name().ok_or_else(|| nameless(local))?.to_owned()
    };
    named.into_string().map_err(|_| nameless(local))
}

fn nameless(local: &Path) -> Error {
    Error::new(Code::Invalid, format!("{} has no name to give to its copy", local.display()))
        .hint("name the target in full")
}

fn doing(what: &str, path: &Path, e: &std::io::Error) -> Error {
    Error::io(format_args!("{what} {}", path.display()), e)
}

impl Plan {
    fn of(local: &Path, remote: String, facts: &Metadata) -> Result<Self> {
        let mut plan = Plan::default();
        plan.add(local, remote, facts)?;
        Ok(plan)
    }

    fn add(&mut self, local: &Path, remote: String, facts: &Metadata) -> Result<()> {
        let (kind, mode) = (facts.file_type(), facts.permissions().mode() & PERMISSIONS);
        let mut keep = |remote, what| self.entries.push(Entry { local: local.to_owned(), remote, what });
        if kind.is_dir() {
            keep(remote.clone(), What::Directory { mode });
            self.add_children(local, &remote)?;
        } else if kind.is_symlink() {
            let target = fs::read_link(local).map_err(|e| doing("read the link", local, &e))?;
            match target.into_os_string().into_string() {
                Ok(target) => keep(remote, What::Link { target }),
                Err(_) => self.skip(local, "a link whose target is not UTF-8"),
            }
        } else if kind.is_file() {
            keep(remote, What::File { mode });
            self.bytes += facts.len();
        } else {
            self.skip(local, if kind.is_fifo() { "a pipe" } else { "a device or a socket" });
        }
        Ok(())
    }

    fn add_children(&mut self, local: &Path, remote: &str) -> Result<()> {
        let mut children = fs::read_dir(local)
            .and_then(Iterator::collect::<std::io::Result<Vec<_>>>)
            .map_err(|e| doing("list", local, &e))?;
        children.sort_by_key(fs::DirEntry::file_name);
        for child in children {
            let path = child.path();
            let facts = child.metadata().map_err(|e| doing("read", &path, &e))?;
            match child.file_name().into_string() {
                Ok(name) => self.add(&path, join(remote, &name), &facts)?,
                Err(_) => self.skip(&path, "its name is not UTF-8"),
            }
        }
        Ok(())
    }

    fn skip(&mut self, path: &Path, why: &str) {
        self.skipped.push(format!("{}: {why}", path.display()));
    }
}

/// Makes the directories that are missing, writable for now. Returns those with the modes they shall get.
async fn directories<'a>(
    client: &SftpClient,
    entries: &'a [Entry],
    tally: &Tally<'_>,
) -> Result<Vec<(&'a str, u32)>> {
    let mut fresh = Vec::new();
    for entry in entries {
        let What::Directory { mode } = entry.what else { continue };
        match client.facts(&entry.remote).await? {
            Some(found) if found.kind == Kind::Directory => {}
            Some(_) => {
                let what = format!("{} exists on the server and is not a directory", entry.remote);
                return Err(Error::conflict(what));
            }
            None => {
                client.make_directory(&entry.remote, mode | 0o700).await?;
                fresh.push((entry.remote.as_str(), mode));
            }
        }
        tally.directory();
    }
    Ok(fresh)
}

async fn contents(client: &SftpClient, entry: &Entry, tally: &Tally<'_>) -> Result<()> {
    match &entry.what {
        What::Directory { .. } => Ok(()),
        What::Link { target } => {
            client.make_link(&entry.remote, target).await?;
            tally.link();
            Ok(())
        }
        What::File { mode } => {
            file(client, entry, *mode, tally).await?;
            tally.file();
            Ok(())
        }
    }
}

async fn file(client: &SftpClient, entry: &Entry, mode: u32, tally: &Tally<'_>) -> Result<()> {
    let Entry { local, remote, .. } = entry;
    let mut source = tokio::fs::File::open(local).await.map_err(|e| doing("open", local, &e))?;
    let flags = OpenFlags::WRITE | OpenFlags::CREATE | OpenFlags::TRUNCATE;
    let handle = client.open(remote, flags, Some(mode)).await?;
    let written = async {
        pipeline::write_all(client, &handle, remote, &mut source, tally).await?;
        client.set_mode(&handle, remote, mode).await
    };
    let written = written.await;
    // Closed in any case; what failed first is what counts.
    let closed = client.close(handle, remote).await;
    written.and(closed)
}
