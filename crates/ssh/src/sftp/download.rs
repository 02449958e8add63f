//! From the server to here. What the server says is not trusted: it may be a guest that belongs to somebody else.

use super::{
    Copied, FILES_AT_ONCE, SftpClient,
    path::{Listed, from_user, join, judge, last},
    pipeline,
    progress::Tally,
    remote::{Facts, Kind},
};
use base::{Code, Error, Result};
use futures::{StreamExt, TryStreamExt, stream};
use russh_sftp::protocol::OpenFlags;
use std::{
    collections::HashSet,
    fs::{self, Permissions},
    io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

/// Deeper trees are taken for a loop, or for harm.
const DEEPEST: usize = 128;

struct Entry {
    remote: String,
    local: PathBuf,
    facts: Facts,
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
    remote: &str,
    local: &Path,
    recursive: bool,
    progress: impl FnMut(u64, u64) + Send,
) -> Result<Copied> {
    let source = from_user(remote);
    let facts = client.facts(&source).await?;
    let facts = facts.ok_or_else(|| Error::not_found(format!("there is no {source} on the server")))?;
    if facts.kind == Kind::Directory && !recursive {
        return Err(Error::new(Code::Invalid, format!("{source} is a directory on the server"))
            .hint("copy directories with --recursive"));
    }
    let target = place(client, &source, local, facts.kind).await?;
    let plan = Plan::of(client, source, target, facts).await?;
    let tally = Tally::new(plan.bytes, plan.skipped, progress);
    let fresh = directories(&plan.entries, &tally).await?;
    let copies = stream::iter(&plan.entries).map(|entry| contents(client, entry, &tally));
    copies.buffer_unordered(FILES_AT_ONCE).try_collect::<()>().await?;
    // Last, since a mode may forbid writing into the directory; the innermost first, since it may forbid entering.
    for (path, mode) in fresh.into_iter().rev() {
        let set = tokio::fs::set_permissions(path, Permissions::from_mode(mode)).await;
        set.map_err(|e| doing("set the mode of", path, &e))?;
    }
    Ok(tally.finish())
}

fn doing(what: &str, path: &Path, e: &io::Error) -> Error {
    Error::io(format_args!("{what} {}", path.display()), e)
}

/// Where the source goes: into a directory that exists, else to that very path. Links in the path that the user gave
/// are the user's, so they are followed.
async fn place(client: &SftpClient, source: &str, local: &Path, kind: Kind) -> Result<PathBuf> {
    match tokio::fs::metadata(local).await {
        Ok(found) if found.is_dir() => {
            let resolved =
                if last(source).is_none() { client.resolve(source).await? } else { source.to_owned() };
            let name = last(&resolved).ok_or_else(|| {
                Error::new(Code::Invalid, format!("{source} has no name to give to its copy"))
                    .hint("name the target in full")
            })?;
            judge(name)?;
            Ok(local.join(name))
        }
        Ok(_) if kind == Kind::Directory => {
            Err(Error::conflict(format!("{} exists and is not a directory", local.display())))
        }
        Ok(_) => local.canonicalize().map_err(|e| doing("resolve", local, &e)),
        Err(_) => Ok(local.to_owned()),
    }
}

impl Plan {
    async fn of(client: &SftpClient, remote: String, local: PathBuf, facts: Facts) -> Result<Self> {
        let mut plan = Plan::default();
        let mut open = Vec::new();
        plan.add(Entry { remote, local, facts }, 0, &mut open);
        while let Some((remote, local, depth)) = open.pop() {
            if depth > DEEPEST {
                return Err(Error::new(
                    Code::Forbidden,
                    format!("{remote} on the server is nested too deeply"),
                )
                .because(format!("more than {DEEPEST} directories in each other")));
            }
            let mut seen = HashSet::new();
            for (name, attributes) in client.list(&remote).await? {
                match judge(&name)? {
                    Listed::Itself => {}
                    Listed::NotText => plan.skipped.push(format!("{remote}/{name}: its name is not UTF-8")),
                    Listed::Name if !seen.insert(name.clone()) => {
                        return Err(Error::new(
                            Code::Forbidden,
                            format!("the server lists {remote}/{name} twice"),
                        ));
                    }
                    Listed::Name => {
                        let path = join(&remote, &name);
                        let facts = match Facts::of(&attributes) {
                            Some(facts) => facts,
                            None => client.facts_of_link(&path).await?,
                        };
                        plan.add(
                            Entry { remote: path, local: local.join(&name), facts },
                            depth + 1,
                            &mut open,
                        );
                    }
                }
            }
        }
        Ok(plan)
    }

    fn add(&mut self, entry: Entry, depth: usize, open: &mut Vec<(String, PathBuf, usize)>) {
        match entry.facts.kind {
            Kind::Other => {
                self.skipped.push(format!("{}: a device, a socket or a pipe", entry.remote));
                return;
            }
            Kind::Directory => open.push((entry.remote.clone(), entry.local.clone(), depth)),
            Kind::File => self.bytes = self.bytes.saturating_add(entry.facts.size),
            Kind::Link => {}
        }
        self.entries.push(entry);
    }
}

/// Makes the directories that are missing, writable for now. Returns those with the modes they shall get. What is there
/// must be a directory: through a link the server could write anywhere.
async fn directories<'a>(entries: &'a [Entry], tally: &Tally<'_>) -> Result<Vec<(&'a Path, u32)>> {
    let mut fresh = Vec::new();
    for (i, entry) in entries.iter().enumerate() {
        if entry.facts.kind != Kind::Directory {
            continue;
        }
        let path = entry.local.as_path();
        match tokio::fs::symlink_metadata(path).await {
            Ok(found) if found.is_dir() => {}
            // The first one is what the user named.
            Ok(found) if i == 0 && found.is_symlink() && path.is_dir() => {}
            Ok(_) => {
                return Err(Error::conflict(format!("{} exists and is not a directory", path.display())));
            }
            Err(_) => {
                let made = tokio::fs::DirBuilder::new().mode(entry.facts.mode | 0o700).create(path).await;
                made.map_err(|e| doing("make the directory", path, &e))?;
                fresh.push((path, entry.facts.mode));
            }
        }
        tally.directory();
    }
    Ok(fresh)
}

async fn contents(client: &SftpClient, entry: &Entry, tally: &Tally<'_>) -> Result<()> {
    match entry.facts.kind {
        Kind::Directory | Kind::Other => {}
        Kind::Link => {
            let target = client.read_link(&entry.remote).await?;
            let path = entry.local.clone();
            let made = rt::task::blocking(move || make_link(&target, &path)).await?;
            made.map_err(|e| doing("make the link", &entry.local, &e))?;
            tally.link();
        }
        Kind::File => {
            file(client, entry, tally).await?;
            tally.file();
        }
    }
    Ok(())
}

/// Makes a link, in the place of a file or link that is there.
fn make_link(target: &str, path: &Path) -> io::Result<()> {
    match std::os::unix::fs::symlink(target, path) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
            fs::remove_file(path)?;
            std::os::unix::fs::symlink(target, path)
        }
        other => other,
    }
}

async fn file(client: &SftpClient, entry: &Entry, tally: &Tally<'_>) -> Result<()> {
    let handle = client.open(&entry.remote, OpenFlags::READ, None).await?;
    let copied = receive(client, &handle, entry, tally).await;
    let _ = client.close(handle, &entry.remote).await;
    copied
}

async fn receive(client: &SftpClient, handle: &str, entry: &Entry, tally: &Tally<'_>) -> Result<()> {
    let Entry { remote, local, facts } = entry;
    // A device or a pipe, such as /dev/stdout, cannot be replaced: it is written to.
    let special = tokio::fs::metadata(local).await.is_ok_and(|m| !m.is_file() && !m.is_dir());
    if special {
        let opened = tokio::fs::OpenOptions::new().write(true).open(local).await;
        let mut target = opened.map_err(|e| doing("open", local, &e))?;
        return pipeline::read_all(client, handle, remote, facts.size, &mut target, tally).await;
    }
    let partial = Partial::beside(local)?;
    let created =
        tokio::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&partial.path).await;
    let mut target = created.map_err(|e| doing("create", local, &e))?;
    pipeline::read_all(client, handle, remote, facts.size, &mut target, tally).await?;
    let done = async {
        tokio::io::AsyncWriteExt::flush(&mut target).await?;
        target.set_permissions(Permissions::from_mode(facts.mode)).await?;
        tokio::fs::rename(&partial.path, local).await
    };
    done.await.map_err(|e| doing("write", local, &e))
}

/// A file under another name, removed unless it was renamed.
struct Partial {
    path: PathBuf,
}

impl Partial {
    fn beside(target: &Path) -> Result<Self> {
        let name =
            target.file_name().ok_or_else(|| Error::internal(format!("{} has no name", target.display())))?;
        // Only the start of the name, so that a long one does not get too long.
        let start: String = name.to_string_lossy().chars().take(40).collect();
        Ok(Partial { path: target.with_file_name(format!(".{start}.{}", rt::ids::uid())) })
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        // After the rename there is nothing at this path.
        let _ = fs::remove_file(&self.path);
    }
}
