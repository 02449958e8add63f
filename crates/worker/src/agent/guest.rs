//! SSH connections to a guest.

use super::{Host, vm::Vm};
use crate::runtimes::Target;
use api::assignment::Work;
use base::{Result, Secret};
use parking_lot::Mutex;
use ssh::{Auth, Connection, HostKeyCheck, KeyPair, Options};
use std::sync::Arc;

/// Idle connections kept per VM. A login costs a slow guest tens of milliseconds.
const IDLE: usize = 1;

/// The idle connections of one guest. Each is used by one command at a time, so that none waits for another's reader.
#[derive(Clone, Default)]
pub struct Guest(Arc<Mutex<Vec<Connection>>>);

/// A connection for one command. Dropped without [`Session::give_back`], it ends.
pub struct Session {
    connection: Connection,
    guest: Guest,
}

impl Guest {
    /// A connection that nobody else uses.
    pub async fn log_in(&self, host: &Host, vm: &Vm) -> Result<Session> {
        loop {
            let idle = self.0.lock().pop();
            match idle {
                Some(connection) if connection.is_closed() => {}
                Some(connection) => return Ok(Session { connection, guest: self.clone() }),
                None => break,
            }
        }
        let (_, work) = vm.work()?;
        let stream = vm.need_runtime(host)?.connect(vm.uid, Target::Port(22)).await?;
        // Boxed: the handshake is large, and thousands of VMs have a task that may need one.
        let connecting = Connection::connect(stream, options(&work, vm.record().host_key)?);
        let connection = Box::pin(connecting).await?;
        if !work.image.seed && vm.record().host_key.is_none() {
            let seen = connection.host_key_seen().to_owned();
            vm.update(|r| r.host_key = Some(seen)).save(&host.keeper).await?;
        }
        Ok(Session { connection, guest: self.clone() })
    }

    /// Ends what is idle: the guest is about to go.
    pub fn forget(&self) {
        self.0.lock().clear();
    }
}

impl Session {
    /// The connection.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Keeps the connection for the next command.
    pub fn give_back(self) {
        let mut idle = self.guest.0.lock();
        if idle.len() < IDLE && !self.connection.is_closed() {
            idle.push(self.connection);
        }
    }
}

/// How to log in. A guest with a seed has the keys that the controller made; another one has a password, and the host
/// key that it first showed.
fn options(work: &Work, seen: Option<String>) -> Result<Options> {
    let mut auth = vec![Auth::Key(KeyPair::from_openssh(&work.keys.user_private)?)];
    let password = work.spec.guest.password.as_ref().or(work.image.password.as_ref());
    auth.extend(password.filter(|p| !is_empty(p)).map(|p| Auth::Password(p.clone())));
    let host_key = match (work.image.seed, seen) {
        (true, _) => HostKeyCheck::Pinned(vec![work.keys.host_public.clone()]),
        (false, Some(seen)) => HostKeyCheck::Pinned(vec![seen]),
        (false, None) => HostKeyCheck::AcceptAny,
    };
    Ok(Options::new(work.user.clone(), auth, host_key))
}

fn is_empty(secret: &Secret) -> bool {
    secret.expose_secret().is_empty()
}
