//! Connections that are open, by what they lead to.

use super::leg::Key;
use crate::Connection;
use base::Result;
use parking_lot::Mutex;
use std::{collections::HashMap, sync::Arc};

/// A place for one connection; whoever holds it dials.
type Slot = Arc<tokio::sync::Mutex<Option<Connection>>>;

#[derive(Default)]
pub(super) struct Pool(Mutex<HashMap<Key, Slot>>);

impl Pool {
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

    /// Takes all connections out, so that nobody gets them any more.
    pub(super) fn drain(&self) -> Vec<Slot> {
        self.0.lock().drain().map(|(_, slot)| slot).collect()
    }

    pub(super) fn len(&self) -> usize {
        self.0.lock().len()
    }
}
