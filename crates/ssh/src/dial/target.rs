//! What is reached, and how much of it is already known.

use crate::{config::Query, host_key::Pinned, options::HostKeyCheck};
use base::{Result, Secret};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Who speaks SSH.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// We do.
    Native,
    /// The program `ssh` does.
    OpenSsh,
}

/// A host to reach. Only its name is needed; what else is given counts before any configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Target {
    /// Its name: `Host` lines compare with it, and errors name it.
    pub host: String,
    /// Where it really is, a name or an address.
    pub address: Option<String>,
    /// The port of its SSH server.
    pub port: Option<u16>,
    /// The login name.
    pub user: Option<String>,
    /// Private keys for it, before those of the configuration.
    pub identity_files: Vec<PathBuf>,
    /// The password of the login.
    pub password: Option<Secret>,
    /// Its host keys, each as one line, where they are known better than any file knows them.
    pub host_keys: Vec<String>,
    /// Further values of the configuration, `("ProxyJump", "gate")`, as `ssh -o` takes them.
    pub options: Vec<(String, String)>,
    /// Who speaks SSH. `None` leaves it to [`crate::DialOptions`].
    pub transport: Option<Transport>,
}

impl Target {
    /// A host by its name alone.
    pub fn new(host: impl Into<String>) -> Self {
        Target { host: host.into(), ..Self::default() }
    }

    /// Whether all of this can be: the address, the keywords and their values, the host keys. Nothing is read.
    ///
    /// # Errors
    /// [`base::Code::Invalid`] for what cannot.
    pub fn check(&self) -> Result<()> {
        if !self.host_keys.is_empty() {
            Pinned::new(&HostKeyCheck::Pinned(self.host_keys.clone()))?;
        }
        self.query().map(drop)
    }

    pub(super) fn query(&self) -> Result<Query> {
        let mut query = Query::new(&self.host);
        if let Some(address) = &self.address {
            query.at(address)?;
        }
        let given = [("Port", self.port.map(|p| p.to_string())), ("User", self.user.clone())];
        for (keyword, value) in given {
            if let Some(value) = value {
                query.set_word(keyword, value)?;
            }
        }
        for file in &self.identity_files {
            query.set_word("IdentityFile", file.display().to_string().replace('%', "%%"))?;
        }
        for (keyword, value) in &self.options {
            query.set(keyword, value)?;
        }
        Ok(query)
    }
}
