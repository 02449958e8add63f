//! What answers inside a synthetic machine: it sends back what it gets. Port 9 swallows (RFC 863) and port 19 sends
//! without end (RFC 864), for measurements.

use crate::runtimes::Target;
use rt::clock;
use std::{io, time::Duration};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

/// What port 22 says first, as an SSH server does (RFC 4253, 4.2).
const SSH: &[u8] = b"SSH-2.0-synthetic\r\n";
/// What the screen says first (RFC 6143, 7.1.1).
const RFB: &[u8] = b"RFB 003.008\n";

/// Serves one connection. It is silent at first, as a guest behind a forward is that has not booted yet.
pub(super) async fn serve(mut stream: DuplexStream, target: Target, silent: Duration) {
    if !silent.is_zero() {
        clock::sleep(silent).await;
    }
    // However it ends: the other side has left.
    let _ = match target {
        Target::Port(9) => discard(&mut stream).await,
        Target::Port(19) => generate(&mut stream).await,
        Target::Port(22) => talk(&mut stream, SSH).await,
        Target::Vnc => talk(&mut stream, RFB).await,
        Target::Port(_) | Target::Console => talk(&mut stream, b"").await,
    };
}

/// Reads to the end.
async fn discard(stream: &mut DuplexStream) -> io::Result<()> {
    tokio::io::copy(stream, &mut tokio::io::sink()).await?;
    stream.shutdown().await
}

async fn generate(stream: &mut DuplexStream) -> io::Result<()> {
    static BLOCK: [u8; 16 << 10] = [b'#'; 16 << 10];
    loop {
        stream.write_all(&BLOCK).await?;
    }
}

async fn talk(stream: &mut DuplexStream, greeting: &[u8]) -> io::Result<()> {
    stream.write_all(greeting).await?;
    let mut buffer = vec![0; 16 << 10];
    loop {
        let n = stream.read(&mut buffer).await?;
        if n == 0 {
            return stream.shutdown().await;
        }
        stream.write_all(&buffer[..n]).await?;
    }
}
