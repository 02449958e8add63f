//! The configuration of OpenSSH's client (ssh_config(5)), resolved here: what it says about a host, as `ssh -G` would
//! print it.
//!
//! Reading text is pure; only [`Config::load`] reads files, and nothing reads the environment: whoever calls says who
//! and where we are ([`Surroundings`]). What only OpenSSH can tell (`Match exec`, canonical host names, keywords of
//! versions after ours) is asked of `ssh -G`.

mod algorithms;
mod glob;
mod host;
mod jump;
mod keyword;
mod load;
mod named;
mod oracle;
pub(crate) mod pattern;
mod resolve;
mod script;
#[cfg(test)]
mod tests;
mod tokens;
mod value;
mod words;

pub use algorithms::AlgorithmList;
pub use host::{AddressFamily, Agent, HostConfig, NewHostKeys, Proxy};
pub use jump::Hop;
pub use load::{Config, Files};
pub use named::Named;

use base::Result;
use script::{At, Setting};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, path::PathBuf};

/// Who and where we are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Surroundings {
    /// The home directory of whoever runs us.
    pub home: PathBuf,
    /// The login name of whoever runs us.
    pub user: String,
    /// The user id of whoever runs us.
    pub uid: u32,
    /// The name of this host.
    pub host: String,
    /// The socket of the SSH agent, the value of `SSH_AUTH_SOCK`.
    pub agent: Option<PathBuf>,
    /// The environment, for `${NAME}` and `SendEnv`.
    pub environment: BTreeMap<String, String>,
}

/// Which host, and what is given for it: that counts before any file, as `ssh -o` does.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Query {
    host: String,
    /// Where the host really is: `Host` lines may name this too.
    address: Option<String>,
    given: Vec<Setting>,
}

impl Query {
    /// A host by the name that `Host` lines compare with.
    pub fn new(host: impl Into<String>) -> Self {
        Query { host: host.into(), address: None, given: Vec::new() }
    }

    /// Says where the host really is. The files are read for its name first and then once more for this, as OpenSSH does
    /// for the final name of a host: whoever wrote `Host 10.0.*` means the machine, whatever else it is called.
    ///
    /// # Errors
    /// As [`Self::set`].
    pub fn at(&mut self, address: &str) -> Result<()> {
        self.address = Some(address.to_owned());
        self.set_word("HostName", address.replace('%', "%%"))
    }

    /// Gives a value, `("Port", "22")`; the first value of a keyword counts.
    ///
    /// # Errors
    /// [`base::Code::Invalid`] for a keyword that is not known, and for a value that cannot be one.
    pub fn set(&mut self, keyword: &str, value: &str) -> Result<()> {
        self.given.push(script::setting(At::given(), &keyword.to_ascii_lowercase(), value)?);
        Ok(())
    }

    /// As [`Self::set`], for one word that may hold anything.
    pub(crate) fn set_word(&mut self, keyword: &str, word: String) -> Result<()> {
        let mut setting = script::setting(At::given(), &keyword.to_ascii_lowercase(), "-")?;
        setting.words = vec![word];
        self.given.push(setting);
        Ok(())
    }

    /// What is given, as `ssh -o` takes it.
    pub(crate) fn options(&self) -> Vec<String> {
        self.given.iter().map(oracle::option).collect()
    }
}
