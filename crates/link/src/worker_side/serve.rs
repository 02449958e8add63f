//! Answers the controller's requests on one connection.

use crate::{
    hello::Role,
    http2::{KeepAlive, Limits, Pings, broken},
    io::{BoxedIo, Watched},
    tunnel::{Class, TunnelStream},
    wire,
};
use base::{Code, Error, Result};
use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt};
use h2::server::SendResponse;
use http::{HeaderMap, Method, Request, Response};
use std::{future::poll_fn, pin::pin, sync::Arc};
use tokio::sync::Mutex;

/// What a worker does for its controller.
pub trait Handler: Send + Sync + 'static {
    /// Takes the full desired set, and answers what became of it. Called for one set at a time.
    fn put_assignments(&self, assignments: Bytes) -> impl Future<Output = Result<Bytes>> + Send;

    /// The worker's state as lines (without their ends): a snapshot, then deltas, for ever. The next line is asked for
    /// only when the controller has room for it. Each connection asks for a new stream.
    fn report(&self) -> impl Stream<Item = Bytes> + Send + 'static;

    /// Serves one tunnel from beginning to end. An error before [`Offer::accept`] refuses the tunnel and arrives at the
    /// controller as it is; one after it resets the tunnel. Dropped when the link ends or the controller gives up.
    fn tunnel(&self, request: TunnelRequest, offer: Offer) -> impl Future<Output = Result<()>> + Send;
}

/// What the controller wants a tunnel to.
#[derive(Clone, Debug)]
pub struct TunnelRequest {
    /// A path and perhaps a query, such as `vms/{uid}/ports/22`.
    pub target: String,
    /// How it will be used.
    pub class: Class,
    /// What the controller said beside the target.
    pub headers: HeaderMap,
}

type Answer = Arc<parking_lot::Mutex<Option<SendResponse<Bytes>>>>;

/// A tunnel that waits to be accepted.
#[derive(Debug)]
pub struct Offer {
    answer: Answer,
    body: h2::RecvStream,
}

impl Offer {
    /// Opens the tunnel.
    pub fn accept(self) -> Result<TunnelStream> {
        let mut answer =
            self.answer.lock().take().ok_or_else(|| Error::internal("a tunnel is opened twice"))?;
        let send = answer.send_response(Response::new(()), false).map_err(|e| broken(&e))?;
        Ok(TunnelStream::new(send, self.body, None))
    }
}

/// Serves one welcomed connection until it ends, and says why it did. Ends all its tunnels then.
pub async fn serve<H: Handler>(stream: BoxedIo, role: Role, handler: Arc<H>, keep_alive: KeepAlive) -> Error {
    let (io, arrivals) = Watched::new(stream);
    let mut connection = match Limits::of(role).server().handshake::<_, Bytes>(io).await {
        Ok(connection) => connection,
        Err(e) => return broken(&e),
    };
    let mut silence = pin!(keep_alive.of(role).watch(Pings::Always, connection.ping_pong(), arrivals));
    let requests = rt::task::Group::new();
    let one_at_a_time = Arc::new(Mutex::new(()));
    loop {
        let next = tokio::select! {
            next = connection.accept() => next,
            silent = &mut silence => return silent,
        };
        match next {
            Some(Ok((request, answer))) => {
                requests
                    .spawn("link request", respond(handler.clone(), one_at_a_time.clone(), request, answer));
            }
            Some(Err(e)) => return broken(&e),
            None => return Error::unavailable("the controller closed the link"),
        }
    }
}

async fn respond<H: Handler>(
    handler: Arc<H>,
    one_at_a_time: Arc<Mutex<()>>,
    request: Request<h2::RecvStream>,
    mut answer: SendResponse<Bytes>,
) {
    let (head, body) = request.into_parts();
    let done = match (&head.method, head.uri.path()) {
        (&Method::CONNECT, path) if path.starts_with(wire::TUNNELS) => {
            tunnel(&*handler, head, body, answer).await
        }
        (&Method::PUT, wire::ASSIGNMENTS) => {
            let _turn = one_at_a_time.lock().await;
            put_assignments(&*handler, body, &mut answer).await
        }
        (&Method::GET, wire::REPORT) => report(&*handler, &mut answer).await,
        (method, path) => {
            let unknown = Error::not_found(format!("this worker does not know {method} {path}"))
                .hint("upgrade the worker");
            refuse(&mut answer, &unknown).await
        }
    };
    if let Err(e) = done {
        tracing::debug!(error = %e, "a request on the link ended early");
    }
}

async fn put_assignments<H: Handler>(
    handler: &H,
    mut body: h2::RecvStream,
    answer: &mut SendResponse<Bytes>,
) -> Result<()> {
    let done = match wire::read_body(&mut body, wire::MAX_BODY).await {
        Ok(assignments) => handler.put_assignments(assignments).await,
        Err(e) => Err(e),
    };
    match done {
        Ok(reply) => {
            let mut send = answer.send_response(Response::new(()), false).map_err(|e| broken(&e))?;
            wire::write_body(&mut send, reply).await
        }
        Err(e) => refuse(answer, &e).await,
    }
}

async fn report<H: Handler>(handler: &H, answer: &mut SendResponse<Bytes>) -> Result<()> {
    let mut send = answer.send_response(Response::new(()), false).map_err(|e| broken(&e))?;
    let mut lines = pin!(handler.report());
    loop {
        let line = tokio::select! {
            line = lines.next() => line,
            _ = poll_fn(|cx| send.poll_reset(cx)) => return Ok(()), // nobody listens any more
        };
        let Some(line) = line else { break };
        let mut bytes = BytesMut::with_capacity(line.len() + 1);
        bytes.extend_from_slice(&line);
        bytes.extend_from_slice(b"\n");
        wire::write_chunk(&mut send, bytes.freeze()).await?;
    }
    send.send_data(Bytes::new(), true).map_err(|e| broken(&e))
}

async fn tunnel<H: Handler>(
    handler: &H,
    head: http::request::Parts,
    body: h2::RecvStream,
    answer: SendResponse<Bytes>,
) -> Result<()> {
    let answer: Answer = Arc::new(parking_lot::Mutex::new(Some(answer)));
    let request = tunnel_request(head);
    let target = request.target.clone();
    let offer = Offer { answer: answer.clone(), body };
    let served = tokio::select! {
        served = handler.tunnel(request, offer) => served,
        () = given_up(&answer) => return Ok(()),
    };
    let unanswered = answer.lock().take();
    match (served, unanswered) {
        (Err(e), Some(mut answer)) => refuse(&mut answer, &e).await,
        (Ok(()), Some(mut answer)) => {
            refuse(&mut answer, &Error::internal(format!("the worker did not answer for {target}"))).await
        }
        (served, None) => served,
    }
}

/// Waits until the controller no longer wants a tunnel that is not accepted yet. Never ends for an accepted one: its
/// stream says so itself.
async fn given_up(answer: &Answer) {
    poll_fn(|cx| match answer.lock().as_mut() {
        Some(unanswered) => unanswered.poll_reset(cx).map(drop),
        None => std::task::Poll::Pending,
    })
    .await;
}

fn tunnel_request(head: http::request::Parts) -> TunnelRequest {
    let path = head.uri.path_and_query().map_or("", http::uri::PathAndQuery::as_str);
    let bulk = head.headers.get(wire::CLASS_HEADER).is_some_and(|c| c == Class::Bulk.as_str());
    TunnelRequest {
        target: path.strip_prefix(wire::TUNNELS).unwrap_or_default().to_owned(),
        class: if bulk { Class::Bulk } else { Class::Interactive },
        headers: head.headers,
    }
}

async fn refuse(answer: &mut SendResponse<Bytes>, error: &Error) -> Result<()> {
    if error.code == Code::Internal {
        tracing::warn!(%error, "refused a request on the link");
    }
    let (response, body) = wire::error_response(error);
    let mut send = answer.send_response(response, false).map_err(|e| broken(&e))?;
    wire::write_body(&mut send, body).await
}
