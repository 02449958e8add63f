//! Closing without losing the answer.
//!
//! A request that is refused at its head is answered before its body was read. When a socket is closed with bytes unread,
//! the kernel resets the connection, and the answer on its way is lost with it (RFC 9112, section 9.6). So a closing
//! connection is first ended in our direction only, and what still arrives is thrown away for a moment.

use futures::{FutureExt, future::BoxFuture, ready};
use std::{
    io::Result,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// How long a peer has to read the answer and close.
const PATIENCE: Duration = Duration::from_secs(2);
/// Bytes thrown away at most; who sends on after the answer does not read it.
const MOST: usize = 1 << 20;

/// A stream whose end in our direction waits for the peer's.
pub(crate) struct Lingering<S> {
    stream: S,
    closing: Option<Closing>,
}

struct Closing {
    left: usize,
    patience: BoxFuture<'static, ()>,
}

impl<S> Lingering<S> {
    pub(crate) fn new(stream: S) -> Self {
        Lingering { stream, closing: None }
    }
}

impl<S: AsyncRead + Unpin> Lingering<S> {
    /// Ready when the peer has closed, or had its chance.
    fn poll_peer(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Self { stream, closing } = self;
        let closing = closing
            .get_or_insert_with(|| Closing { left: MOST, patience: rt::clock::sleep(PATIENCE).boxed() });
        let mut scratch = [0; 4096];
        while closing.left > 0 && closing.patience.poll_unpin(cx).is_pending() {
            let mut buffer = ReadBuf::new(&mut scratch);
            match ready!(Pin::new(&mut *stream).poll_read(cx, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => {
                    closing.left = closing.left.saturating_sub(buffer.filled().len());
                }
                _ => break,
            }
        }
        Poll::Ready(())
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Lingering<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[std::io::IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        if self.closing.is_none() {
            ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
        }
        self.poll_peer(cx).map(Ok)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Lingering<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::{TcpListener, TcpStream},
    };

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (listener.accept().await.unwrap().0, client)
    }

    #[tokio::test]
    async fn an_answer_outlives_a_body_that_nobody_read() {
        let (server, mut client) = pair().await;
        client.write_all(&vec![7; 100_000]).await.unwrap();
        let answering = async {
            let mut server = Lingering::new(server);
            server.write_all(b"no").await.unwrap();
            server.shutdown().await.unwrap();
        };
        let asking = async {
            client.write_all(&vec![7; 100_000]).await.unwrap();
            let mut answer = String::new();
            client.read_to_string(&mut answer).await.unwrap();
            drop(client);
            answer
        };
        assert_eq!(tokio::join!(answering, asking).1, "no");
    }

    #[tokio::test]
    async fn one_that_never_stops_or_never_closes_is_left() {
        let (server, mut client) = pair().await;
        let sending =
            rt::task::spawn(
                "sender",
                async move { while client.write_all(&vec![7; 65536]).await.is_ok() {} },
            );
        Lingering::new(server).shutdown().await.unwrap(); // by the bytes
        drop(sending);

        let (server, client) = pair().await;
        let begin = rt::clock::now();
        Lingering::new(server).shutdown().await.unwrap(); // by the time
        assert!(begin.elapsed() >= PATIENCE);
        drop(client);
    }
}
