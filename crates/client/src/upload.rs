//! Uploads: files sent as they are read.

use crate::{Client, Result};
use api::{Image, query::CONTENT_DIGEST, routes::RouteId};
use base::Error;
use futures::StreamExt;
use reqwest::{RequestBuilder, header};
use std::{fmt, path::PathBuf, sync::Arc};
use tokio_util::io::ReaderStream;

const CHUNK: usize = 256 * 1024;

/// Told how many bytes were sent just now.
pub type Progress = Arc<dyn Fn(u64) + Send + Sync>;

/// A file to send.
#[derive(Clone)]
pub struct Upload {
    /// Where it is.
    pub path: PathBuf,
    /// What its content must be: `sha256:` and 64 hexadecimal digits.
    pub digest: Option<String>,
    /// Who wants to know how far it is. An attempt that fails is started over, and told as a new beginning by 0 bytes.
    pub progress: Option<Progress>,
}

impl fmt::Debug for Upload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Upload({})", self.path.display())
    }
}

impl Upload {
    /// A file, without a digest.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Upload { path: path.into(), digest: None, progress: None }
    }

    pub(crate) async fn attach(&self, builder: RequestBuilder) -> Result<RequestBuilder> {
        let doing = |e| Error::io(format_args!("read {}", self.path.display()), &e);
        let file = tokio::fs::File::open(&self.path).await.map_err(doing)?;
        let length = file.metadata().await.map_err(doing)?.len();
        let progress = self.progress.clone();
        if let Some(progress) = &progress {
            progress(0);
        }
        let stream = ReaderStream::with_capacity(file, CHUNK).inspect(move |chunk| {
            if let (Some(progress), Ok(chunk)) = (&progress, chunk) {
                progress(chunk.len() as u64);
            }
        });
        let mut builder = builder
            .header(header::CONTENT_TYPE, "application/octet-stream")
            .header(header::CONTENT_LENGTH, length)
            .body(reqwest::Body::wrap_stream(stream));
        if let Some(digest) = &self.digest {
            builder = builder.header(CONTENT_DIGEST, digest);
        }
        Ok(builder)
    }
}

impl Client {
    /// Sends one part of an image. Starts over when the connection breaks.
    pub async fn put_image_part(&self, image: &str, part: &str, upload: Upload) -> Result<Image> {
        self.call(RouteId::PutImagePart, &[image, part]).file(upload).send().await
    }
}
