//! What a connection needs to know before it starts.

use crate::KeyPair;
use base::Secret;
use std::time::Duration;

/// Whom to believe at the other end.
#[derive(Clone, Debug)]
pub enum HostKeyCheck {
    /// Only these keys, each a line as [`KeyPair::public_openssh`] makes it (RFC 4253 section 8 asks for this check).
    Pinned(Vec<String>),
    /// Any key. Only for an image that takes no seed, where nothing can be known before the first contact: keep what
    /// [`crate::Connection::host_key_seen`] returns and pin it from then on.
    AcceptAny,
}

/// One way to prove who we are. They are tried in the order given.
#[derive(Clone, Debug)]
pub enum Auth {
    /// A signature with this key.
    Key(KeyPair),
    /// A password, also as the answer to a keyboard-interactive question.
    Password(Secret),
}

/// How to connect.
#[derive(Clone, Debug)]
pub struct Options {
    /// The login name.
    pub user: String,
    /// Tried in this order. None at all asks for a login without proof, which some appliances grant.
    pub auth: Vec<Auth>,
    /// Whom to believe.
    pub host_key: HostKeyCheck,
    /// The most that the handshake and the login together may take; also the most that the start of one command may.
    pub connect_timeout: Duration,
    /// After this much silence the server is asked for a sign of life; three without an answer end the connection.
    /// `None` never asks.
    pub keepalive: Option<Duration>,
}

impl Options {
    /// 15 seconds for the handshake and for each silence.
    pub fn new(user: impl Into<String>, auth: Vec<Auth>, host_key: HostKeyCheck) -> Self {
        let patience = Duration::from_secs(15);
        Options { user: user.into(), auth, host_key, connect_timeout: patience, keepalive: Some(patience) }
    }
}
