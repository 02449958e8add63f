//! Questions that only a person can answer, or a store of secrets.

use base::Secret;
use futures::future::BoxFuture;
use std::path::PathBuf;

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// The passphrase of a private key.
    Passphrase {
        /// The file of the key.
        file: PathBuf,
        /// Whether the last answer was wrong.
        again: bool,
    },
    /// The password of a login.
    Password {
        /// The login name.
        user: String,
        /// The host.
        host: String,
        /// Whether the last answer was wrong.
        again: bool,
    },
    /// A question of the server (RFC 4256), such as for a code.
    Prompt {
        /// The login name.
        user: String,
        /// The host.
        host: String,
        /// Its words, which are not to be trusted more than the host is.
        text: String,
        /// Whether the answer may be seen while it is typed.
        echo: bool,
    },
    /// Whether a host key that nobody knows may be kept: `yes`, or its fingerprint, does.
    NewHostKey {
        /// The host.
        host: String,
        /// The key, as `ssh-ed25519 SHA256:...`.
        key: String,
    },
}

/// Whoever answers.
pub trait Answers: Send + Sync {
    /// Answers a question. `None` where there is no answer; it is then gone on without.
    fn answer(&self, question: Question) -> BoxFuture<'_, Option<Secret>>;

    /// Is told that the key of a host is new, and known from now on.
    fn kept(&self, _host: &str, _fingerprint: &str) {}

    /// Whether anybody is there at all. Where nobody is, servers are not even asked for their questions.
    fn is_there(&self) -> bool {
        true
    }
}

/// Nobody is there.
#[derive(Clone, Copy, Debug, Default)]
pub struct Nobody;

impl Answers for Nobody {
    fn answer(&self, _: Question) -> BoxFuture<'_, Option<Secret>> {
        Box::pin(std::future::ready(None))
    }

    fn is_there(&self) -> bool {
        false
    }
}
