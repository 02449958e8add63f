//! The bytes of one file, with many requests under way: a line is then as fast as its bandwidth, not as its round trips.

use super::{
    SftpClient, UNDER_WAY,
    error::{failed, is_end},
    progress::Tally,
};
use base::{Error, Result};
use futures::{
    StreamExt,
    stream::{FuturesOrdered, FuturesUnordered},
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// How many requests of this size to have under way.
fn width(size: u64) -> usize {
    usize::try_from(UNDER_WAY / size.max(1)).unwrap_or(1).clamp(4, 128)
}

/// Writes all that `source` has to an open file of the server. `name` is for messages.
pub(super) async fn write_all(
    client: &SftpClient,
    handle: &str,
    name: &str,
    source: &mut (impl AsyncRead + Unpin),
    tally: &Tally<'_>,
) -> Result<()> {
    let width = width(client.write_size as u64);
    let mut under_way = FuturesUnordered::new();
    let (mut offset, mut more) = (0, true);
    loop {
        while more && under_way.len() < width {
            let chunk = read_chunk(source, client.write_size).await;
            let chunk = chunk.map_err(|e| Error::io(format_args!("read the source of {name}"), &e))?;
            let n = chunk.len() as u64;
            more = n > 0;
            if more {
                let writing = client.raw.write(handle, offset, chunk);
                under_way.push(async move { writing.await.map(|_| n) });
                offset += n;
            }
        }
        // Polling is also what sends the requests.
        match under_way.next().await {
            Some(written) => tally.bytes(written.map_err(|e| failed(format_args!("write {name}"), e))?),
            None => return Ok(()),
        }
    }
}

/// A full chunk, except at the end.
async fn read_chunk(source: &mut (impl AsyncRead + Unpin), size: usize) -> std::io::Result<Vec<u8>> {
    let mut chunk = Vec::with_capacity(size);
    source.take(size as u64).read_to_end(&mut chunk).await?;
    Ok(chunk)
}

/// Reads an open file of the server into `target`. `size` is what the server says it has; a file of no size (as below
/// `/proc`) is read to its end.
pub(super) async fn read_all(
    client: &SftpClient,
    handle: &str,
    name: &str,
    size: u64,
    target: &mut (impl AsyncWrite + Unpin),
    tally: &Tally<'_>,
) -> Result<()> {
    let end = if size == 0 { u64::MAX } else { size };
    // Where the end is unknown, one request at a time: those beyond the end would be for nothing.
    let width = if size == 0 { 1 } else { width(u64::from(client.read_size)) };
    let mut under_way = FuturesOrdered::new();
    let mut offset = 0;
    loop {
        while offset < end && under_way.len() < width {
            let length = u32::try_from(end - offset).unwrap_or(u32::MAX).min(client.read_size);
            under_way.push_back(read_exactly(client, handle, offset, length));
            offset += u64::from(length);
        }
        let Some(read) = under_way.next().await else { return Ok(()) };
        let (data, ended) = read.map_err(|e| failed(format_args!("read {name}"), e))?;
        let doing = |e: std::io::Error| Error::io(format_args!("write the copy of {name}"), &e);
        target.write_all(&data).await.map_err(doing)?;
        tally.bytes(data.len() as u64);
        if ended {
            return Ok(());
        }
    }
}

/// Reads again where the server gave less than asked. Says whether the file ended.
async fn read_exactly(
    client: &SftpClient,
    handle: &str,
    offset: u64,
    length: u32,
) -> Result<(Vec<u8>, bool), russh_sftp::client::error::Error> {
    let mut data = Vec::new();
    loop {
        let got = u32::try_from(data.len()).unwrap_or(length);
        if got >= length {
            data.truncate(length as usize);
            return Ok((data, false));
        }
        match client.raw.read(handle, offset + u64::from(got), length - got).await {
            Ok(more) if more.data.is_empty() => return Ok((data, true)),
            Ok(more) if data.is_empty() => data = more.data,
            Ok(more) => data.extend_from_slice(&more.data),
            Err(e) if is_end(&e) => return Ok((data, true)),
            Err(e) => return Err(e),
        }
    }
}
