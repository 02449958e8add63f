//! Asking a server again that hangs up before it has shown its key. Mostly it is busy with others who have not logged in
//! yet: OpenSSH drops some at random beyond `MaxStartups`, dropbear all beyond five of one address.

use super::State;
use rt::clock::Backoff;
use std::{sync::atomic::Ordering, time::Duration};

/// How often: about four seconds, by [`FIRST_PAUSE`] and [`LONGEST_PAUSE`].
const RETRIES: usize = 6;
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// The attempts at one server.
#[derive(Debug)]
pub(crate) struct Knock {
    backoff: Backoff,
    dropped: usize,
}

impl Knock {
    pub(crate) fn new() -> Self {
        Knock { backoff: Backoff::new(FIRST_PAUSE, LONGEST_PAUSE), dropped: 0 }
    }

    /// Whether the server has hung up on us before.
    pub(crate) fn was_dropped(&self) -> bool {
        self.dropped > 0
    }

    /// After a failed attempt, of which this is the state: pauses where another one makes sense.
    pub(crate) async fn again(&mut self, state: &State) -> bool {
        if !state.dropped.load(Ordering::Relaxed) || self.dropped == RETRIES {
            return false;
        }
        self.dropped += 1;
        rt::clock::sleep(self.backoff.delay()).await;
        true
    }
}
