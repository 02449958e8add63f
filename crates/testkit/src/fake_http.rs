//! An HTTP server that says what a test tells it to: answers, problems, cut connections, event streams, WebSockets.

use bytes::Bytes;
use futures::{FutureExt, StreamExt, future::BoxFuture, stream};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    HeaderMap, Request, Response,
    body::{Frame, Incoming},
    header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, UPGRADE},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use std::{io, sync::Arc};
use tokio::net::TcpListener;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{handshake::derive_accept_key, protocol::Role},
};

pub use tokio_tungstenite::tungstenite::Message;

/// A WebSocket as the server holds it.
pub type Socket = WebSocketStream<TokioIo<hyper::upgrade::Upgraded>>;
type Body = UnsyncBoxBody<Bytes, io::Error>;

/// A request as it arrived.
#[derive(Clone, Debug)]
pub struct Seen {
    /// `GET`, ...
    pub method: String,
    /// The path with its query.
    pub path: String,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Seen {
    /// A header's text; empty where there is none.
    pub fn header(&self, name: &str) -> String {
        self.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned()
    }

    /// The body as JSON; null where it is none.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// What is done with a request.
pub enum Reply {
    /// A status and JSON.
    Json(u16, serde_json::Value),
    /// A status, headers, and a body.
    Plain(u16, Vec<(&'static str, String)>, Bytes),
    /// A body in pieces; then it ends, breaks, or stays open.
    Stream(Vec<Bytes>, End),
    /// The connection is cut.
    Cut,
    /// A WebSocket with this subprotocol.
    Socket(&'static str, Box<dyn FnOnce(Socket) -> BoxFuture<'static, ()> + Send>),
}

/// How a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// As it should.
    Well,
    /// In the middle.
    Broken,
    /// Not at all.
    Never,
}

impl Reply {
    /// A WebSocket with a subprotocol, and what is done with it.
    pub fn socket<F: Future<Output = ()> + Send + 'static>(
        protocol: &'static str,
        serve: impl FnOnce(Socket) -> F + Send + 'static,
    ) -> Self {
        Reply::Socket(protocol, Box::new(move |socket| serve(socket).boxed()))
    }

    /// A problem.
    pub fn problem(error: base::Error, request_id: &str) -> Self {
        let status = error.code.http_status();
        let problem = serde_json::to_value(api::Problem::new(error, request_id)).unwrap_or_default();
        Reply::Json(status, problem)
    }
}

/// A running fake. It ends when it is dropped.
pub struct FakeServer {
    url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    _connections: rt::task::Task<()>,
}

impl FakeServer {
    /// Listens on a free port of this host.
    ///
    /// # Errors
    /// No port can be had.
    pub async fn start(answer: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let shared = Arc::new(Shared { answer: Box::new(answer), seen: seen.clone() });
        Ok(FakeServer { url, seen, _connections: rt::task::spawn("fake server", serve(listener, shared)) })
    }

    /// Where it listens.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// All requests so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().clone()
    }

    /// Their methods and paths.
    pub fn paths(&self) -> Vec<String> {
        self.seen.lock().iter().map(|s| format!("{} {}", s.method, s.path)).collect()
    }
}

struct Shared {
    answer: Box<dyn Fn(&Seen) -> Reply + Send + Sync>,
    seen: Arc<Mutex<Vec<Seen>>>,
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let group = rt::task::Group::new();
    while let Ok((stream, _)) = listener.accept().await {
        let shared = shared.clone();
        group.spawn("connection", async move {
            let service = service_fn(move |request| handle(shared.clone(), request));
            let _ =
                http1::Builder::new().serve_connection(TokioIo::new(stream), service).with_upgrades().await;
        });
    }
}

/// An error cuts the connection.
async fn handle(shared: Arc<Shared>, mut request: Request<Incoming>) -> io::Result<Response<Body>> {
    let body = request.body_mut().collect().await.map_err(io::Error::other)?.to_bytes();
    let seen = Seen {
        method: request.method().to_string(),
        path: request.uri().to_string(),
        headers: request.headers().clone(),
        body,
    };
    shared.seen.lock().push(seen.clone());
    let response = Response::builder();
    let built = match (shared.answer)(&seen) {
        Reply::Json(status, value) => {
            let kind = if status < 400 { "application/json" } else { api::problem::MEDIA_TYPE };
            response.status(status).header("content-type", kind).body(full(value.to_string().into()))
        }
        Reply::Plain(status, headers, body) => {
            let with =
                headers.into_iter().fold(response.status(status), |r, (name, value)| r.header(name, value));
            with.body(full(body))
        }
        Reply::Stream(pieces, end) => {
            response.header("content-type", "text/event-stream").body(in_pieces(pieces, end))
        }
        Reply::Cut => return Err(io::ErrorKind::ConnectionReset.into()),
        Reply::Socket(protocol, serve) => {
            let upgrade = hyper::upgrade::on(request);
            let task = async move {
                if let Ok(upgraded) = upgrade.await {
                    let stream = TokioIo::new(upgraded);
                    serve(WebSocketStream::from_raw_socket(stream, Role::Server, None).await).await;
                }
            };
            DETACHED.spawn("socket", task);
            response
                .status(101)
                .header(CONNECTION, "upgrade")
                .header(UPGRADE, "websocket")
                .header(
                    SEC_WEBSOCKET_ACCEPT,
                    derive_accept_key(seen.header(SEC_WEBSOCKET_KEY.as_str()).as_bytes()),
                )
                .header(SEC_WEBSOCKET_PROTOCOL, protocol)
                .body(full(Bytes::new()))
        }
    };
    built.map_err(io::Error::other)
}

/// Sockets live as long as their test's runtime.
static DETACHED: std::sync::LazyLock<rt::task::Group> = std::sync::LazyLock::new(rt::task::Group::new);

fn full(bytes: Bytes) -> Body {
    Full::new(bytes).map_err(|never| match never {}).boxed_unsync()
}

fn in_pieces(pieces: Vec<Bytes>, end: End) -> Body {
    let pieces = stream::iter(pieces).map(|p| Ok(Frame::data(p)));
    let tail = match end {
        End::Well => stream::empty().boxed(),
        End::Broken => stream::once(async {
            // What came before is to arrive first.
            rt::clock::sleep(std::time::Duration::from_millis(50)).await;
            Err(io::Error::from(io::ErrorKind::ConnectionReset))
        })
        .boxed(),
        End::Never => stream::pending().boxed(),
    };
    StreamBody::new(pieces.chain(tail)).boxed_unsync()
}
