//! The agent's side of the shim's socket.

use super::protocol::{Request, Status};
use base::{Error, Result};
use std::{path::Path, time::Duration};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::UnixStream,
};

/// A shim answers at once; this is for one that hangs.
const LIMIT: Duration = Duration::from_secs(10);

/// A connection to a shim.
#[derive(Debug)]
pub struct Client(BufReader<UnixStream>);

impl Client {
    /// Connects to the socket of a shim.
    ///
    /// # Errors
    /// [`base::Code::Unavailable`] or [`base::Code::NotFound`] where none listens.
    pub async fn connect(socket: &Path) -> Result<Self> {
        let stream = rt::socket::connect(socket)
            .await
            .map_err(|e| Error::io(format_args!("reach the shim at {}", socket.display()), &e))?;
        Ok(Client(BufReader::new(stream)))
    }

    /// Asks, and reads the answer.
    pub async fn ask(&mut self, request: &Request) -> Result<Status> {
        let mut line = serde_json::to_vec(request)
            .map_err(|e| Error::internal("cannot write a request to the shim").because(e))?;
        line.push(b'\n');
        let lost = |e| Error::io("write to the shim", &e);
        self.0.get_mut().write_all(&line).await.map_err(lost)?;
        rt::clock::timeout(LIMIT, "the answer of the shim", self.next()).await?
    }

    /// Reads a further answer: after [`Request::Wait`], the end.
    pub async fn next(&mut self) -> Result<Status> {
        let mut line = String::new();
        let n = self.0.read_line(&mut line).await.map_err(|e| Error::io("read from the shim", &e))?;
        if n == 0 {
            return Err(Error::unavailable("the shim closed its socket"));
        }
        serde_json::from_str(&line).map_err(|e| Error::internal("the shim does not make sense").because(e))
    }

    /// Turns the connection into the serial console.
    pub async fn console(mut self) -> Result<BufReader<UnixStream>> {
        self.ask(&Request::Console).await?;
        Ok(self.0)
    }
}
