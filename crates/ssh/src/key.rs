//! Keys of users and hosts.

use base::{Code, Error, Result, Secret};
use russh::keys::{
    self, Algorithm, HashAlg, PrivateKey, PublicKey,
    ssh_key::{LineEnding, private::Ed25519Keypair},
};
use std::{fmt, sync::Arc};

/// A private key with its public half. Those we make are ed25519 (RFC 8709); ECDSA and RSA keys can be read too.
#[derive(Clone)]
pub struct KeyPair(Arc<PrivateKey>);

impl KeyPair {
    /// A new ed25519 key with the comment `hostler`.
    pub fn generate() -> Self {
        let pair = Ed25519Keypair::from_seed(&rt::ids::random_bytes());
        let mut key = PrivateKey::from(pair);
        key.set_comment("hostler");
        KeyPair(Arc::new(key))
    }

    /// The same key with another comment, e.g. the name of its owner.
    #[must_use]
    pub fn with_comment(&self, comment: &str) -> Self {
        let mut key = PrivateKey::clone(&self.0);
        key.set_comment(comment);
        KeyPair(Arc::new(key))
    }

    /// Reads a private key without a passphrase: OpenSSH's format, PKCS#8 or PKCS#1.
    ///
    /// # Errors
    /// [`Code::Invalid`] for what is no such key, has a passphrase, or is of a type we do not speak (DSA, security keys).
    pub fn from_openssh(text: &Secret) -> Result<Self> {
        let key = keys::decode_secret_key(text.expose_secret(), None).map_err(|e| unreadable(&e))?;
        if key.is_encrypted() {
            return Err(unreadable(&keys::Error::KeyIsEncrypted));
        }
        match key.algorithm() {
            Algorithm::Ed25519 | Algorithm::Ecdsa { .. } | Algorithm::Rsa { .. } => {
                Ok(KeyPair(Arc::new(key)))
            }
            other => Err(unsupported(other.as_str())),
        }
    }

    /// As [`Self::from_openssh`], for a key with a passphrase.
    ///
    /// # Errors
    /// [`Code::Invalid`] also for a wrong passphrase.
    pub fn from_encrypted(text: &Secret, passphrase: &Secret) -> Result<Self> {
        let key = keys::decode_secret_key(text.expose_secret(), Some(passphrase.expose_secret()));
        usable(key.map_err(|e| unreadable(&e))?)
    }

    /// The public half of a key with a passphrase, where its file shows it: OpenSSH's format does.
    pub(crate) fn public_of_encrypted(text: &Secret) -> Option<PublicKey> {
        let key = PrivateKey::from_openssh(text.expose_secret()).ok()?;
        key.is_encrypted().then(|| key.public_key().clone())
    }

    /// The private key as OpenSSH writes it to `id_ed25519` or `ssh_host_ed25519_key`.
    pub fn private_openssh(&self) -> Result<Secret> {
        let text = self.0.to_openssh(LineEnding::LF);
        let text = text.map_err(|e| Error::internal("cannot write a private key").because(e))?;
        Ok(Secret::new(text.as_str()))
    }

    /// The public key as one line: `ssh-ed25519 AAAA... comment`.
    pub fn public_openssh(&self) -> Result<String> {
        public_line(self.0.public_key())
    }

    /// The SHA-256 fingerprint of the public key, as `ssh-keygen -l` shows it.
    pub fn fingerprint(&self) -> String {
        fingerprint(self.0.public_key())
    }

    pub(crate) fn private(&self) -> Arc<PrivateKey> {
        Arc::clone(&self.0)
    }
}

impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyPair({})", self.fingerprint())
    }
}

fn usable(key: PrivateKey) -> Result<KeyPair> {
    match key.algorithm() {
        Algorithm::Ed25519 | Algorithm::Ecdsa { .. } | Algorithm::Rsa { .. } => Ok(KeyPair(Arc::new(key))),
        other => Err(unsupported(other.as_str())),
    }
}

fn unreadable(error: &keys::Error) -> Error {
    let e = Error::new(Code::Invalid, "this private key cannot be read");
    match error {
        keys::Error::KeyIsEncrypted => {
            e.because("it has a passphrase").hint("write a copy without one: ssh-keygen -p -N '' -f COPY")
        }
        keys::Error::UnsupportedKeyType { key_type_string, .. } => unsupported(key_type_string),
        keys::Error::SshKey(inner) if inner.to_string().contains("algorithm") => {
            unsupported(&inner.to_string())
        }
        other => e.because(other).hint("give a file that starts with -----BEGIN OPENSSH PRIVATE KEY-----"),
    }
}

fn unsupported(kind: &str) -> Error {
    Error::new(Code::Invalid, "this type of private key is not supported")
        .because(kind)
        .hint("use an ed25519 key: ssh-keygen -t ed25519")
}

/// A public key as one line, with its comment where it has one.
pub(crate) fn public_line(key: &PublicKey) -> Result<String> {
    key.to_openssh().map_err(|e| Error::internal("cannot write a public key").because(e))
}

/// As `ssh-keygen -l` shows it.
pub(crate) fn fingerprint(key: &PublicKey) -> String {
    key.fingerprint(HashAlg::Sha256).to_string()
}

/// The SHA-256 fingerprint of a public key that is one line, as `ssh-keygen -l` shows it.
///
/// # Errors
/// [`Code::Invalid`] for what is no public key.
pub fn public_fingerprint(line: &str) -> Result<String> {
    let key = PublicKey::from_openssh(line.trim());
    key.map(|key| fingerprint(&key))
        .map_err(|e| Error::new(Code::Invalid, "this is no public key").because(e))
}

/// The smallest RSA key that current OpenSSH servers take (`RequiredRSASize` is 1024 there; RFC 8332 and NIST ask for
/// 2048).
const RSA_BITS: usize = 2048;

/// Checks what a user gives as a public key and returns it as one line `type base64 comment` for `authorized_keys`
/// (sshd(8)). Options before the type are refused: they would decide what the login may do.
///
/// # Errors
/// [`Code::Invalid`] that names the problem.
pub fn check_public_key(text: &str) -> Result<String> {
    let line = one_line(text)?;
    let (kind, rest) = line.split_once([' ', '\t']).unwrap_or((line, ""));
    check_type(kind)?;
    let (blob, comment) = rest.trim().split_once([' ', '\t']).unwrap_or((rest.trim(), ""));
    let wrong = |why: String| {
        Error::new(Code::Invalid, format!("the {kind} key is damaged")).because(why).hint(WHOLE)
    };
    if blob.is_empty() {
        return Err(wrong("nothing follows the type".into()));
    }
    let key = PublicKey::from_openssh(&format!("{kind} {blob}")).map_err(|e| wrong(e.to_string()))?;
    if let Some(rsa) = key.key_data().rsa() {
        let bits = usize::try_from(rsa.key_size()).unwrap_or(0);
        if bits < RSA_BITS {
            return Err(Error::new(Code::Invalid, format!("an RSA key of {bits} bits is too weak"))
                .hint("make another one: ssh-keygen -t ed25519"));
        }
    }
    let plain = public_line(&key)?;
    let comment = comment.trim();
    Ok(if comment.is_empty() { plain } else { format!("{plain} {comment}") })
}

const WHOLE: &str = "paste the whole line of a file such as ~/.ssh/id_ed25519.pub";

fn one_line(text: &str) -> Result<&str> {
    let invalid = |why: &str| Error::new(Code::Invalid, why).hint(WHOLE);
    let line = text.trim();
    if line.is_empty() {
        return Err(invalid("the public key is empty"));
    }
    if line.contains("PRIVATE KEY") {
        return Err(invalid("this is a private key: keep it to yourself and give the public one"));
    }
    if line.contains(['\n', '\r']) {
        return Err(invalid("a public key is one line, this has several"));
    }
    if line.chars().any(|c| c.is_control() && c != '\t') {
        return Err(invalid("the public key has control characters in it"));
    }
    Ok(line)
}

const KNOWN_TYPES: [&str; 7] = [
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "ssh-rsa",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
];

fn check_type(kind: &str) -> Result<()> {
    if KNOWN_TYPES.contains(&kind) {
        return Ok(());
    }
    let invalid = |why: String| Error::new(Code::Invalid, why);
    Err(if kind.contains("-cert-v0") {
        invalid(format!("'{kind}' is a certificate, not a public key"))
            .hint("give the .pub file without -cert in its name")
    } else if kind.contains(['=', '"', ',']) || ["restrict", "no-pty", "cert-authority"].contains(&kind) {
        invalid("options before the key are not accepted".into())
            .hint("give the line without them, from its type on")
    } else {
        let shown: String = kind.chars().take(40).collect();
        invalid(format!("'{shown}' is not a type of public key we know"))
            .because(format!("known are {}", KNOWN_TYPES.join(", ")))
            .hint(WHOLE)
    })
}

#[cfg(test)]
mod tests;
