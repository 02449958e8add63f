//! Requests as any HTTP client may send them, right or wrong: what the typed client would never say. Plain to `dev`,
//! over TLS to a controller apart.

use crate::{Cluster, Layout};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{HeaderMap, Request, Response, body::Incoming, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use link::BoxedIo;
use rt::task::Task;
use serde_json::Value;
use std::{fs, sync::Arc, time::Duration};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Longest time for an answer's head, or for a body that ends.
const LIMIT: Duration = Duration::from_mins(1);

/// Who asks, and where.
#[derive(Clone, Debug)]
pub struct Http {
    server: Server,
    token: Option<String>,
}

/// Where a server is, and how it is spoken to.
#[derive(Clone)]
struct Server {
    address: String,
    tls: Option<TlsConnector>,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.address)
    }
}

impl Server {
    fn of(cluster: &Cluster) -> Self {
        let tls = (cluster.layout() == Layout::Apart).then(|| {
            let ca = fs::read_to_string(cluster.data_dir().join("ca.crt")).expect("a CA");
            let mut config = link::pki::client_tls_ca(&ca).expect("a CA");
            config.alpn_protocols = vec![b"http/1.1".to_vec()];
            TlsConnector::from(Arc::new(config))
        });
        Server { address: cluster.address(), tls }
    }

    async fn connect(&self) -> BoxedIo {
        let tcp = TcpStream::connect(&self.address).await.expect("a connection");
        let Some(tls) = &self.tls else { return Box::new(tcp) };
        let host = self.address.rsplit_once(':').map_or("", |(host, _)| host).to_owned();
        let name = host.try_into().expect("an address");
        Box::new(tls.connect(name, tcp).await.expect("a handshake"))
    }
}

/// A whole answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

/// A request that is being put together.
#[derive(Debug)]
pub struct Ask {
    server: Server,
    request: hyper::http::request::Builder,
    body: Bytes,
}

/// Server-sent events on their way in.
#[derive(Debug)]
pub struct Events {
    body: Incoming,
    text: String,
    _connection: Task<()>,
}

/// One server-sent event.
#[derive(Clone, Debug)]
pub struct Event {
    /// Its `id:`, where it has one.
    pub id: Option<String>,
    /// Its `event:`.
    pub event: String,
    /// Its `data:`.
    pub data: Value,
}

impl Http {
    /// Asks as the cluster's admin.
    pub fn admin(cluster: &Cluster) -> Self {
        Http { server: Server::of(cluster), token: Some(cluster.token().expose_secret().to_owned()) }
    }

    /// Asks with this token, or as nobody.
    #[must_use]
    pub fn as_token(&self, token: Option<&str>) -> Self {
        Http { server: self.server.clone(), token: token.map(ToOwned::to_owned) }
    }

    /// A connection on which nothing was sent yet.
    ///
    /// # Panics
    /// Where there is none.
    pub async fn connect(&self) -> BoxedIo {
        self.server.connect().await
    }

    /// Begins a request.
    pub fn ask(&self, method: &str, path: &str) -> Ask {
        let mut request =
            Request::builder().method(method).uri(path).header(header::HOST, &self.server.address);
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        Ask { server: self.server.clone(), request, body: Bytes::new() }
    }

    /// GET.
    pub async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path).send().await
    }

    /// DELETE.
    pub async fn delete(&self, path: &str) -> Answer {
        self.ask("DELETE", path).send().await
    }

    /// A request with a JSON body.
    pub async fn send(&self, method: &str, path: &str, body: &Value) -> Answer {
        self.ask(method, path).json(body).send().await
    }

    /// Opens a stream of events; its answer instead where it is refused.
    pub async fn events(&self, path: &str) -> Result<Events, Answer> {
        self.ask("GET", path).events().await
    }
}

impl Ask {
    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.request = self.request.header(name, value);
        self
    }

    /// Sends this as JSON.
    #[must_use]
    pub fn json(self, body: &Value) -> Self {
        self.header("content-type", "application/json").body(body.to_string())
    }

    /// Sends these bytes.
    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// Asks for a WebSocket that speaks this.
    #[must_use]
    pub fn websocket(self, protocol: &str) -> Self {
        self.header("connection", "upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
            .header("sec-websocket-protocol", protocol)
    }

    /// Sends it and waits for the head of the answer. The connection lives as long as the task.
    ///
    /// # Panics
    /// Where there is none.
    pub async fn open(self) -> (Response<Incoming>, Task<()>) {
        let request = self.request.body(Full::new(self.body)).expect("a request");
        let what = format!("{} {}", request.method(), request.uri());
        let answered = async {
            let io = TokioIo::new(self.server.connect().await);
            let (mut sender, connection) = http1::handshake(io).await.expect("a connection");
            let connection = rt::task::spawn("connection", async move {
                let _ = connection.with_upgrades().await; // its end shows in the body
            });
            sender.send_request(request).await.map(|response| (response, connection))
        };
        let answered = tokio::time::timeout(LIMIT, answered).await;
        answered.unwrap_or_else(|_| panic!("no answer to {what}")).unwrap_or_else(|e| panic!("{what}: {e}"))
    }

    /// Sends it and reads the whole answer. Of an event stream only the head.
    pub async fn send(self) -> Answer {
        let (response, _connection) = self.open().await;
        let (parts, body) = response.into_parts();
        let endless = parts.headers.get(header::CONTENT_TYPE).is_some_and(|t| t == "text/event-stream");
        let body = if endless || parts.status == 101 { Bytes::new() } else { collect(body).await };
        Answer { status: parts.status.as_u16(), headers: parts.headers, body }
    }

    /// Sends it and reads the answer as events.
    ///
    /// # Errors
    /// The answer where it is not 200.
    pub async fn events(self) -> Result<Events, Answer> {
        let (response, connection) = self.open().await;
        let (parts, body) = response.into_parts();
        if parts.status == 200 {
            return Ok(Events { body, text: String::new(), _connection: connection });
        }
        Err(Answer { status: parts.status.as_u16(), headers: parts.headers, body: collect(body).await })
    }
}

async fn collect(body: Incoming) -> Bytes {
    let collected = tokio::time::timeout(LIMIT, body.collect()).await.expect("the body ends");
    collected.map(http_body_util::Collected::to_bytes).unwrap_or_default()
}

impl Answer {
    /// Its body as JSON; null where it has none.
    ///
    /// # Panics
    /// Where it is something else.
    #[track_caller]
    pub fn json(&self) -> Value {
        if self.body.is_empty() {
            return Value::Null;
        }
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e} in {:?}", self.body))
    }

    /// Its body as JSON, where it has this status.
    ///
    /// # Panics
    /// Where it has another one.
    #[track_caller]
    pub fn is(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", String::from_utf8_lossy(&self.body));
        self.json()
    }

    /// The problem, checked for all that a problem has: type, title, detail, code, and the id of the request.
    ///
    /// # Panics
    /// Where it is none, or of another status.
    #[track_caller]
    pub fn problem(&self, status: u16) -> Value {
        let problem = self.is(status);
        assert_eq!(self.header("content-type"), "application/problem+json");
        assert_eq!(problem["status"], status);
        let code = problem["code"].as_str().expect("a code");
        assert_eq!(problem["type"], format!("/problems/{code}"));
        for field in ["title", "detail"] {
            assert!(problem[field].as_str().is_some_and(|t| !t.is_empty()), "{field} is missing: {problem}");
        }
        assert_eq!(problem["requestId"], self.header("x-request-id"));
        problem
    }

    /// A header as text; empty where it is not there.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default()
    }
}

impl Events {
    /// The next event; `None` when the stream has ended.
    ///
    /// # Panics
    /// Where nothing comes within 30 s.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(end) = self.text.find("\n\n") {
                let event = parse(&self.text[..end]);
                self.text.drain(..end + 2);
                return Some(event);
            }
            let frame = tokio::time::timeout(Duration::from_secs(30), self.body.frame()).await;
            let frame = frame.expect("an event within 30 s")?.ok()?;
            self.text.push_str(&String::from_utf8_lossy(frame.data_ref().map_or(&[], |d| d)));
        }
    }

    /// The next event that is not a bookmark.
    pub async fn change(&mut self) -> Option<Event> {
        loop {
            let event = self.next().await?;
            if event.event != "bookmark" {
                return Some(event);
            }
        }
    }

    /// Waits for the end of the stream; its last event.
    ///
    /// # Panics
    /// Where it does not end in time.
    pub async fn end(&mut self, limit: Duration) -> Option<Event> {
        let all = async {
            let mut last = None;
            while let Some(event) = self.next().await {
                last = Some(event);
            }
            last
        };
        tokio::time::timeout(limit, all).await.expect("the stream ends")
    }
}

fn parse(text: &str) -> Event {
    let field = |name: &str| text.lines().find_map(|l| l.strip_prefix(name)).map(|v| v.trim().to_owned());
    Event {
        id: field("id:"),
        event: field("event:").unwrap_or_default(),
        data: serde_json::from_str(&field("data:").unwrap_or_default()).unwrap_or_default(),
    }
}
