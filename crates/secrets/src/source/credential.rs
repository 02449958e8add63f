//! A credential that a controller keeps, for a directory that it runs.

use crate::{Secrets, Surroundings};
use base::{Error, Name, Result, Secret};
use serde::Deserialize;

/// A text that the controller keeps for the directory's project. Each use is audited there.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Credential {
    /// What the controller calls it.
    pub name: Name,
    /// The name of the value, if not that of the credential.
    pub at: Option<String>,
}

impl Credential {
    pub(super) async fn read(&self, name: &str, surroundings: &Surroundings) -> Result<Secrets> {
        let Some(controller) = &surroundings.credentials else {
            return Err(Error::unavailable(format!(
                "the credential '{}' is kept by a controller, and this runs without one",
                self.name
            ))
            .hint(
                "register the directory and use it there (`hostler fleet create`, then `hostler fleet run`), or \
                 keep this secret in a source of another type",
            ));
        };
        let value = controller.credential(&self.name).await?;
        // As in files with passwords: what ends the line is not meant.
        let value = Secret::new(value.expose_secret().trim_end_matches(['\r', '\n']));
        let mut secrets = Secrets::default();
        secrets.insert(Vec::new(), value, true, &name.into());
        Ok(secrets)
    }

    /// The name that the value goes below.
    pub(super) fn place(&self) -> &str {
        self.at.as_deref().unwrap_or(self.name.as_str())
    }
}
