//! One HTTP/2 connection to a worker.

use crate::{
    hello::Role,
    http2::{Ending, KeepAlive, Limits, Pings, broken},
    io::{BoxedIo, Watched},
    tunnel::{Class, TunnelStream},
    wire,
};
use base::{Code, Error, Result};
use bytes::Bytes;
use h2::client::SendRequest;
use http::{HeaderMap, Method, Request, StatusCode};
use std::{sync::Arc, time::Duration};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How long a worker may take to answer for a new tunnel.
const OPEN_DEADLINE: Duration = Duration::from_secs(30);
/// Streams kept free for assignments and reports.
const RESERVED: u32 = 16;

#[derive(Clone)]
pub(super) struct Connection {
    requests: SendRequest<Bytes>,
    tunnels: Arc<Semaphore>,
    pub(super) ending: Ending,
    _driver: Arc<rt::task::Task<()>>,
}

impl Connection {
    /// Starts HTTP/2 on a welcomed stream. A connection ends with its `parent`, where it has one.
    pub(super) async fn start(
        stream: BoxedIo,
        role: Role,
        keep_alive: KeepAlive,
        parent: Option<Ending>,
    ) -> Result<Self> {
        let (io, arrivals) = Watched::new(stream);
        let limits = Limits::of(role);
        let (requests, mut connection) =
            limits.client().handshake::<_, Bytes>(io).await.map_err(|e| broken(&e))?;
        let ending = Ending::default();
        let silence = keep_alive.of(role).watch(Pings::WhenOverdue, connection.ping_pong(), arrivals);
        let driver = {
            let ending = ending.clone();
            async move {
                let reason = tokio::select! {
                    ended = &mut connection => match ended {
                        Ok(()) => Error::unavailable("the worker closed the link"),
                        Err(e) => broken(&e),
                    },
                    silent = silence => silent,
                    reason = ending.wait() => reason,
                    reason = end_of(parent) => reason,
                };
                ending.end(reason);
            }
        };
        let tunnels = Arc::new(Semaphore::new((limits.max_streams - RESERVED) as usize));
        let driver = Arc::new(rt::task::spawn("link", driver));
        Ok(Connection { requests, tunnels, ending, _driver: driver })
    }

    /// Sends a request and waits for the head of its answer; an answer that carries an error is that error.
    pub(super) async fn request(
        &self,
        request: Request<()>,
        body: Option<Bytes>,
    ) -> Result<(h2::SendStream<Bytes>, h2::RecvStream)> {
        let mut ready = self.requests.clone().ready().await.map_err(|e| self.refine(&e))?;
        let (answer, mut send) = ready.send_request(request, false).map_err(|e| self.refine(&e))?;
        if let Some(body) = body {
            // Whoever stops reading in the middle has answered why.
            let _ = wire::write_body(&mut send, body).await;
        }
        let answer = answer.await.map_err(|e| self.refine(&e))?;
        let (status, mut receive) = (answer.status(), answer.into_body());
        if status == StatusCode::OK {
            return Ok((send, receive));
        }
        Err(wire::read_error(status, &mut receive).await)
    }

    pub(super) async fn tunnel(
        &self,
        target: &str,
        class: Class,
        headers: HeaderMap,
    ) -> Result<TunnelStream> {
        let slot = self.slot()?;
        let mut request = wire_request(Method::CONNECT, &format!("{}{target}", wire::TUNNELS))?;
        *request.headers_mut() = headers;
        let class = http::HeaderValue::from_static(class.as_str());
        request.headers_mut().insert(wire::CLASS_HEADER, class);
        request.extensions_mut().insert(h2::ext::Protocol::from_static(wire::TUNNEL_PROTOCOL));
        let opening = self.request(request, None);
        let (send, receive) =
            rt::clock::timeout(OPEN_DEADLINE, "the opening of a tunnel on the worker", opening).await??;
        Ok(TunnelStream::new(send, receive, Some(slot)))
    }

    fn slot(&self) -> Result<OwnedSemaphorePermit> {
        self.tunnels.clone().try_acquire_owned().map_err(|_| {
            Error::new(Code::Exhausted, "this worker has as many tunnels open as it can")
                .hint("close some, then try again")
        })
    }

    /// The reason of the end says more than what HTTP/2 knows about it.
    fn refine(&self, error: &h2::Error) -> Error {
        if self.ending.is_over() { self.ending.reason() } else { broken(error) }
    }
}

async fn end_of(parent: Option<Ending>) -> Error {
    match parent {
        Some(parent) => parent.wait().await,
        None => std::future::pending().await,
    }
}

pub(super) fn wire_request(method: Method, path: &str) -> Result<Request<()>> {
    let mut request = Request::new(());
    *request.method_mut() = method;
    *request.uri_mut() = format!("https://worker{path}")
        .parse()
        .map_err(|e| Error::new(Code::Invalid, format!("'{path}' is not a path")).because(e))?;
    Ok(request)
}
