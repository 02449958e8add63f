//! A worker that is connected.

use super::{
    connection::{Connection, wire_request},
    report::Report,
};
use crate::{
    accept::Incoming,
    hello::{self, Hello, Role, Welcome},
    http2::KeepAlive,
    tunnel::{Class, TunnelStream},
    wire,
};
use base::{Code, Error, Result, Uid};
use bytes::Bytes;
use http::{HeaderMap, Method};
use std::{fmt, sync::Arc, time::Duration};
use tokio::sync::{Mutex, watch};

/// The time for a full desired set to be taken.
const ASSIGNMENTS_DEADLINE: Duration = Duration::from_mins(1);
/// How long a bulk tunnel waits for the bulk connection of a worker that has just connected.
const BULK_PATIENCE: Duration = Duration::from_secs(2);

/// One stay of a worker: its control connection, and its bulk connection once that is there. Cheap to clone. Dropping the
/// last clone closes both.
#[derive(Clone)]
pub struct Session(Arc<Inner>);

struct Inner {
    hello: Hello,
    peer: std::net::SocketAddr,
    control: Connection,
    bulk: watch::Sender<Option<Connection>>,
    one_at_a_time: Mutex<()>,
}

impl Session {
    /// Welcomes a control connection. [`super::Sessions::admit`] does this for servers with more than one worker.
    pub async fn start(mut incoming: Incoming, welcome: &Welcome, keep_alive: KeepAlive) -> Result<Self> {
        let (hello, peer) = (incoming.hello().clone(), incoming.peer());
        hello::send(&mut incoming.stream, welcome).await?;
        let control = Connection::start(incoming.stream, Role::Control, keep_alive, None).await?;
        Ok(Session(Arc::new(Inner {
            hello,
            peer,
            control,
            bulk: watch::Sender::new(None),
            one_at_a_time: Mutex::new(()),
        })))
    }

    /// Welcomes a bulk connection of the same worker and generation; it replaces an older one.
    pub(super) async fn attach(
        &self,
        mut incoming: Incoming,
        welcome: &Welcome,
        keep_alive: KeepAlive,
    ) -> Result<()> {
        hello::send(&mut incoming.stream, welcome).await?;
        let bulk =
            Connection::start(incoming.stream, Role::Bulk, keep_alive, Some(self.0.control.ending.clone()))
                .await?;
        if let Some(older) = self.0.bulk.send_replace(Some(bulk)) {
            older.ending.end(Error::conflict("a newer bulk connection took over"));
        }
        Ok(())
    }

    /// Which worker.
    pub fn worker(&self) -> Uid {
        self.0.hello.worker
    }

    /// What it said when it came.
    pub fn hello(&self) -> &Hello {
        &self.0.hello
    }

    /// Where it comes from.
    pub fn peer(&self) -> std::net::SocketAddr {
        self.0.peer
    }

    /// Whether two handles are the same stay.
    pub fn is(&self, other: &Session) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Gives the worker its full desired set, and returns its answer. Callers take turns, so that sets arrive in order.
    pub async fn put_assignments(&self, assignments: Bytes) -> Result<Bytes> {
        let _turn = self.0.one_at_a_time.lock().await;
        let exchange = async {
            let request = wire_request(Method::PUT, wire::ASSIGNMENTS)?;
            let (_, mut reply) = self.0.control.request(request, Some(assignments)).await?;
            wire::read_body(&mut reply, wire::MAX_BODY).await
        };
        rt::clock::timeout(ASSIGNMENTS_DEADLINE, "the worker's answer to its assignments", exchange).await?
    }

    /// The worker's report from its snapshot on.
    pub async fn report(&self) -> Result<Report> {
        let request = wire_request(Method::GET, wire::REPORT)?;
        let (_, body) = self.0.control.request(request, Some(Bytes::new())).await?;
        Ok(Report::new(body))
    }

    /// Opens a tunnel to `target`, a path and perhaps a query such as `vms/{uid}/ports/22`. What the worker refuses
    /// arrives as the worker's own error; 30 s without an answer are a timeout.
    pub async fn open_tunnel(&self, target: &str, class: Class) -> Result<TunnelStream> {
        self.open_tunnel_with(target, class, HeaderMap::new()).await
    }

    /// [`Session::open_tunnel`] with more to say to the worker.
    pub async fn open_tunnel_with(
        &self,
        target: &str,
        class: Class,
        headers: HeaderMap,
    ) -> Result<TunnelStream> {
        let connection = match class {
            Class::Interactive => self.0.control.clone(),
            Class::Bulk => self.bulk().await,
        };
        connection.tunnel(target, class, headers).await
    }

    /// The bulk connection; the control connection serves where the worker cannot hold two.
    async fn bulk(&self) -> Connection {
        let mut bulk = self.0.bulk.subscribe();
        let usable = |c: &Option<Connection>| c.as_ref().is_some_and(|c| !c.ending.is_over());
        let waited = rt::clock::timeout(BULK_PATIENCE, "the bulk connection", bulk.wait_for(usable)).await;
        match waited {
            Ok(Ok(connection)) => connection.clone().unwrap_or_else(|| self.0.control.clone()),
            _ => self.0.control.clone(),
        }
    }

    /// Whether the bulk connection is up.
    pub fn has_bulk(&self) -> bool {
        self.0.bulk.borrow().as_ref().is_some_and(|c| !c.ending.is_over())
    }

    /// Whether the worker is gone.
    pub fn is_closed(&self) -> bool {
        self.0.control.ending.is_over()
    }

    /// Waits until the worker is gone, and says why.
    pub async fn closed(&self) -> Error {
        self.0.control.ending.wait().await
    }

    /// Sends the worker away. All its tunnels end with an error.
    pub fn close(&self, reason: Error) {
        self.0.control.ending.end(reason); // the bulk connection ends with it
    }

    /// Why `newcomer` may not take the place of this session, where it may not.
    pub(super) fn objection(&self, newcomer: &Hello) -> Option<Error> {
        let newer = newcomer.order() > self.0.hello.order();
        (!newer && !self.is_closed()).then(|| {
            Error::new(Code::Conflict, "a newer connection of this worker is up")
                .hint("stop the other agent that uses this worker's key")
        })
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Session({}, generation {})", self.worker(), self.0.hello.generation)
    }
}
