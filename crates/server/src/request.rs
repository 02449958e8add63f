//! A request that may be answered: who asks for what, with which parameters and body.

use api::{
    query::{CONTENT_DIGEST, IDEMPOTENCY_KEY, ListQuery},
    routes::Route,
    strict,
};
use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, Response, StatusCode, header, request::Parts},
};
use base::{Code, Error, Name, Result, Revision};
use controller::{Caller, Controller, Idempotency, Page, PageQuery, Principal, Sees};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::{Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};
use std::{collections::BTreeMap, time::Duration};

/// Largest body of an ordinary request.
const MAX_BODY: usize = 1 << 20;
/// Longest time for an ordinary body to arrive.
const BODY_TIME: Duration = Duration::from_secs(30);
/// Objects of a page that asks for no number.
const PAGE: u32 = 500;
/// Most objects of a page.
const MAX_PAGE: u32 = 1000;

/// A request that has passed the guard.
pub(crate) struct Request {
    pub(crate) controller: Controller,
    pub(crate) route: &'static Route,
    pub(crate) parts: Parts,
    /// Taken once. In a lock only because bodies cannot be shared between threads and requests are.
    pub(crate) body: std::sync::Mutex<Body>,
    pub(crate) principal: Option<Principal>,
    pub(crate) parameters: BTreeMap<String, String>,
    pub(crate) source: String,
    pub(crate) id: String,
}

impl Request {
    /// A parameter of the path.
    pub(crate) fn parameter(&self, name: &str) -> Result<&str> {
        self.parameters
            .get(name)
            .map(String::as_str)
            .ok_or_else(|| Error::internal("a route without its parameter"))
    }

    /// The project of the path. One that cannot exist answers like one that does not.
    pub(crate) fn project(&self) -> Result<Name> {
        let text = self.parameter("project")?;
        Name::new(text).map_err(|_| controller::no_project(text))
    }

    /// The principal; routes that reach a handler that needs one have one.
    pub(crate) fn principal(&self) -> Result<&Principal> {
        self.principal.as_ref().ok_or_else(|| Error::new(Code::Unauthenticated, "this needs a token"))
    }

    /// What the caller may read of the route's resource.
    pub(crate) fn sees(&self) -> Result<Sees> {
        let api::routes::Access::Role(_, resource) = self.route.access else { return Ok(Sees::Everything) };
        Ok(self.principal()?.sees(resource))
    }

    /// The query, read strictly.
    pub(crate) fn query<T: DeserializeOwned>(&self) -> Result<T> {
        let query = self.parts.uri.query().unwrap_or_default();
        let watch = |pair: &&str| matches!(*pair, "watch" | "watch=true" | "watch=1" | "watch=false");
        // Whether a list goes on as a watch was decided before its query is read.
        let query = query.split('&').filter(|p| !watch(p)).collect::<Vec<_>>().join("&");
        strict::from_query(serde_urlencoded::Deserializer::new(form_urlencoded::parse(query.as_bytes())))
    }

    /// The page that the query asks for.
    pub(crate) fn page_query(&self) -> Result<PageQuery> {
        let query: ListQuery = self.query()?;
        let limit = query.limit.unwrap_or(PAGE);
        if !(1..=MAX_PAGE).contains(&limit) {
            return Err(Error::invalid("limit", format!("{limit} is out of range")).hint("use 1 to 1000"));
        }
        let cursor = query.cursor.map(|c| decode_cursor(&c)).transpose()?;
        let labels = query.labels.as_deref().map(labels).transpose()?.unwrap_or_default();
        Ok(PageQuery { limit: limit as usize, cursor, labels })
    }

    /// A header as text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.parts.headers.get(name)?.to_str().ok()
    }

    /// Takes the body off.
    pub(crate) fn take_body(&self) -> Body {
        self.body.lock().map(|mut body| std::mem::replace(&mut *body, Body::empty())).unwrap_or_default()
    }

    /// The body as JSON, read strictly, and the caller with the idempotency key over it.
    pub(crate) async fn json<T: DeserializeOwned>(&self) -> Result<(Caller, T)> {
        let json = self.header("content-type").is_none_or(|t| t.split(';').next().is_some_and(is_json));
        if !json {
            return Err(Error::new(Code::UnsupportedMedia, "the body is not JSON")
                .at("content-type")
                .hint("send application/json"));
        }
        let body = read_body(self.take_body()).await?;
        let caller = self.caller_with(&body)?;
        Ok((caller, strict::from_slice(&body)?))
    }

    /// The caller of a request without a body.
    pub(crate) fn caller(&self) -> Result<Caller> {
        self.caller_with(&[])
    }

    fn caller_with(&self, body: &[u8]) -> Result<Caller> {
        let if_match = match self.header("if-match") {
            None | Some("*") => None,
            Some(text) => Some(etag_revision(text)?),
        };
        Ok(Caller {
            principal: self.principal()?.clone(),
            source: self.source.clone(),
            request_id: self.id.clone(),
            path: self.parts.uri.path().to_owned(),
            idempotency: self.idempotency(body)?,
            if_match,
        })
    }

    fn idempotency(&self, body: &[u8]) -> Result<Option<Idempotency>> {
        let Some(key) = self.parts.headers.get(IDEMPOTENCY_KEY) else { return Ok(None) };
        let key = key.to_str().ok().filter(|k| (1..=255).contains(&k.len()));
        let key = key.ok_or_else(|| {
            Error::invalid("Idempotency-Key", "not a key").hint("use 1 to 255 printable ASCII characters")
        })?;
        let mut hash = Sha256::new();
        for part in [self.parts.method.as_str().as_bytes(), self.parts.uri.to_string().as_bytes(), body] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        let fingerprint = hex::encode(hash.finalize());
        Ok(Some(Idempotency { key: key.to_owned(), fingerprint }))
    }

    /// The digest that an upload announces.
    pub(crate) fn announced_digest(&self) -> Result<Option<images::Digest>> {
        self.header(CONTENT_DIGEST).map(|d| d.parse().map_err(|e: Error| e.at(CONTENT_DIGEST))).transpose()
    }
}

fn is_json(media_type: &str) -> bool {
    let media_type = media_type.trim();
    media_type.eq_ignore_ascii_case("application/json")
        || media_type.eq_ignore_ascii_case("application/merge-patch+json")
}

/// Reads a body of bounded size in bounded time.
pub(crate) async fn read_body(body: Body) -> Result<bytes::Bytes> {
    let collected = Limited::new(body, MAX_BODY).collect();
    let collected = rt::clock::timeout(BODY_TIME, "the request's body", collected).await?;
    collected.map(http_body_util::Collected::to_bytes).map_err(|e| {
        if e.downcast_ref::<LengthLimitError>().is_some() {
            Error::new(Code::TooLarge, format!("the body is larger than {MAX_BODY} bytes"))
                .hint("send less at once; images go to /v1/images/NAME/parts/PART")
        } else {
            Error::new(Code::Invalid, "the body could not be read").because(e)
        }
    })
}

fn etag_revision(text: &str) -> Result<Revision> {
    let bare = text.trim().trim_start_matches("W/").trim_matches('"');
    bare.parse().map_err(|e: Error| e.at("If-Match").hint("send the ETag of an earlier answer"))
}

/// `a=b,c=d` as labels.
fn labels(text: &str) -> Result<BTreeMap<String, String>> {
    text.split(',')
        .map(|pair| {
            pair.split_once('=').map(|(k, v)| (k.trim().to_owned(), v.trim().to_owned())).ok_or_else(|| {
                Error::invalid("labels", format!("'{pair}' is not key=value")).hint("write labels=a=1,b=2")
            })
        })
        .collect()
}

fn decode_cursor(text: &str) -> Result<String> {
    let wrong = || Error::invalid("cursor", "this is not a cursor").hint("use `next` of the page before");
    hex::decode(text).ok().and_then(|b| String::from_utf8(b).ok()).ok_or_else(wrong)
}

fn encode_cursor(key: &str) -> String {
    hex::encode(key)
}

/// A JSON answer.
pub(crate) fn json(status: StatusCode, value: &impl Serialize) -> Result<Response<Body>> {
    let body =
        serde_json::to_vec(value).map_err(|e| Error::internal("an answer cannot be written").because(e))?;
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

/// One object, with its ETag.
pub(crate) fn object<K: controller::Kind>(status: StatusCode, object: &K) -> Result<Response<Body>> {
    let mut response = json(status, object)?;
    etag(response.headers_mut(), object.metadata().revision);
    Ok(response)
}

fn etag(headers: &mut HeaderMap, revision: Revision) {
    if let Ok(value) = HeaderValue::from_str(&format!("\"{revision}\"")) {
        headers.insert(header::ETAG, value);
    }
}

/// One page.
pub(crate) fn page<K: Serialize>(page: Page<K>) -> Result<Response<Body>> {
    let next = page.next.as_deref().map(encode_cursor);
    json(StatusCode::OK, &api::List { items: page.items, revision: page.revision, next })
}

/// An answer without content.
pub(crate) fn empty() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}
