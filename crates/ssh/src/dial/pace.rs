//! How many may knock at one server at once. An sshd with the usual `MaxStartups` (10:30:100) starts to drop connections
//! at random when ten wait for their login.

use base::{Error, Result};
use parking_lot::Mutex;
use std::{collections::HashMap, net::SocketAddr, sync::Arc};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Handshakes at one address at once: others may knock there too.
const AT_ONCE: usize = 8;

/// Counts handshakes per server.
#[derive(Debug, Default)]
pub(super) struct Pacer(Mutex<HashMap<String, Arc<Semaphore>>>);

impl Pacer {
    /// Waits for a turn at the server that has these addresses.
    pub(super) async fn permit(&self, addresses: &[SocketAddr]) -> Result<OwnedSemaphorePermit> {
        let name = addresses.first().map(ToString::to_string).unwrap_or_default();
        let turns = {
            let mut servers = self.0.lock();
            Arc::clone(servers.entry(name).or_insert_with(|| Arc::new(Semaphore::new(AT_ONCE))))
        };
        turns.acquire_owned().await.map_err(|e| Error::internal("a turn was lost").because(e))
    }
}
