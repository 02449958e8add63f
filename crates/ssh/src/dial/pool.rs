//! Connections that are open, by what they lead to.

use super::Target;
use crate::{Connection, config::HostConfig};
use base::Result;
use parking_lot::Mutex;
use std::{collections::HashMap, sync::Arc};

/// What two connections have in common that can stand for each other.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key(String);

impl Key {
    pub(super) fn new(host: &HostConfig, target: &Target) -> Self {
        Key(format!("{} {host:?} {:?}", target.host, target.host_keys))
    }
}

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

    pub(super) fn len(&self) -> usize {
        self.0.lock().len()
    }
}
