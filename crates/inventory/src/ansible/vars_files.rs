//! `group_vars/` and `host_vars/`: which files belong to a group or a host, and their variables.

use super::{builder::Vars, data::Data, source, vault::Vault, yaml};
use base::{Error, Result};
use std::{
    collections::{HashMap, HashSet},
    path::{Path, PathBuf},
    sync::Arc,
};

/// The extensions of files with variables; none is one too, and of `web`, `web.yml` and `web.json` the first counts.
const EXTENSIONS: [&str; 4] = ["", ".yml", ".yaml", ".json"];

/// A directory that may have files with variables, beside an inventory or beside playbooks.
#[derive(Debug)]
pub(super) struct Place {
    groups: Listing,
    hosts: Listing,
}

/// A directory, listed once however many names are looked for in it.
#[derive(Debug)]
struct Listing {
    dir: PathBuf,
    names: HashSet<String>,
}

impl Place {
    pub(super) fn open(dir: &Path) -> Result<Self> {
        Ok(Place {
            groups: Listing::open(dir.join("group_vars"))?,
            hosts: Listing::open(dir.join("host_vars"))?,
        })
    }
}

impl Listing {
    fn open(dir: PathBuf) -> Result<Self> {
        let entries = if dir.is_dir() { source::entries(&dir)? } else { Vec::new() };
        Ok(Listing { names: entries.into_iter().map(|(name, _)| name).collect(), dir })
    }

    /// The files for a name, in the order in which they count.
    fn files(&self, name: &str) -> Result<Vec<PathBuf>> {
        let found = EXTENSIONS.iter().map(|ext| format!("{name}{ext}")).find(|n| self.names.contains(n));
        let Some(path) = found.map(|name| self.dir.join(name)) else { return Ok(Vec::new()) };
        let mut files = Vec::new();
        if path.is_dir() {
            files_below(&path, &mut files)?;
        } else if path.exists() {
            files.push(path);
        }
        Ok(files)
    }
}

/// The files with variables of a directory and those below it, by name. Directories with an extension are passed over.
fn files_below(dir: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for (name, path) in source::entries(dir)? {
        if name.starts_with('.') || name.ends_with('~') {
            continue;
        }
        let extension = path.extension().map(|e| format!(".{}", e.to_string_lossy())).unwrap_or_default();
        if path.is_dir() {
            if extension.is_empty() {
                files_below(&path, files)?;
            }
        } else if EXTENSIONS.contains(&extension.as_str()) && path.is_file() {
            files.push(path);
        }
    }
    Ok(())
}

/// Reads files with variables, each once.
#[derive(Debug)]
pub(super) struct Reader {
    vault: Arc<Vault>,
    read: HashMap<PathBuf, Arc<Vars>>,
}

impl Reader {
    pub(super) fn new(vault: Arc<Vault>) -> Self {
        Reader { vault, read: HashMap::new() }
    }

    /// The variables that a place has for a group.
    pub(super) fn group(&mut self, place: &Place, name: &str) -> Result<Vars> {
        self.all(&place.groups, name)
    }

    /// The variables that a place has for a host.
    pub(super) fn host(&mut self, place: &Place, name: &str) -> Result<Vars> {
        self.all(&place.hosts, name)
    }

    fn all(&mut self, listing: &Listing, name: &str) -> Result<Vars> {
        let mut vars = Vars::new();
        for file in listing.files(name)? {
            vars.extend(self.file(file)?.iter().map(|(name, value)| (name.clone(), value.clone())));
        }
        Ok(vars)
    }

    fn file(&mut self, path: PathBuf) -> Result<Arc<Vars>> {
        if let Some(vars) = self.read.get(&path) {
            return Ok(vars.clone());
        }
        let name = path.display().to_string();
        let (text, sealed) = source::text(&path, &self.vault)?;
        let mut vars = Vars::new();
        match yaml::read(&name, &text)? {
            Data::Map(map) => {
                for (key, entry) in map {
                    vars.insert(key.text.into(), Arc::new(entry.value.into()));
                }
            }
            empty if empty.is_falsy() => {}
            other => {
                let message = format!("a file with variables is a map, and this is {}", other.kind());
                return Err(Error::invalid(name, message));
            }
        }
        if sealed {
            for value in vars.values() {
                self.vault.keep(value);
            }
        }
        let vars = Arc::new(vars);
        self.read.insert(path, vars.clone());
        Ok(vars)
    }
}
