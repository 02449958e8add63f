//! Our keys, read once.

use super::Target;
use crate::{Auth, KeyPair, config::HostConfig};
use base::{Result, Secret};
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

/// Keys by the file that they are in.
#[derive(Default)]
pub(super) struct Identities(Mutex<HashMap<PathBuf, Option<KeyPair>>>);

impl Identities {
    /// What proves who we are to a host, in the order in which it is tried.
    pub(super) fn auth(&self, target: &Target, host: &HostConfig) -> Result<Vec<Auth>> {
        let mut auth = Vec::new();
        for path in &host.identity_files {
            auth.extend(self.key(path)?.map(Auth::Key));
        }
        auth.extend(target.password.clone().map(Auth::Password));
        Ok(auth)
    }

    /// The key of a file; `None` where the file does not exist, or holds nothing that we can use.
    fn key(&self, path: &Path) -> Result<Option<KeyPair>> {
        if let Some(known) = self.0.lock().get(path) {
            return Ok(known.clone());
        }
        let text = rt::files::read_optional(path)?.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        let key = text.and_then(|text| match KeyPair::from_openssh(&Secret::new(text)) {
            Ok(key) => Some(key),
            Err(e) => {
                tracing::warn!(path = %path.display(), error = %e, "a private key is not used");
                None
            }
        });
        self.0.lock().insert(path.to_owned(), key.clone());
        Ok(key)
    }
}
