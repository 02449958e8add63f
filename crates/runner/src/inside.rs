//! What our program does inside a sandbox: it makes the broker reachable for programs that only know TCP or pipes.

use crate::BROKER;
use base::{Code, Error, Name, Result, Secret};
use std::net::SocketAddr;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, UnixStream},
};

/// Where the proxy for programs that know only TCP listens: the network namespace is the sandbox's own.
pub const PROXY: &str = "127.0.0.1:3128";

/// Passes connections to [`PROXY`] on to the broker, for as long as the task lives.
pub async fn proxy() -> Result<rt::task::Task<()>> {
    let address: SocketAddr = PROXY.parse().map_err(|e| Error::internal("the proxy's address").because(e))?;
    let listener = TcpListener::bind(address).await.map_err(|e| Error::io("listen for the sandbox", &e))?;
    let connections = rt::task::Group::new();
    Ok(rt::task::spawn("sandbox proxy", async move {
        while let Ok((mut here, _)) = listener.accept().await {
            connections.spawn("sandbox proxy connection", async move {
                if let Ok(mut broker) = UnixStream::connect(BROKER).await {
                    let _ = tokio::io::copy_bidirectional(&mut here, &mut broker).await;
                }
            });
        }
    }))
}

/// A connection to `host:port` through the broker.
///
/// # Errors
/// [`Code::Forbidden`] where the broker refuses, with its words.
pub async fn connect(host: &str, port: u16) -> Result<UnixStream> {
    let target = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    let answer = ask(&format!("CONNECT {target}"), &target).await?;
    if answer.status == 200 {
        return Ok(answer.stream.into_inner());
    }
    Err(answer.refusal(format!("no connection to {target}")).await)
}

/// A credential that the directory was granted, by the broker.
///
/// # Errors
/// [`Code::Forbidden`] where the broker refuses, with its words.
pub async fn credential(name: &Name) -> Result<Secret> {
    let answer = ask(&format!("GET /credentials/{name}"), "broker").await?;
    if answer.status != 200 {
        return Err(answer.refusal(format!("no credential '{name}'")).await);
    }
    Ok(Secret::new(answer.text().await?))
}

/// What the broker answered, up to its body.
struct Answer {
    status: u16,
    length: u64,
    stream: BufReader<UnixStream>,
}

async fn ask(request: &str, host: &str) -> Result<Answer> {
    let stream = UnixStream::connect(BROKER).await.map_err(|e| broken(&e))?;
    // One byte at a time: what follows the head of a connection belongs to the other end.
    let mut stream = BufReader::with_capacity(1, stream);
    let request = format!("{request} HTTP/1.1\r\nHost: {host}\r\n\r\n");
    stream.get_mut().write_all(request.as_bytes()).await.map_err(|e| broken(&e))?;
    let (status, length) = head(&mut stream).await.map_err(|e| broken(&e))?;
    Ok(Answer { status, length, stream })
}

fn broken(error: &std::io::Error) -> Error {
    Error::io("speak with the broker", error)
}

impl Answer {
    async fn text(self) -> Result<String> {
        let mut text = String::new();
        self.stream.take(self.length).read_to_string(&mut text).await.map_err(|e| broken(&e))?;
        Ok(text)
    }

    async fn refusal(self, what: String) -> Error {
        let code = if self.status == 403 { Code::Forbidden } else { Code::Unavailable };
        let words = self.text().await.unwrap_or_default();
        Error::new(code, what).because(words.trim())
    }
}

async fn head(stream: &mut BufReader<UnixStream>) -> std::io::Result<(u16, u64)> {
    let (mut status, mut length) = (0, 0);
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 || line.trim().is_empty() {
            return Ok((status, length));
        }
        if let Some(rest) = line.strip_prefix("HTTP/1.1 ") {
            status = rest.split(' ').next().and_then(|s| s.parse().ok()).unwrap_or(0);
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().unwrap_or(0);
        }
    }
}
