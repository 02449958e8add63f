//! What a handshake needs.

use super::native::WAITING;
use crate::{
    Options,
    algorithms::Algorithms,
    auth::Login,
    host_key::{Checker, Pinned},
};
use base::Result;
use std::time::Duration;

/// Signs of life that may stay unanswered, where nobody says how many.
const KEEPALIVES: u32 = 3;

/// When a silent server is asked for a sign of life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Keepalive {
    pub(crate) interval: Duration,
    /// How many may stay unanswered.
    pub(crate) most: u32,
}

/// As [`Options`], with all that only the [`crate::Dialer`] decides.
pub(crate) struct Handshake {
    pub(crate) login: Login,
    pub(crate) checker: Checker,
    pub(crate) algorithms: Algorithms,
    pub(crate) connect_timeout: Duration,
    pub(crate) keepalive: Option<Keepalive>,
    /// Received messages that wait for a slow reader of a channel, before the connection does.
    pub(crate) waiting: usize,
}

impl Handshake {
    pub(crate) fn new(options: Options) -> Result<Self> {
        Ok(Handshake {
            checker: Checker::Pinned(Pinned::new(&options.host_key)?),
            login: Login::given(options.user, &options.auth),
            algorithms: Algorithms::default(),
            connect_timeout: options.connect_timeout,
            keepalive: options.keepalive.map(|interval| Keepalive { interval, most: KEEPALIVES }),
            waiting: WAITING,
        })
    }
}
