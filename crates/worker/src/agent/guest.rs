//! SSH connections to a guest.

use super::{Host, vm::Vm};
use crate::runtimes::Target;
use api::assignment::Work;
use base::{Result, Secret};
use parking_lot::Mutex;
use rt::clock::Instant;
use ssh::{Auth, Connection, Exec, ExecRequest, HostKeyCheck, KeyPair, Options};
use std::{sync::Arc, time::Duration};

/// Idle connections kept per VM. A login costs a slow guest tens of milliseconds.
const IDLE: usize = 1;
/// How long they are kept.
const KEPT: Duration = Duration::from_mins(1);

/// The idle connections of one guest. Each is used by one command at a time, so that none waits for another's reader.
#[derive(Clone, Default)]
pub struct Guest(Arc<Mutex<Vec<Idle>>>);

struct Idle {
    connection: Connection,
    since: Instant,
}

/// A connection for one command. Dropped without [`Session::give_back`], it ends.
pub struct Session {
    connection: Connection,
    guest: Guest,
}

impl Guest {
    /// Starts a command on a connection that nobody else uses.
    pub async fn exec(&self, host: &Host, vm: &Vm, request: ExecRequest) -> Result<(Session, Exec)> {
        if let Some(session) = self.idle() {
            match session.connection.exec(request.clone()).await {
                Ok(exec) => return Ok((session, exec)),
                // The guest may have been restarted from inside, which nobody has noticed yet.
                Err(error) => tracing::debug!(vm = %vm.uid, %error, "an idle connection was of no use"),
            }
        }
        let session = self.log_in(host, vm).await?;
        let exec = session.connection.exec(request).await?;
        Ok((session, exec))
    }

    fn idle(&self) -> Option<Session> {
        let mut idle = self.0.lock();
        let found = std::iter::from_fn(|| idle.pop()).find(|i| !i.connection.is_closed())?;
        Some(Session { connection: found.connection, guest: self.clone() })
    }

    /// A new connection.
    async fn log_in(&self, host: &Host, vm: &Vm) -> Result<Session> {
        let (_, work) = vm.work()?;
        let runtime = vm.need_runtime(host)?;
        let open = || runtime.connect(vm.uid, Target::Port(22));
        // Boxed: the handshake is large, and thousands of VMs have a task that may need one.
        let connecting = Connection::connect_over(open, options(&work, vm.record().host_key)?);
        let connection = Box::pin(connecting).await?;
        if !work.image.seed && vm.record().host_key.is_none() {
            let seen = connection.host_key_seen();
            vm.update(|r| r.host_key = Some(seen)).save(&host.keeper).await?;
        }
        Ok(Session { connection, guest: self.clone() })
    }

    /// Ends what is idle: the guest is about to go.
    pub fn forget(&self) {
        self.0.lock().clear();
    }

    /// Ends what has been idle for long.
    pub fn tidy(&self) {
        self.0.lock().retain(|idle| idle.since.elapsed() < KEPT);
    }
}

impl Session {
    /// Keeps the connection for the next command.
    pub fn give_back(self) {
        let mut idle = self.guest.0.lock();
        if idle.len() < IDLE && !self.connection.is_closed() {
            idle.push(Idle { connection: self.connection, since: rt::clock::now() });
        }
    }
}

/// How to log in. A guest with a seed has the keys that the controller made; another one has a password or a key of its
/// own, and the host key that it first showed.
fn options(work: &Work, seen: Option<String>) -> Result<Options> {
    let mut auth = vec![Auth::Key(KeyPair::from_openssh(&work.keys.user_private)?)];
    if let Some(key) = work.image.key.as_ref().filter(|k| !is_empty(k)) {
        auth.push(Auth::Key(KeyPair::from_openssh(key)?));
    }
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
