//! An SSH agent that only signs: for code that may use keys but must not have them (draft-ietf-sshm-ssh-agent).

use crate::KeyPair;
use base::{Error, Result};
use futures::{StreamExt, stream};
use russh::keys::{
    PrivateKey,
    agent::{
        Constraint,
        client::AgentClient,
        server::{Agent, MessageType, serve as serve_agent},
    },
};
use std::{
    future::Future,
    io,
    path::Path,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf},
    net::{UnixListener, UnixStream},
    sync::mpsc,
};

/// Listens on a socket of this path and signs with these keys. The fingerprint of the key goes to `uses` for each
/// signature; where nobody takes it any more, nothing is signed. Ends with its handle.
///
/// # Errors
/// Where the socket cannot be made.
pub fn serve(socket: &Path, keys: Vec<KeyPair>, uses: mpsc::Sender<String>) -> Result<rt::task::Task<()>> {
    let listener = UnixListener::bind(socket)
        .map_err(|e| Error::io(format_args!("listen on {}", socket.display()), &e))?;
    let agent = SignsOnly { loaded: Arc::default(), uses };
    Ok(rt::task::spawn("ssh agent", async move {
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        let (loaded, begin) = (Arc::clone(&agent.loaded), tokio::sync::Notify::new());
        // Its keys come over a connection of our own; only when they are there does anybody else connect.
        let first = stream::iter([Ok(Either::Loading(theirs))]);
        let others = stream::once(begin.notified()).flat_map(|()| {
            stream::unfold(&listener, |listener| async move {
                Some((listener.accept().await.map(|(s, _)| Either::Peer(s)), listener))
            })
        });
        let loading = async {
            let mut client = AgentClient::connect(ours);
            for key in &keys {
                // To be confirmed each time: that is where uses are told.
                if let Err(e) = client.add_identity(&key.private(), &[Constraint::Confirm]).await {
                    tracing::error!(error = %e, "a key could not be given to the agent");
                }
            }
            loaded.store(true, Ordering::Release);
            begin.notify_one();
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = loading => {}
            _ = serve_agent(Box::pin(first.chain(others)), agent) => {}
        }
    }))
}

/// Takes keys until they are loaded, and signs from then on.
#[derive(Clone)]
struct SignsOnly {
    loaded: Arc<AtomicBool>,
    uses: mpsc::Sender<String>,
}

impl Agent for SignsOnly {
    fn confirm(self, key: Arc<PrivateKey>) -> Box<dyn Future<Output = (Self, bool)> + Unpin + Send> {
        Box::new(Box::pin(async move {
            let told = self.uses.send(crate::key::fingerprint(key.public_key())).await.is_ok();
            (self, told)
        }))
    }

    async fn confirm_request(&self, message: MessageType) -> bool {
        match message {
            MessageType::RequestKeys | MessageType::Sign => true,
            MessageType::AddKeys => !self.loaded.load(Ordering::Acquire),
            _ => false,
        }
    }
}

/// Whoever is connected.
enum Either {
    Loading(DuplexStream),
    Peer(UnixStream),
}

impl AsyncRead for Either {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Either::Loading(s) => Pin::new(s).poll_read(cx, buf),
            Either::Peer(s) => Pin::new(s).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Either {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Either::Loading(s) => Pin::new(s).poll_write(cx, buf),
            Either::Peer(s) => Pin::new(s).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Either::Loading(s) => Pin::new(s).poll_flush(cx),
            Either::Peer(s) => Pin::new(s).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Either::Loading(s) => Pin::new(s).poll_shutdown(cx),
            Either::Peer(s) => Pin::new(s).poll_shutdown(cx),
        }
    }
}
