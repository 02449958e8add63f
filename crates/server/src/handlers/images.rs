//! Images and their bytes.

use super::wants_watch;
use crate::{
    request::{Request, empty, object, page},
    watch,
};
use api::{Image, ImageSpec, NewObject};
use axum::{
    body::Body,
    http::{HeaderValue, Response, StatusCode, header},
};
use base::{ByteSize, Code, Error, Result};
use bytes::Bytes;
use controller::Upload;
use futures::{Stream, StreamExt};
use std::time::Duration;

/// Longest time without a byte of an upload.
const STALL: Duration = Duration::from_secs(30);

pub(super) fn list(r: &Request) -> Result<Response<Body>> {
    if wants_watch(r) {
        return watch::serve_kind(r, "image", None);
    }
    page(r.controller.list_images(&r.page_query()?))
}

pub(super) async fn create(r: Request) -> Result<Response<Body>> {
    let (caller, new) = r.json::<NewObject<ImageSpec>>().await?;
    object(StatusCode::CREATED, &r.controller.create_image(&caller, new).await?)
}

pub(super) fn get(r: &Request) -> Result<Response<Body>> {
    object(StatusCode::OK, &r.controller.get::<Image>(None, r.parameter("name")?)?)
}

pub(super) async fn delete(r: &Request) -> Result<Response<Body>> {
    r.controller.delete_image(&r.caller()?, r.parameter("name")?).await?;
    Ok(empty())
}

pub(super) async fn put_part(r: Request) -> Result<Response<Body>> {
    let size = r.header("content-length").and_then(|l| l.parse().ok()).map(ByteSize);
    let digest = r.announced_digest()?;
    let caller = r.caller()?;
    let upload = Upload { size, digest, bytes: Box::pin(arriving(r.take_body())) };
    let image =
        r.controller.put_image_part(&caller, r.parameter("name")?, r.parameter("part")?, upload).await?;
    object(StatusCode::OK, &image)
}

/// The bytes of an upload. One that stands still ends.
fn arriving(body: Body) -> impl Stream<Item = Result<Bytes>> + Send {
    futures::stream::unfold(body.into_data_stream(), |mut body| async move {
        let bytes = match rt::clock::timeout(STALL, "the next bytes of the upload", body.next()).await {
            Ok(None) => return None,
            Ok(Some(bytes)) => bytes.map_err(|e| {
                Error::new(Code::Invalid, "the upload was cut off").because(e).hint("send the file again")
            }),
            Err(e) => Err(e.hint("send the file again")),
        };
        Some((bytes, body))
    })
}

/// The bytes of a part; one range (RFC 9110, 14.2) is honoured.
pub(super) async fn blob(r: &Request) -> Result<Response<Body>> {
    let digest: images::Digest = r.parameter("digest")?.parse()?;
    let size = r.controller.blobs().size(&digest).ok_or_else(|| {
        Error::not_found("there is no such content").hint("its image may have been deleted")
    })?;
    let range = r.header("range").map(|text| range(text, size)).transpose()?;
    let (first, last) = range.unwrap_or((0, size.saturating_sub(1)));
    let length = if size == 0 { 0 } else { last - first + 1 };
    let reader = r.controller.read_blob(&digest, first, Some(length)).await?;
    let mut response = Response::new(Body::from_stream(reader.into_stream()));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    if range.is_some() {
        if let Ok(value) = HeaderValue::from_str(&format!("bytes {first}-{last}/{size}")) {
            headers.insert(header::CONTENT_RANGE, value);
        }
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    Ok(response)
}

/// `bytes=FIRST-` or `bytes=FIRST-LAST`.
fn range(text: &str, size: u64) -> Result<(u64, u64)> {
    let wrong = || {
        Error::invalid("Range", format!("'{text}' is not a range of {size} bytes")).hint("send bytes=FIRST-")
    };
    let (first, last) = text.strip_prefix("bytes=").and_then(|r| r.split_once('-')).ok_or_else(wrong)?;
    let first: u64 = first.parse().map_err(|_| wrong())?;
    let last = if last.is_empty() { size.saturating_sub(1) } else { last.parse().map_err(|_| wrong())? };
    let last = last.min(size.saturating_sub(1));
    if first > last || first >= size { Err(wrong()) } else { Ok((first, last)) }
}
