//! All workers that are connected: at most one session per worker.

use super::session::Session;
use crate::{
    accept::Incoming,
    hello::{Hello, Role, Welcome},
    http2::KeepAlive,
};
use base::{Error, Result, Uid};
use parking_lot::Mutex;
use std::collections::HashMap;

/// The table of sessions. Two connections of one worker never act at the same time: a newer one (by generation, then
/// by connection) closes the older, an older one is refused.
#[derive(Debug, Default)]
pub struct Sessions {
    welcome: Welcome,
    keep_alive: KeepAlive,
    table: Mutex<HashMap<Uid, Session>>,
}

/// What became of a connection that was let in.
#[derive(Clone, Debug)]
pub enum Admitted {
    /// A new session: the worker's earlier one, if any, is closed.
    Session(Session),
    /// The bulk connection of a session that is there already.
    Bulk(Session),
}

impl Sessions {
    /// An empty table that welcomes with these words.
    pub fn new(welcome: Welcome, keep_alive: KeepAlive) -> Self {
        Sessions { welcome, keep_alive, table: Mutex::default() }
    }

    /// Welcomes a connection, or refuses it with a reason that the worker shows. Whether the worker is known and still
    /// allowed is the caller's to check before ([`Incoming::refuse`]).
    pub async fn admit(&self, incoming: Incoming) -> Result<Admitted> {
        match incoming.role() {
            Role::Control => self.admit_control(incoming).await.map(Admitted::Session),
            Role::Bulk => self.admit_bulk(incoming).await.map(Admitted::Bulk),
        }
    }

    /// The session of a worker that is connected now.
    pub fn get(&self, worker: Uid) -> Option<Session> {
        self.table.lock().get(&worker).filter(|s| !s.is_closed()).cloned()
    }

    /// All sessions that are up now.
    pub fn all(&self) -> Vec<Session> {
        self.table.lock().values().filter(|s| !s.is_closed()).cloned().collect()
    }

    /// Forgets a session that ended; one that has replaced it stays.
    pub fn remove(&self, ended: &Session) {
        let mut table = self.table.lock();
        if table.get(&ended.worker()).is_some_and(|s| s.is(ended)) {
            table.remove(&ended.worker());
        }
    }

    async fn admit_control(&self, incoming: Incoming) -> Result<Session> {
        if let Some(objection) = self.objection(incoming.hello()) {
            incoming.refuse(objection.clone()).await;
            return Err(objection);
        }
        let session = Session::start(incoming, &self.welcome, self.keep_alive).await?;
        self.enter(session)
    }

    /// Checks again: another connection may have come in the meantime.
    fn enter(&self, session: Session) -> Result<Session> {
        let mut table = self.table.lock();
        if let Some(present) = table.get(&session.worker()) {
            if let Some(objection) = present.objection(session.hello()) {
                session.close(objection.clone());
                return Err(objection);
            }
            present.close(Error::conflict("a newer connection of this worker took over"));
        }
        table.insert(session.worker(), session.clone());
        Ok(session)
    }

    fn objection(&self, newcomer: &Hello) -> Option<Error> {
        self.table.lock().get(&newcomer.worker)?.objection(newcomer)
    }

    async fn admit_bulk(&self, incoming: Incoming) -> Result<Session> {
        let same_agent = |s: &Session| s.hello().generation == incoming.hello().generation;
        let Some(session) = self.get(incoming.worker()).filter(same_agent) else {
            let refusal = Error::unavailable("the control connection of this worker is not up");
            incoming.refuse(refusal.clone()).await;
            return Err(refusal);
        };
        session.attach(incoming, &self.welcome, self.keep_alive).await?;
        Ok(session)
    }
}
