//! Connections: who is let in, how many, and how long they may dawdle.

use crate::{guard::Peer, linger::Lingering};
use axum::{Router, body::Body, http::Request};
use base::{Error, Result};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
    service::TowerToHyperService,
};
use link::{
    BoxedIo,
    accept::{Accepted, Acceptor},
};
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
};
use tower::ServiceExt;

/// What a port bears.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at the same time; more wait in the kernel's queue.
    pub connections: usize,
    /// Time for a request's head to arrive.
    pub head: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { connections: 20_000, head: Duration::from_secs(10) }
    }
}

/// Listens on an address; the error names it.
pub(crate) async fn bind(address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .map_err(|e| Error::io(format_args!("listen on {address}"), &e).at("--listen"))
}

/// Takes in connections until dropped.
pub(crate) async fn run(
    listener: TcpListener,
    acceptor: Acceptor,
    router: Router,
    links: controller::Links,
    limits: Limits,
    tasks: Arc<rt::task::Group>,
) {
    let slots = Arc::new(Semaphore::new(limits.connections));
    loop {
        let Ok(slot) = slots.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((tcp, peer)) => {
                let connection = Connection {
                    acceptor: acceptor.clone(),
                    router: router.clone(),
                    links: links.clone(),
                    head: limits.head,
                };
                tasks.spawn("connection", connection.serve(tcp, peer, slot));
            }
            Err(e) => {
                // Out of file descriptors, most likely: others must end first.
                tracing::warn!(error = %e, "a connection could not be taken");
                rt::clock::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

struct Connection {
    acceptor: Acceptor,
    router: Router,
    links: controller::Links,
    head: Duration,
}

impl Connection {
    async fn serve(self, tcp: TcpStream, peer: SocketAddr, slot: OwnedSemaphorePermit) {
        match self.acceptor.accept(tcp).await {
            Ok(Accepted::Api { stream, .. }) => self.api(stream, peer).await,
            Ok(Accepted::Link(incoming)) => self.links.admit(incoming).await,
            Err(e) => tracing::debug!(error = %e, %peer, "a connection was refused"),
        }
        drop(slot);
    }

    async fn api(self, stream: BoxedIo, peer: SocketAddr) {
        let router = self.router;
        let asked = Arc::new(Notify::new());
        let asks = asked.clone();
        let service = tower::service_fn(move |mut request: Request<hyper::body::Incoming>| {
            asks.notify_one();
            request.extensions_mut().insert(Peer(peer));
            router.clone().oneshot(request.map(Body::new))
        });
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder.http1().timer(TokioTimer::new()).header_read_timeout(self.head).max_buf_size(64 * 1024);
        builder
            .http2()
            .timer(TokioTimer::new())
            .keep_alive_interval(Duration::from_secs(30))
            .keep_alive_timeout(Duration::from_secs(20))
            .max_concurrent_streams(256)
            .max_pending_accept_reset_streams(Some(64))
            .max_header_list_size(32 * 1024);
        let served = builder.serve_connection_with_upgrades(
            TokioIo::new(Lingering::new(stream)),
            TowerToHyperService::new(service),
        );
        tokio::select! {
            result = served => {
                if let Err(e) = result {
                    tracing::debug!(error = %e, %peer, "a connection ended badly");
                }
            }
            () = nothing_asked(&asked, self.head) => tracing::debug!(%peer, "a connection asked for nothing"),
        }
    }
}

/// Ends when the first request does not come in time: hyper's own limit does not count before it knows the version.
async fn nothing_asked(asked: &Notify, limit: Duration) {
    if rt::clock::timeout(limit, "the first request", asked.notified()).await.is_ok() {
        std::future::pending::<()>().await;
    }
}
