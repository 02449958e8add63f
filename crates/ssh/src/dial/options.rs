//! How a dialer behaves, for all its hosts.

use crate::config::Files;
use std::time::Duration;

/// What happens to host keys that nobody knows. A key that has changed is always refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostKeyPolicy {
    /// They are refused.
    Strict,
    /// They are kept at the first contact.
    FirstUse,
}

/// How a dialer behaves.
#[derive(Clone, Debug)]
pub struct DialOptions {
    /// Which configuration counts.
    pub files: Files,
    /// What happens to new host keys; `None` leaves it to the configuration (`StrictHostKeyChecking`), and asks nobody.
    pub host_keys: Option<HostKeyPolicy>,
    /// The most that the way to a host, and then its handshake and login, may each take, where the configuration does
    /// not say (`ConnectTimeout`).
    pub connect_timeout: Duration,
}

impl Default for DialOptions {
    fn default() -> Self {
        DialOptions { files: Files::Usual, host_keys: None, connect_timeout: Duration::from_secs(15) }
    }
}
