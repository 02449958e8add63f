//! A line of a known_hosts file (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT). Pure.

use crate::config::pattern;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use ring::hmac;

/// What a line is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A key that the host has.
    Key,
    /// A key whose certificates for the host are believed.
    Authority,
    /// A key that nobody may show.
    Revoked,
}

/// Which hosts a line is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Names {
    /// Patterns between commas.
    Patterns(String),
    /// HMAC-SHA1 of a name, and its salt.
    Hashed { salt: Vec<u8>, hash: Vec<u8> },
}

impl Names {
    fn parse(field: &str) -> Option<Self> {
        let Some(hashed) = field.strip_prefix("|1|") else { return Some(Names::Patterns(field.to_owned())) };
        let (salt, hash) = hashed.split_once('|')?;
        Some(Names::Hashed { salt: STANDARD.decode(salt).ok()?, hash: STANDARD.decode(hash).ok()? })
    }

    /// The name as a hash with a new salt.
    pub(crate) fn hashed(name: &str) -> String {
        let salt: [u8; 20] = rt::ids::random_bytes();
        let hash = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &salt), name.as_bytes());
        format!("|1|{}|{}", STANDARD.encode(salt), STANDARD.encode(hash))
    }

    /// The names, where there are no patterns among them.
    pub(super) fn plain(&self) -> Option<impl Iterator<Item = String>> {
        match self {
            Names::Patterns(names) if !names.contains(['*', '?', '!']) => {
                Some(names.split(',').map(str::to_ascii_lowercase))
            }
            _ => None,
        }
    }

    /// Whether they are about a host, whose name is in small letters.
    pub(crate) fn are(&self, name: &str) -> bool {
        match self {
            Names::Patterns(patterns) => pattern::listed(&patterns.to_ascii_lowercase(), name),
            Names::Hashed { salt, hash } => {
                let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, salt);
                hmac::verify(&key, name.as_bytes(), hash).is_ok()
            }
        }
    }
}

/// A line that could be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) kind: Kind,
    pub(crate) names: Names,
    /// The type of the key, `ssh-ed25519`.
    pub(crate) key_type: String,
    /// The key as it travels (RFC 4253 section 6.6).
    pub(crate) blob: Vec<u8>,
    /// Counted from 1.
    pub(crate) line: usize,
}

impl Entry {
    /// `None` for comments, empty lines and what cannot be read: OpenSSH passes over all of them.
    pub(crate) fn parse(text: &str, line: usize) -> Option<Self> {
        let mut fields = text.split_ascii_whitespace();
        let mut names = fields.next().filter(|f| !f.starts_with('#'))?;
        let mut kind = Kind::Key;
        if names.starts_with('@') {
            kind = match names {
                "@cert-authority" => Kind::Authority,
                "@revoked" => Kind::Revoked,
                _ => return None,
            };
            names = fields.next()?;
        }
        let names = Names::parse(names)?;
        let key_type = fields.next()?.to_owned();
        let blob = STANDARD.decode(fields.next()?).ok()?;
        Some(Entry { kind, names, key_type, blob, line })
    }
}

/// A key as `ssh-keygen -l` names it: `SHA256:` and a digest.
pub(crate) fn fingerprint(blob: &[u8]) -> String {
    use base64::engine::general_purpose::STANDARD_NO_PAD;
    let digest = ring::digest::digest(&ring::digest::SHA256, blob);
    format!("SHA256:{}", STANDARD_NO_PAD.encode(digest))
}
