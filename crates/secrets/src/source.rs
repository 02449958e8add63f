//! The kinds of sources.

pub mod age;
pub mod command;
pub mod credential;
pub mod env;
pub mod file;
pub mod keepass;
pub mod vault;

use crate::{Secrets, Surroundings};
use base::Result;
use serde::Deserialize;

/// One entry of the section `secrets` of `hostler.yaml`. Each source gives a map of names and values; `at` puts it below
/// a name (`at: db.prod`).
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Source {
    /// A file encrypted with age.
    Age(age::Age),
    /// Variables of the environment.
    Env(env::Env),
    /// What a command prints.
    Command(command::Command),
    /// A secret of HashiCorp Vault.
    Vault(vault::Vault),
    /// A KeePass database.
    Keepass(keepass::Keepass),
    /// A plain file.
    File(file::File),
    /// What a controller keeps for a directory that it runs.
    Credential(credential::Credential),
}

impl Source {
    /// Reads it now.
    ///
    /// # Errors
    /// It cannot be read; the source is named, no value is told.
    pub async fn read(&self, surroundings: &Surroundings) -> Result<Secrets> {
        let name = self.name();
        let (read, at) = match self {
            Source::Age(s) => (s.read(&name, surroundings).await, s.at.as_deref()),
            Source::Env(s) => (s.read(&name, surroundings), s.at.as_deref()),
            Source::Command(s) => (s.read(&name, surroundings).await, s.at.as_deref()),
            Source::Vault(s) => (s.read(&name, surroundings).await, s.at.as_deref()),
            Source::Keepass(s) => (s.read(&name, surroundings).await, s.at.as_deref()),
            Source::File(s) => (s.read(&name, surroundings), s.at.as_deref()),
            Source::Credential(s) => (s.read(&name, surroundings).await, Some(s.place())),
        };
        let secrets =
            read.map_err(|e| if e.field.is_none() { e.at(format!("secrets: {name}")) } else { e })?;
        let at: Vec<String> = at.into_iter().flat_map(|at| at.split('.')).map(ToOwned::to_owned).collect();
        Ok(secrets.below(&at))
    }

    /// How errors and lists name it.
    pub fn name(&self) -> String {
        match self {
            Source::Age(s) => format!("age {}", s.file.display()),
            Source::Env(s) => format!("env {}", s.prefix),
            Source::Command(s) => format!("command {}", s.argv.first().map_or("", String::as_str)),
            Source::Vault(s) => format!("vault {}/{}", s.mount, s.path),
            Source::Keepass(s) => format!("keepass {}", s.database.display()),
            Source::File(s) => format!("file {}", s.file.display()),
            Source::Credential(s) => format!("credential {}", s.name),
        }
    }
}

#[cfg(test)]
mod tests;
