//! Image files from the controller's ordinary API, by ranges.

use super::identity::{Identity, http_client};
use ::images::{Digest, Source};
use api::routes::RouteId;
use base::{Code, Error, Result, Secret};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, future::BoxFuture, stream::BoxStream};
use reqwest::{StatusCode, header};

/// A controller as the source of images.
#[derive(Clone, Debug)]
pub struct HttpSource {
    client: reqwest::Client,
    url: String,
    token: Secret,
}

impl HttpSource {
    /// The controller that this worker has joined.
    pub fn new(identity: &Identity) -> Result<Self> {
        let client = http_client(&identity.url, || link::pki::client_tls_ca(&identity.ca))?;
        Ok(HttpSource { client, url: identity.url.clone(), token: identity.token.clone() })
    }

    async fn get(&self, digest: Digest, offset: u64) -> Result<BoxStream<'static, Result<Bytes>>> {
        let url = format!("{}{}", self.url, RouteId::GetBlob.path(&[&digest.to_string()]));
        let response = self
            .client
            .get(url)
            .bearer_auth(self.token.expose_secret())
            .header(header::RANGE, format!("bytes={offset}-"))
            .send()
            .await
            .map_err(|e| unavailable(&e))?;
        match response.status() {
            StatusCode::PARTIAL_CONTENT => {}
            StatusCode::OK if offset == 0 => {}
            _ => return Err(refusal(response).await),
        }
        Ok(response.bytes_stream().map_err(|e| unavailable(&e)).boxed())
    }
}

impl Source for HttpSource {
    fn fetch(&self, digest: Digest, offset: u64) -> BoxFuture<'_, Result<BoxStream<'static, Result<Bytes>>>> {
        Box::pin(self.get(digest, offset))
    }
}

pub fn unavailable(error: &reqwest::Error) -> Error {
    use std::error::Error as _;
    let mut cause = error.to_string();
    let mut inner = error.source();
    while let Some(e) = inner {
        cause = e.to_string();
        inner = e.source();
    }
    Error::unavailable("the controller cannot be reached").because(cause)
}

/// What the controller says where it does not do what was asked.
pub async fn refusal(response: reqwest::Response) -> Error {
    let status = response.status();
    let said = response.json::<api::problem::Problem>().await;
    match said {
        Ok(problem) => problem.into(),
        Err(_) if status.is_server_error() => Error::unavailable(format!("the controller answered {status}")),
        Err(_) => Error::new(Code::Internal, format!("the controller answered {status}"))
            .hint("is the URL that of a Hostler controller?"),
    }
}
