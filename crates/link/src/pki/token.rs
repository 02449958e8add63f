//! Join tokens: what a new worker needs to trust the controller and to be trusted once.

use super::Pin;
use base::{Code, Error, Result, Secret};
use sha2::{Digest, Sha256};
use std::{fmt, str::FromStr};

const PREFIX: &str = "hst_join_";

/// A one-time token as one word, `hst_join_{pin}_{secret}`. The pin tells the worker which CA to trust; the secret
/// (256 random bits) tells the controller that this worker was invited. The controller keeps only
/// [`JoinToken::hash`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinToken {
    /// The pin of the controller's CA.
    pub ca_pin: Pin,
    /// 64 hexadecimal digits.
    pub secret: Secret,
}

impl JoinToken {
    /// A token with a new secret.
    pub fn generate(ca_pin: Pin) -> Self {
        JoinToken { ca_pin, secret: Secret::new(hex::encode(rt::ids::random_bytes::<32>())) }
    }

    /// The token as one word. Shown once, then forgotten; `Display` hides the secret.
    pub fn expose_secret(&self) -> String {
        format!("{PREFIX}{}_{}", self.ca_pin, self.secret.expose_secret())
    }

    /// SHA-256 of the secret, in hexadecimal: what the store keeps.
    pub fn hash(&self) -> String {
        Self::hash_secret(&self.secret)
    }

    /// [`JoinToken::hash`] of a secret that arrived without its token.
    pub fn hash_secret(secret: &Secret) -> String {
        hex::encode(Sha256::digest(secret.expose_secret().as_bytes()))
    }

    /// Whether a secret is the one behind a kept hash. Takes the same time whatever the difference.
    pub fn matches(secret: &Secret, kept_hash: &str) -> bool {
        let hash = Self::hash_secret(secret);
        let differences = hash.bytes().zip(kept_hash.bytes()).fold(0, |sum, (a, b)| sum | (a ^ b));
        hash.len() == kept_hash.len() && std::hint::black_box(differences) == 0
    }
}

/// Shows the pin only.
impl fmt::Display for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}_[secret]", self.ca_pin)
    }
}

impl FromStr for JoinToken {
    type Err = Error;
    fn from_str(s: &str) -> Result<Self> {
        let malformed = || {
            Error::new(Code::Invalid, "this is not a join token")
                .because(format!(
                    "a join token looks like {PREFIX}... with two parts of 64 hexadecimal digits"
                ))
                .hint("make one on the controller: hostler worker token create")
        };
        let (pin, secret) =
            s.trim().strip_prefix(PREFIX).and_then(|rest| rest.split_once('_')).ok_or_else(malformed)?;
        if secret.len() != 64 || !secret.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(malformed());
        }
        Ok(JoinToken { ca_pin: pin.parse().map_err(|_| malformed())?, secret: Secret::new(secret) })
    }
}
