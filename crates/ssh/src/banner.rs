//! The readiness probe: the first words of an SSH server.

use base::{Code, Error, Result};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt};

/// RFC 4253 section 4.2 allows 255 bytes for the line and other lines before it. We read this much of those.
const MOST: usize = 16 * 1024;

/// Reads the identification line of an SSH server (RFC 4253 section 4.2), without its line end: `SSH-2.0-OpenSSH_9.2`.
///
/// Succeeds only when that line was read, so it proves that the guest itself answers: a forwarding hypervisor accepts
/// connections long before. Bytes after the line may be consumed too; use another stream for the connection.
///
/// # Errors
/// [`Code::Timeout`] after `limit`; [`Code::Unavailable`] where the stream ends or something else answers.
pub async fn read_banner(stream: impl AsyncRead + Unpin, limit: Duration) -> Result<String> {
    rt::clock::timeout(limit, "reading the SSH banner", read_line(stream)).await?
}

async fn read_line(mut stream: impl AsyncRead + Unpin) -> Result<String> {
    let mut seen = Vec::with_capacity(256);
    let mut start = 0;
    loop {
        let n = stream.read_buf(&mut seen).await.map_err(|e| silent().because(e))?;
        if n == 0 {
            return Err(silent().because("the connection was closed before a banner came"));
        }
        while let Some(length) = seen[start..].iter().position(|b| *b == b'\n') {
            let line = &seen[start..start + length];
            start += length + 1;
            if line.starts_with(b"SSH-") {
                return identification(line);
            }
        }
        if seen.len() > MOST {
            return Err(silent().because("something else than an SSH server answers"));
        }
    }
}

fn identification(line: &[u8]) -> Result<String> {
    let text = String::from_utf8_lossy(line).trim_end().to_owned();
    // "1.99" is a server that also speaks the old protocol (RFC 4253 section 5.1).
    if text.len() <= 255 && (text.starts_with("SSH-2.0-") || text.starts_with("SSH-1.99-")) {
        return Ok(text);
    }
    Err(silent()
        .because(format!("it speaks another protocol: {}", text.chars().take(80).collect::<String>())))
}

fn silent() -> Error {
    Error::new(Code::Unavailable, "no SSH server answers")
}

#[cfg(test)]
mod tests;
