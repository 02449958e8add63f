//! The side of a run.

use super::{
    private_dir, socket,
    wire::{Ask, Frames, How, gone, send, send_input},
};
use crate::{
    connector::{Channels, Connector, Event, Reader, Started, Writer, metadata, over},
    session::Session,
};
use base::{Code, Error, Result};
use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt};
use inventory::Node;
use parking_lot::Mutex;
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::{
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::OnceCell,
};

/// How long a new process may take to listen.
const START: Duration = Duration::from_secs(10);
/// Between two looks whether it does.
const PAUSE: Duration = Duration::from_millis(10);
/// The paths in metadata that are relative to where we are, which the process is not.
const PATHS: [&str; 2] = ["ssh_private_key_file", "ssh_config"];

/// Reaches every node that nothing else reaches over the connections of the user's process, which is started where there
/// is none.
pub struct Persisted {
    base: PathBuf,
    how: How,
    start: Box<dyn Fn() -> Result<tokio::process::Command> + Send + Sync>,
    run: OnceCell<Run>,
}

/// A run that the process knows, as long as the socket is open.
struct Run {
    number: u64,
    socket: PathBuf,
    _open: UnixStream,
}

impl Persisted {
    /// Nobody is called yet. The process belongs to `base`, a directory of the user's; `start` is how it is started, to
    /// end up in [`super::keep`].
    pub fn new(
        base: PathBuf,
        how: How,
        start: impl Fn() -> Result<tokio::process::Command> + Send + Sync + 'static,
    ) -> Self {
        Persisted { base, how, start: Box::new(start), run: OnceCell::new() }
    }

    /// A new socket for one node, where the process is connected to it.
    async fn reach(&self, node: &Node) -> Result<Open> {
        let run = self.run.get_or_try_init(|| self.begin()).await?;
        run.connect(node).await
    }

    async fn begin(&self) -> Result<Run> {
        let socket = socket(&private_dir(&self.base)?);
        let all = async {
            let mut started = None;
            loop {
                if let Some(run) = self.ask(&socket).await? {
                    return Ok(run);
                }
                match &mut started {
                    None => started = Some(spawn((self.start)()?)?),
                    Some(child) => match child.try_wait() {
                        Ok(Some(status)) if !status.success() => return Err(not_started(status)),
                        // Another one was there, which may be about to end.
                        Ok(Some(_)) => started = None,
                        _ => {}
                    },
                }
                rt::clock::sleep(PAUSE).await;
            }
        };
        rt::clock::timeout(START, "the process that keeps connections", all).await?
    }

    /// `None` where nobody listens, or not for long.
    async fn ask(&self, path: &Path) -> Result<Option<Run>> {
        let Ok(mut open) = rt::socket::connect(path).await else { return Ok(None) };
        if open.peer_cred().map_or(true, |peer| peer.uid() != rt::process::user()) {
            let words = format!("the process at {} is another user's", path.display());
            return Err(Error::new(Code::Forbidden, words));
        }
        if send(&mut open, &Ask::Begin(Box::new(self.how.clone()))).await.is_err() {
            return Ok(None);
        }
        match Frames::new(&mut open).answer().await {
            Ok(number) => Ok(Some(Run { number, socket: path.to_owned(), _open: open })),
            Err(e) if e.message == gone().message => Ok(None),
            Err(e) => Err(e),
        }
    }
}

impl Run {
    async fn connect(&self, node: &Node) -> Result<Open> {
        let (from, mut to) =
            rt::socket::connect(&self.socket).await.map_err(|e| gone().because(e))?.into_split();
        send(&mut to, &Ask::Connect(self.number, Box::new(here(node)))).await?;
        let mut frames = Frames::new(from);
        frames.answer::<()>().await?;
        Ok(Open { frames, to })
    }
}

/// A node whose paths mean the same from everywhere.
fn here(node: &Node) -> Node {
    let mut node = node.clone();
    for name in PATHS {
        let path = node.text(name).filter(|path| !path.starts_with('~')).map(std::path::absolute);
        if let Some(Ok(path)) = path {
            node.metadata.insert(name.to_owned(), path.to_string_lossy().into());
        }
    }
    node
}

fn spawn(mut program: tokio::process::Command) -> Result<tokio::process::Child> {
    let name = program.as_std().get_program().to_string_lossy().into_owned();
    program.spawn().map_err(|e| rt::process::cannot_start(&name, &e))
}

fn not_started(status: std::process::ExitStatus) -> Error {
    Error::internal("the process that keeps connections does not start")
        .because(status)
        .hint("try without --persist")
}

/// A socket on which a line may be started.
struct Open {
    frames: Frames<OwnedReadHalf>,
    to: OwnedWriteHalf,
}

impl Connector for Arc<Persisted> {
    fn connect<'a>(&'a self, node: &'a Node) -> Option<BoxFuture<'a, Result<Session>>> {
        if !metadata::is_dialled(node) {
            return None;
        }
        let connecting = async {
            let first = Mutex::new(Some(self.reach(node).await?));
            Ok(over(Reached { persisted: Arc::clone(self), node: node.clone(), first }))
        };
        Some(connecting.boxed())
    }
}

/// A node that the process is connected to.
struct Reached {
    persisted: Arc<Persisted>,
    node: Node,
    /// The socket by which that is known, until the first line is started on it.
    first: Mutex<Option<Open>>,
}

impl Channels for Reached {
    fn start<'a>(&'a self, line: &'a str) -> BoxFuture<'a, Result<Started>> {
        async move {
            let first = self.first.lock().take();
            let Open { frames, mut to } = match first {
                Some(open) => open,
                None => self.persisted.reach(&self.node).await?,
            };
            send(&mut to, &Ask::Start(line.to_owned())).await?;
            Ok(Started { input: Box::new(to), output: Box::new(frames) })
        }
        .boxed()
    }
}

impl Writer for OwnedWriteHalf {
    fn write(&mut self, bytes: Bytes) -> BoxFuture<'_, Result<()>> {
        async move { send_input(self, &bytes).await }.boxed()
    }
}

impl Reader for Frames<OwnedReadHalf> {
    fn next(&mut self) -> BoxFuture<'_, Result<Event>> {
        async { Frames::next(self).await?.ok_or_else(gone)?.event() }.boxed()
    }
}
