//! Reading the files: the edge of the configuration.

use super::{
    HostConfig, Named, Query, Surroundings, glob, named, oracle,
    resolve::{self, Stuck},
    script::{self, At, Script},
    tokens,
};
use base::{Code, Error, Result};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::Arc,
};

/// The configuration for all users.
const SYSTEM: &str = "/etc/ssh/ssh_config";
/// OpenSSH stops here too.
const DEEPEST: usize = 16;

/// Which files count.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Files {
    /// The user's own, then the system's.
    #[default]
    Usual,
    /// Only this one, as with `ssh -F`.
    Only(PathBuf),
    /// None.
    Nothing,
}

/// Files that were read, and what they say about the hosts that were asked for.
#[derive(Debug)]
pub struct Config {
    files: Files,
    me: Surroundings,
    scripts: Vec<Script>,
    digest: [u8; 32],
    answers: Mutex<HashMap<Query, Arc<HostConfig>>>,
}

impl Config {
    /// Reads the files and all that they include.
    ///
    /// # Errors
    /// [`Code::NotFound`] where the file of [`Files::Only`] does not exist; [`Code::Invalid`] with the place of a line
    /// that cannot be read.
    pub fn load(files: &Files, me: &Surroundings) -> Result<Self> {
        let own = me.home.join(".ssh");
        let mut loader = Loader { me, dir: &own, digest: ring::digest::Context::new(&ring::digest::SHA256) };
        let scripts = match files {
            Files::Nothing => Vec::new(),
            Files::Only(path) => {
                let file = loader.file(path, 0)?;
                let file = file.ok_or_else(|| {
                    Error::not_found(format!("there is no SSH configuration at {}", path.display()))
                })?;
                vec![file]
            }
            Files::Usual => {
                let user = loader.file(&own.join("config"), 0)?;
                loader.dir = Path::new("/etc/ssh");
                user.into_iter().chain(loader.file(Path::new(SYSTEM), 0)?).collect()
            }
        };
        let mut digest = [0; 32];
        digest.copy_from_slice(loader.digest.finish().as_ref());
        Ok(Config { files: files.clone(), me: me.clone(), scripts, digest, answers: Mutex::default() })
    }

    /// The hosts that `Host` lines name without a pattern, in the order of the files, each once.
    pub fn named(&self) -> Vec<Named> {
        named::of(&self.scripts)
    }

    /// Reads the files again. `None` where they say what they said before.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn reload(&self) -> Result<Option<Self>> {
        let now = Self::load(&self.files, &self.me)?;
        Ok((now.digest != self.digest).then_some(now))
    }

    /// What they say about a host. Each is resolved once. Where they ask for what only OpenSSH can do (`Match exec`,
    /// canonical names, keywords that we do not know), `ssh -G` is asked.
    ///
    /// # Errors
    /// [`Code::Invalid`] with the place of a value that cannot be one.
    pub async fn resolve(&self, query: &Query) -> Result<Arc<HostConfig>> {
        if let Some(known) = self.answers.lock().get(query) {
            return Ok(Arc::clone(known));
        }
        let answer = Arc::new(match self.resolve_here(query) {
            Ok(answer) => answer,
            Err(Stuck::Wrong(e)) => return Err(e),
            Err(Stuck::Foreign(why)) => {
                tracing::debug!(host = query.host, %why, "asking ssh -G");
                self.ask_openssh(query).await.map_err(|e| match e.code {
                    Code::NotFound => why.because(e),
                    _ => e,
                })?
            }
        });
        self.answers.lock().insert(query.clone(), Arc::clone(&answer));
        Ok(answer)
    }

    /// As [`Self::resolve`], by the files alone: nothing runs and nothing is kept.
    ///
    /// # Errors
    /// [`Code::Invalid`] also where only OpenSSH could tell.
    pub fn resolve_alone(&self, query: &Query) -> Result<HostConfig> {
        self.resolve_here(query).map_err(|(Stuck::Wrong(e) | Stuck::Foreign(e))| e)
    }

    pub(super) fn resolve_here(&self, query: &Query) -> Result<HostConfig, Stuck> {
        let values = resolve::values(query, &self.me, &self.scripts)?;
        Ok(HostConfig::new(&query.host, &values, &self.me)?)
    }

    pub(super) async fn ask_openssh(&self, query: &Query) -> Result<HostConfig> {
        let values = oracle::values(&self.files, query).await?;
        HostConfig::new(&query.host, &values, &self.me)
    }
}

struct Loader<'a> {
    me: &'a Surroundings,
    /// Where the relative paths of `Include` start.
    dir: &'a Path,
    /// Of all that was read, and from where.
    digest: ring::digest::Context,
}

impl Loader<'_> {
    fn file(&mut self, path: &Path, depth: usize) -> Result<Option<Script>> {
        let Some(bytes) = rt::files::read_optional(path)? else { return Ok(None) };
        let name = path.display().to_string();
        for part in [name.as_bytes(), &bytes] {
            self.digest.update(&(part.len() as u64).to_le_bytes());
            self.digest.update(part);
        }
        let text = String::from_utf8_lossy(&bytes);
        let mut includes = |at: &At, names: &[String]| self.includes(at, names, depth + 1);
        script::parse(&name, &text, &mut includes).map(Some)
    }

    fn includes(&mut self, at: &At, names: &[String], depth: usize) -> Result<Vec<Script>> {
        if depth > DEEPEST {
            return Err(Error::new(Code::Invalid, "files include each other too deeply").at(at.to_string()));
        }
        let mut scripts = Vec::new();
        for name in names {
            let pattern = tokens::below(self.dir, tokens::home(name, self.me)?);
            for path in glob::files(&pattern) {
                scripts.extend(self.file(&path, depth)?);
            }
        }
        Ok(scripts)
    }
}
