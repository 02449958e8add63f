//! Reading a part of a file.

use crate::Digest;
use base::{Code, Error, Result};
use bytes::Bytes;
use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
    path::PathBuf,
};

/// Bytes read at once.
const CHUNK: usize = 256 << 10;

/// An open file of a store, read in order. It stays readable when the file is deleted meanwhile.
#[derive(Debug)]
pub struct BlobReader {
    digest: Digest,
    file: Option<File>,
    left: u64,
    size: u64,
}

impl BlobReader {
    pub(crate) async fn open(
        path: PathBuf,
        digest: Digest,
        offset: u64,
        length: Option<u64>,
    ) -> Result<Self> {
        let opened = rt::task::blocking(move || {
            let mut file = File::open(path)?;
            let size = file.metadata()?.len();
            file.seek(SeekFrom::Start(offset))?;
            Ok((file, size))
        })
        .await?;
        let (file, size) = opened.map_err(|e: std::io::Error| match e.kind() {
            std::io::ErrorKind::NotFound => Error::not_found(format!("there is no content {digest} here")),
            _ => Error::io(format_args!("read {digest}"), &e),
        })?;
        let rest = size.checked_sub(offset).ok_or_else(|| {
            Error::new(Code::Invalid, format!("the content has {size} bytes, none at {offset}"))
        })?;
        Ok(BlobReader { digest, file: Some(file), left: length.map_or(rest, |n| n.min(rest)), size })
    }

    /// Size of the whole file.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Bytes still to come.
    pub fn left(&self) -> u64 {
        self.left
    }

    /// The next bytes; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<Bytes>> {
        if self.left == 0 {
            return Ok(None);
        }
        let mut file =
            self.file.take().ok_or_else(|| Error::internal("an earlier read of this file failed"))?;
        let wanted = usize::try_from(self.left).unwrap_or(CHUNK).min(CHUNK);
        let (file, read) = rt::task::blocking(move || {
            let mut buffer = vec![0; wanted];
            let read = file.read_exact(&mut buffer).map(|()| buffer);
            (file, read)
        })
        .await?;
        let bytes = read.map_err(|e| Error::io(format_args!("read {}", self.digest), &e))?;
        self.file = Some(file);
        self.left -= bytes.len() as u64;
        Ok(Some(bytes.into()))
    }

    /// The rest, as a stream.
    pub fn into_stream(self) -> impl futures::Stream<Item = Result<Bytes>> + Send + 'static {
        futures::stream::try_unfold(self, |mut reader| async move {
            Ok(reader.next().await?.map(|bytes| (bytes, reader)))
        })
    }
}
