//! Variables of the environment.

use crate::{Secrets, Surroundings};
use base::{Error, Result};
use serde::Deserialize;

/// Variables whose names begin alike: with the prefix `APP_`, `APP_DB__PASSWORD` becomes `db.password`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Env {
    /// How their names begin.
    pub prefix: String,
    /// The name that its values go below.
    pub at: Option<String>,
}

impl Env {
    pub(super) fn read(&self, name: &str, surroundings: &Surroundings) -> Result<Secrets> {
        if self.prefix.is_empty() {
            return Err(Error::new(base::Code::Invalid, "the prefix is empty")
                .hint("name the beginning of the variables that are secrets, e.g. APP_"));
        }
        let source = name.into();
        let mut all = Secrets::default();
        for (variable, value) in &surroundings.env {
            let Some(rest) = variable.strip_prefix(&self.prefix).filter(|r| !r.is_empty()) else { continue };
            let path: Vec<String> = rest.to_lowercase().split("__").map(ToOwned::to_owned).collect();
            let mut one = Secrets::default();
            one.insert(path, value.clone(), true, &source);
            all.merge(one)?;
        }
        Ok(all)
    }
}
