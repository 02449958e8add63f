//! How a dialer behaves, for all its hosts.

use super::Transport;
use crate::{
    auth::{Answers, Nobody},
    config::Files,
};
use serde::{Deserialize, Serialize};
use std::{fmt, sync::Arc, time::Duration};

/// What happens to host keys that nobody knows. A key that has changed is always refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HostKeyPolicy {
    /// They are refused.
    Strict,
    /// They are kept at the first contact.
    FirstUse,
}

/// How a dialer behaves.
#[derive(Clone)]
pub struct DialOptions {
    /// Which configuration counts.
    pub files: Files,
    /// What happens to new host keys; `None` leaves it to the configuration (`StrictHostKeyChecking`).
    pub host_keys: Option<HostKeyPolicy>,
    /// Who speaks SSH. `None`: we do, unless the configuration asks for what only OpenSSH can do.
    pub transport: Option<Transport>,
    /// Who answers questions: for passphrases, passwords, codes, and whether new host keys are kept.
    pub answers: Arc<dyn Answers>,
    /// The most that the way to a host, and then its handshake and login, may each take, where the configuration does
    /// not say (`ConnectTimeout`).
    pub connect_timeout: Duration,
}

impl Default for DialOptions {
    fn default() -> Self {
        DialOptions {
            files: Files::Usual,
            host_keys: None,
            transport: None,
            answers: Arc::new(Nobody),
            connect_timeout: Duration::from_secs(15),
        }
    }
}

impl fmt::Debug for DialOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DialOptions")
            .field("files", &self.files)
            .field("host_keys", &self.host_keys)
            .field("transport", &self.transport)
            .field("connect_timeout", &self.connect_timeout)
            .finish_non_exhaustive()
    }
}
