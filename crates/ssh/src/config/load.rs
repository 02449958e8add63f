//! Reading the files: the edge of the configuration.

use super::{
    HostConfig, Named, Query, Surroundings, named,
    resolve::{self, Stuck},
    script::{self, At, Script},
    tokens,
};
use base::{Code, Error, Result};
use std::path::{Path, PathBuf};

/// The configuration for all users.
const SYSTEM: &str = "/etc/ssh/ssh_config";
/// OpenSSH stops here too.
const DEEPEST: usize = 16;

/// Which files count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Files {
    /// The user's own, then the system's.
    #[default]
    Usual,
    /// Only this one, as with `ssh -F`.
    Only(PathBuf),
    /// None.
    Nothing,
}

/// Files that were read.
#[derive(Clone, Debug)]
pub struct Config {
    files: Vec<Script>,
    me: Surroundings,
}

impl Config {
    /// Reads the files and all that they include.
    ///
    /// # Errors
    /// [`Code::NotFound`] where the file of [`Files::Only`] does not exist; [`Code::Invalid`] with the place of a line
    /// that cannot be read.
    pub fn load(files: &Files, me: &Surroundings) -> Result<Self> {
        let own = me.home.join(".ssh");
        let loaded = match files {
            Files::Nothing => Vec::new(),
            Files::Only(path) => {
                let file = Loader { me, dir: &own }.file(path, 0)?;
                let file = file.ok_or_else(|| {
                    Error::not_found(format!("there is no SSH configuration at {}", path.display()))
                })?;
                vec![file]
            }
            Files::Usual => {
                let user = Loader { me, dir: &own }.file(&own.join("config"), 0)?;
                let system = Loader { me, dir: Path::new("/etc/ssh") }.file(Path::new(SYSTEM), 0)?;
                user.into_iter().chain(system).collect()
            }
        };
        Ok(Config { files: loaded, me: me.clone() })
    }

    /// The hosts that `Host` lines name without a pattern, in the order of the files, each once.
    pub fn named(&self) -> Vec<Named> {
        named::of(&self.files)
    }

    /// What they say about a host.
    ///
    /// # Errors
    /// [`Code::Invalid`] with the place of a value that cannot be one.
    pub fn resolve(&self, query: &Query) -> Result<HostConfig> {
        match resolve::values(query, &self.me, &self.files) {
            Ok(values) => HostConfig::new(&query.host, &values, &self.me),
            Err(Stuck::Wrong(e) | Stuck::Foreign(e)) => Err(e),
        }
    }
}

struct Loader<'a> {
    me: &'a Surroundings,
    /// Where the relative paths of `Include` start.
    dir: &'a Path,
}

impl Loader<'_> {
    fn file(&self, path: &Path, depth: usize) -> Result<Option<Script>> {
        let Some(bytes) = rt::files::read_optional(path)? else { return Ok(None) };
        let text = String::from_utf8_lossy(&bytes);
        let mut includes = |at: &At, names: &[String]| self.includes(at, names, depth + 1);
        script::parse(&path.display().to_string(), &text, &mut includes).map(Some)
    }

    fn includes(&self, at: &At, names: &[String], depth: usize) -> Result<Vec<Script>> {
        if depth > DEEPEST {
            return Err(Error::new(Code::Invalid, "files include each other too deeply").at(at.to_string()));
        }
        let mut scripts = Vec::new();
        for name in names {
            let pattern = tokens::below(self.dir, tokens::home(name, self.me)?);
            for path in super::glob::files(&pattern) {
                scripts.extend(self.file(&path, depth)?);
            }
        }
        Ok(scripts)
    }
}
