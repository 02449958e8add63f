//! One request: built, sent, repeated where that is safe, and its answer read.

use crate::{Client, Error, Result, explain, query, upload::Upload};
use api::{
    Problem,
    query::{IDEMPOTENCY_KEY, REQUEST_ID},
    routes::{Method, RouteId},
};
use base::{Code, Error as Failure, Revision};
use bytes::Bytes;
use reqwest::{Response, StatusCode, header};
use rt::clock::{Backoff, Instant};
use serde::{Serialize, de::DeserializeOwned};
use std::time::Duration;

/// Long enough for anything that is not a stream.
const WHOLE_CALL: Duration = Duration::from_mins(1);
/// How often an answer may break in the middle.
const BROKEN_ANSWERS: u32 = 2;
/// No problem is longer.
const MAX_PROBLEM: usize = 1 << 20;

/// A request in the making.
#[derive(Debug)]
pub struct Call {
    client: Client,
    method: Method,
    path: String,
    query: String,
    headers: Vec<(String, String)>,
    body: Body,
    /// What was wrong with what was given; told when it is sent.
    wrong: Option<Failure>,
}

#[derive(Debug)]
enum Body {
    None,
    Json(Bytes),
    File(Upload),
}

/// An answer as it came.
#[derive(Clone, Debug)]
pub struct Raw {
    /// The HTTP status: 200 to 299.
    pub status: u16,
    /// The media type; empty where there was none.
    pub content_type: String,
    /// The server's id of the request.
    pub request_id: String,
    /// The body.
    pub body: Bytes,
}

impl Raw {
    fn gone() -> Self {
        Raw { status: 204, content_type: String::new(), request_id: String::new(), body: Bytes::new() }
    }
}

impl Client {
    /// A request to a route, with the parameters of its path in their order.
    pub fn call(&self, route: RouteId, parameters: &[&str]) -> Call {
        self.request(route.route().method, route.path(parameters))
    }

    /// A request to any path, which may have a query.
    pub fn request(&self, method: Method, path: impl Into<String>) -> Call {
        let mut path = path.into();
        let query = path.find('?').map(|at| path.split_off(at)[1..].to_owned()).unwrap_or_default();
        let mut headers = Vec::new();
        if method == Method::Post {
            headers.push((IDEMPOTENCY_KEY.to_owned(), rt::ids::uid().to_string()));
        }
        Call { client: self.clone(), method, path, query, headers, body: Body::None, wrong: None }
    }
}

impl Call {
    /// Adds query parameters: the fields of a type of [`api::query`].
    #[must_use]
    pub fn query(mut self, parameters: &impl Serialize) -> Self {
        match query::encode(parameters) {
            Ok(more) if more.is_empty() => {}
            Ok(more) if self.query.is_empty() => self.query = more,
            Ok(more) => self.query = format!("{}&{more}", self.query),
            Err(e) => self.wrong = Some(e),
        }
        self
    }

    /// Sends this as JSON.
    #[must_use]
    pub fn json(mut self, body: &impl Serialize) -> Self {
        match serde_json::to_vec(body) {
            Ok(bytes) => self.body = Body::Json(bytes.into()),
            Err(e) => self.wrong = Some(Failure::internal("cannot write a request as JSON").because(e)),
        }
        self
    }

    /// Sends a file.
    #[must_use]
    pub(crate) fn file(mut self, upload: Upload) -> Self {
        self.body = Body::File(upload);
        self
    }

    /// Adds or replaces a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.retain(|(n, _)| !n.eq_ignore_ascii_case(name));
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// Only if the object has not moved since this revision of it.
    #[must_use]
    pub fn if_match(self, revision: Revision) -> Self {
        self.header("if-match", format!("\"{revision}\""))
    }

    /// The key by which the server knows a repeated POST, instead of a new one.
    #[must_use]
    pub fn idempotency_key(self, key: impl Into<String>) -> Self {
        self.header(IDEMPOTENCY_KEY, key)
    }

    /// Sends it and reads the answer.
    pub async fn send<T: DeserializeOwned>(self) -> Result<T> {
        let url = self.client.url().to_owned();
        let raw = self.raw().await?;
        decode(&url, &raw)
    }

    /// Sends it and reads the answer, which may be empty.
    pub async fn send_optional<T: DeserializeOwned>(self) -> Result<Option<T>> {
        let url = self.client.url().to_owned();
        let raw = self.raw().await?;
        if raw.body.is_empty() { Ok(None) } else { decode(&url, &raw).map(Some) }
    }

    /// Sends it and gives the answer as it comes. An answer that breaks in the middle is asked for again where that is
    /// safe.
    pub async fn raw(self) -> Result<Raw> {
        let limit = if matches!(self.body, Body::File(_)) { None } else { Some(WHOLE_CALL) };
        let mut broken = 0;
        loop {
            let Some(response) = self.attempts(&Way::Plain(limit)).await? else {
                return Ok(Raw::gone());
            };
            let mut raw = Raw {
                status: response.status().as_u16(),
                content_type: text_header(&response, header::CONTENT_TYPE.as_str()),
                request_id: request_id(&response),
                body: Bytes::new(),
            };
            match response.bytes().await {
                Ok(body) => {
                    raw.body = body;
                    return Ok(raw);
                }
                Err(_) if self.repeatable() && broken < BROKEN_ANSWERS => broken += 1,
                Err(e) => {
                    let error = self.doubt(explain::transport(self.client.url(), &e)).error;
                    return Err(Error { error, request_id: raw.request_id.into() });
                }
            }
        }
    }

    /// Sends it and gives the answer once its head is there. For bodies without an end.
    pub(crate) async fn stream(self) -> Result<Response> {
        self.attempts(&Way::Plain(None)).await?.ok_or_else(nothing)
    }

    /// Sends it as a request for a WebSocket and gives the answer that agrees.
    pub(crate) async fn upgrade(self) -> Result<Response> {
        self.attempts(&Way::Upgrade).await?.ok_or_else(nothing)
    }

    /// Whether sending it twice has the effect of sending it once.
    fn repeatable(&self) -> bool {
        let has = |name: &str| self.headers.iter().any(|(n, _)| n.eq_ignore_ascii_case(name));
        match self.method {
            Method::Get => true,
            Method::Post => has(IDEMPOTENCY_KEY),
            // With a precondition, the second sending would be refused because of the first.
            Method::Put | Method::Patch | Method::Delete => !has("if-match"),
        }
    }

    /// `None` where a repeated DELETE finds that the first one, whose answer was lost, did it.
    async fn attempts(&self, way: &Way) -> Result<Option<Response>> {
        if let Some(wrong) = &self.wrong {
            return Err(wrong.clone().into());
        }
        let retry = self.client.0.retry;
        let started = rt::clock::now();
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(2));
        let mut attempt = 1;
        loop {
            let (failure, wait) = match self.once(way).await? {
                Outcome::Good(response) => return Ok(Some(response)),
                Outcome::Bad(e)
                    if attempt > 1 && self.method == Method::Delete && e.code() == Code::NotFound =>
                {
                    return Ok(None);
                }
                Outcome::Bad(e) => return Err(e),
                Outcome::Again(e, wait) => (e, wait),
            };
            let delay = wait.unwrap_or_else(|| backoff.delay());
            if attempt >= retry.attempts || over(started, delay, retry.within) {
                return Err(failure);
            }
            tracing::debug!(attempt, %failure, "trying again");
            rt::clock::sleep(delay).await;
            attempt += 1;
        }
    }

    async fn once(&self, way: &Way) -> Result<Outcome> {
        let request = self.build(way).await?;
        let target = &self.client.0;
        let http = if matches!(way, Way::Upgrade) { &target.sockets } else { &target.http };
        let response = match http.execute(request).await {
            Ok(response) => response,
            Err(e) => {
                let error = explain::transport(&target.url, &e);
                let again = error.code == Code::Unavailable && (e.is_connect() || self.repeatable());
                return Ok(if again {
                    Outcome::Again(error.into(), None)
                } else {
                    Outcome::Bad(self.doubt(error))
                });
            }
        };
        let status = response.status();
        let good = match way {
            Way::Plain(_) => status.is_success(),
            Way::Upgrade => status == StatusCode::SWITCHING_PROTOCOLS,
        };
        if good {
            return Ok(Outcome::Good(response));
        }
        let wait = retry_after(&response);
        let error = problem(&target.url, response).await;
        Ok(if status == StatusCode::SERVICE_UNAVAILABLE && self.repeatable() {
            Outcome::Again(error, wait)
        } else {
            Outcome::Bad(error)
        })
    }

    /// Says so where nobody knows whether the request was carried out.
    fn doubt(&self, error: Failure) -> Error {
        if self.repeatable() || error.code != Code::Unavailable {
            return error.into();
        }
        error.hint("it may have been carried out: look before you repeat it").into()
    }

    async fn build(&self, way: &Way) -> Result<reqwest::Request> {
        let target = &self.client.0;
        let mut url = format!("{}{}", target.url, self.path);
        if !self.query.is_empty() {
            url = format!("{url}?{}", self.query);
        }
        let method = reqwest::Method::from_bytes(self.method.as_str().as_bytes())
            .map_err(|e| Failure::internal("not a method").because(e))?;
        let http = if matches!(way, Way::Upgrade) { &target.sockets } else { &target.http };
        let mut builder = http.request(method, url);
        if let Some(token) = &target.token {
            builder = builder.bearer_auth(token.expose_secret());
        }
        if let Way::Plain(Some(limit)) = way {
            builder = builder.timeout(*limit);
        }
        for (name, value) in &self.headers {
            builder = builder.header(name, value);
        }
        builder = match &self.body {
            Body::None => builder,
            Body::Json(bytes) => builder.header(header::CONTENT_TYPE, "application/json").body(bytes.clone()),
            Body::File(upload) => upload.attach(builder).await?,
        };
        builder.build().map_err(|e| Failure::invalid("request", "cannot be sent").because(e).into())
    }
}

enum Way {
    /// With an end, or as an endless body.
    Plain(Option<Duration>),
    Upgrade,
}

enum Outcome {
    Good(Response),
    Bad(Error),
    Again(Error, Option<Duration>),
}

fn over(started: Instant, delay: Duration, within: Duration) -> bool {
    rt::clock::now() + delay > started + within
}

fn nothing() -> Error {
    Failure::internal("a stream was asked for and none came").into()
}

fn decode<T: DeserializeOwned>(url: &str, raw: &Raw) -> Result<T> {
    serde_json::from_slice(&raw.body).map_err(|e| Error {
        error: Failure::internal(format!("{url} sent an answer that this program does not understand"))
            .because(e)
            .hint("compare `hostler version` with the controller's: one of them may be older"),
        request_id: raw.request_id.as_str().into(),
    })
}

fn text_header(response: &Response, name: &str) -> String {
    response.headers().get(name).and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned()
}

pub(crate) fn request_id(response: &Response) -> String {
    text_header(response, REQUEST_ID)
}

/// Seconds only: what our server sends. At most 5, so that a wrong header does not stop us.
fn retry_after(response: &Response) -> Option<Duration> {
    let seconds: u64 = text_header(response, header::RETRY_AFTER.as_str()).parse().ok()?;
    Some(Duration::from_secs(seconds.min(5)))
}

/// The problem in an answer, or the best that can be said without one.
async fn problem(url: &str, mut response: Response) -> Error {
    let status = response.status().as_u16();
    let request_id = request_id(&response);
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        body.extend_from_slice(&chunk);
        if body.len() > MAX_PROBLEM {
            break;
        }
    }
    if let Ok(problem) = serde_json::from_slice::<Problem>(&body) {
        let mut error = Error::from(problem);
        if error.request_id.is_empty() {
            error.request_id = request_id.into();
        }
        return error;
    }
    let code = Code::ALL.into_iter().find(|c| c.http_status() == status);
    let code = code.unwrap_or(if status < 500 { Code::Invalid } else { Code::Unavailable });
    let hint = if url.starts_with("http://") && status == 400 {
        "does it speak TLS? then its address begins with https://"
    } else {
        "is that address a controller, or something before it?"
    };
    let error =
        Failure::new(code, format!("{url} answered with HTTP status {status} and no explanation")).hint(hint);
    Error { error, request_id: request_id.into() }
}
