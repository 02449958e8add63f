//! How many may knock at one server at once. An sshd with the usual `MaxStartups` (10:30:100) starts to drop connections
//! at random when ten wait for their login.

use base::{Error, Result};
use parking_lot::Mutex;
use std::{collections::HashMap, sync::Arc};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Handshakes at one server at once: others may knock there too.
const AT_ONCE: usize = 8;

/// A turn at a server.
pub(super) type Turn = OwnedSemaphorePermit;

/// Counts handshakes per server.
#[derive(Debug)]
pub(super) struct Pacer {
    servers: Mutex<HashMap<String, Arc<Semaphore>>>,
    /// Those that were dropped once. One server may have many addresses, so these wait for each other wherever they knock.
    dropped: Arc<Semaphore>,
}

impl Default for Pacer {
    fn default() -> Self {
        Pacer { servers: Mutex::default(), dropped: Arc::new(Semaphore::new(AT_ONCE)) }
    }
}

impl Pacer {
    /// Waits for a turn at a server.
    pub(super) async fn turn(&self, server: String) -> Result<Turn> {
        let turns = {
            let mut servers = self.servers.lock();
            Arc::clone(servers.entry(server).or_insert_with(|| Arc::new(Semaphore::new(AT_ONCE))))
        };
        turn(turns).await
    }

    /// Waits for a turn to knock again.
    pub(super) async fn again(&self) -> Result<Turn> {
        turn(Arc::clone(&self.dropped)).await
    }
}

async fn turn(turns: Arc<Semaphore>) -> Result<Turn> {
    turns.acquire_owned().await.map_err(|e| Error::internal("a turn was lost").because(e))
}
