//! Connections that are open, by what they lead to.

use super::leg::Key;
use crate::Connection;
use base::Result;
use parking_lot::Mutex;
use std::{collections::HashMap, fmt, sync::Arc};

/// A place for one connection; whoever holds it dials.
type Slot = Arc<tokio::sync::Mutex<Option<Connection>>>;

/// Connections that are open, for the dialers that share them: whoever reaches a host in the very same way gets the same
/// connection. Cheap to clone.
#[derive(Clone, Default)]
pub struct Pool(Arc<Mutex<HashMap<Key, Slot>>>);

impl Pool {
    /// Says goodbye on all connections. Whoever connects later dials again.
    pub async fn close(&self) {
        let slots: Vec<Slot> = self.0.lock().drain().map(|(_, slot)| slot).collect();
        let closing = slots.into_iter().map(|slot| async move {
            if let Some(connection) = slot.lock().await.take() {
                connection.close().await;
            }
        });
        futures::future::join_all(closing).await;
    }

    /// The open connection of this key, else the one that `dial` makes. All who ask meanwhile wait for that one.
    pub(super) async fn get<F: Future<Output = Result<Connection>>>(
        &self,
        key: Key,
        dial: impl FnOnce() -> F,
    ) -> Result<Connection> {
        let slot = Arc::clone(self.0.lock().entry(key).or_default());
        let mut slot = slot.lock().await;
        if let Some(open) = slot.as_ref().filter(|c| !c.is_closed()) {
            return Ok(open.clone());
        }
        let connection = dial().await?;
        *slot = Some(connection.clone());
        Ok(connection)
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("connections", &self.0.lock().len()).finish_non_exhaustive()
    }
}
