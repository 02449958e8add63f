//! Host keys that were given, or none.

use super::describe;
use crate::HostKeyCheck;
use base::{Code, Error, Result};
use russh::keys::{Algorithm, PublicKey};

/// The keys that may come; none means any.
pub(crate) struct Pinned(Vec<PublicKey>);

impl Pinned {
    /// Takes whatever comes.
    pub(crate) fn any() -> Self {
        Pinned(Vec::new())
    }

    pub(crate) fn new(check: &HostKeyCheck) -> Result<Self> {
        let HostKeyCheck::Pinned(lines) = check else { return Ok(Pinned(Vec::new())) };
        if lines.is_empty() {
            return Err(Error::internal("no host key is pinned, so none could be accepted"));
        }
        let parse = |line: &String| {
            PublicKey::from_openssh(line)
                .map_err(|e| Error::new(Code::Invalid, format!("'{line}' is not a host key")).because(e))
        };
        Ok(Pinned(lines.iter().map(parse).collect::<Result<_>>()?))
    }

    pub(super) fn algorithms(&self) -> Vec<Algorithm> {
        self.0.iter().map(PublicKey::algorithm).collect()
    }

    pub(super) fn check(&self, came: &PublicKey) -> Result<()> {
        if self.0.is_empty() || self.0.iter().any(|k| k.key_data() == came.key_data()) {
            return Ok(());
        }
        let expected: Vec<String> = self.0.iter().map(describe).collect();
        Err(Error::new(Code::Forbidden, "THE HOST KEY IS NOT THE ONE WE KNOW, so nothing was sent")
            .because(format!("expected {}, but {} came", expected.join(" or "), describe(came)))
            .hint("another machine answers at this address, or the guest made itself a new key; do not go on before you know which"))
    }
}
