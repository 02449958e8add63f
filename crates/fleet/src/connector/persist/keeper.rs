//! The process that keeps connections.

use super::{
    private_dir, socket,
    wire::{Ask, Frame, Frames, How, gone, send, send_output},
};
use crate::{
    connector::{Channels, Event, Reader, Ssh, Started},
    session::Ended,
};
use base::{Code, Error, Result};
use parking_lot::Mutex;
use rt::clock;
use std::{
    collections::HashMap,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    net::{
        UnixListener, UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
};

/// After a socket could not be had, such as for want of descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// Keeps connections for the runs of this user, until nobody wants any for so long. Another process that does so already is
/// no error.
///
/// # Errors
/// Where the directory is not private, or the socket cannot be made.
pub async fn keep(base: &Path, idle: Duration) -> Result<()> {
    let dir = private_dir(base)?;
    let lock = match rt::files::DirLock::take(&dir) {
        Ok(lock) => lock,
        Err(e) if e.code == Code::Conflict => return Ok(()),
        Err(e) => return Err(e),
    };
    let path = socket(&dir);
    let doing = |e: std::io::Error| Error::io(format_args!("listen on {}", path.display()), &e);
    // Of one that was killed: the lock says that nobody listens there.
    match std::fs::remove_file(&path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(doing(e)),
        _ => {}
    }
    let listener = UnixListener::bind(&path).map_err(doing)?;
    let keeper = Arc::new(Keeper::default());
    let sockets = rt::task::Group::new();
    let mut open = keeper.open.subscribe();
    loop {
        let nobody = async {
            let _ = open.wait_for(|open| *open == 0).await;
            clock::sleep(idle).await;
        };
        tokio::select! {
            biased; // whoever is there comes before the end
            accepted = listener.accept() => {
                match accepted {
                    Ok((stream, _)) => {
                        let guest = Guest::new(&keeper);
                        sockets.spawn("socket", async move { guest.serve(stream).await });
                    }
                    Err(_) => clock::sleep(PAUSE).await,
                }
            }
            () = nobody => break,
        }
    }
    let _ = std::fs::remove_file(&path);
    drop(lock);
    keeper.pool.close().await;
    Ok(())
}

/// All connections, and how the runs that are there reach nodes.
#[derive(Default)]
struct Keeper {
    pool: ssh::Pool,
    runs: Mutex<HashMap<u64, Arc<Ssh>>>,
    last: AtomicU64,
    /// Open sockets.
    open: watch::Sender<usize>,
}

/// One socket.
struct Guest(Arc<Keeper>);

impl Guest {
    fn new(keeper: &Arc<Keeper>) -> Self {
        keeper.open.send_modify(|open| *open += 1);
        Guest(Arc::clone(keeper))
    }

    /// An error here is that the other side has gone, and the end of the socket says so to it.
    async fn serve(&self, stream: UnixStream) {
        if stream.peer_cred().is_ok_and(|peer| peer.uid() == rt::process::user()) {
            let (from, to) = stream.into_split();
            let _ = self.answer(Frames::new(from), to).await;
        }
    }

    async fn answer(&self, mut from: Frames<OwnedReadHalf>, mut to: OwnedWriteHalf) -> Result<()> {
        let Some(frame) = from.next().await? else { return Ok(()) };
        match frame.message()? {
            Ask::Begin(how) => self.begin(*how, from, to).await,
            Ask::Connect(run, node) => {
                let ssh = self.0.runs.lock().get(&run).cloned().ok_or_else(gone)?;
                match ssh.open(&node).await {
                    Ok(channels) => {
                        send(&mut to, &Ok::<_, Error>(())).await?;
                        lines(&channels, from, to).await
                    }
                    Err(e) => send(&mut to, &Err::<(), _>(e)).await,
                }
            }
            Ask::Start(_) => Err(gone()),
        }
    }

    /// Knows a run for as long as its first socket is open.
    async fn begin(&self, how: How, mut from: Frames<OwnedReadHalf>, mut to: OwnedWriteHalf) -> Result<()> {
        let (me, options, login) = how.parts();
        let ssh = Ssh::new(me, options, login).keeping(self.0.pool.clone());
        let number = self.0.last.fetch_add(1, Ordering::Relaxed);
        self.0.runs.lock().insert(number, Arc::new(ssh));
        let told = send(&mut to, &Ok::<_, Error>(number)).await;
        let _ = from.next().await;
        self.0.runs.lock().remove(&number);
        told
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.0.open.send_modify(|open| *open -= 1);
    }
}

/// Starts a line, once one comes, and passes its streams on.
async fn lines(
    channels: &impl Channels,
    mut from: Frames<OwnedReadHalf>,
    mut to: OwnedWriteHalf,
) -> Result<()> {
    let Some(frame) = from.next().await? else { return Ok(()) };
    let Ask::Start(line) = frame.message()? else { return Err(gone()) };
    let Started { mut input, output } = match channels.start(&line).await {
        Ok(started) => started,
        Err(e) => return send(&mut to, &Err::<Ended, _>(e)).await,
    };
    let feeding = async {
        while let Ok(Some(Frame::Stdin(bytes))) = from.next().await {
            if input.write(bytes).await.is_err() {
                break;
            }
        }
        // By its end the node knows that what runs there is to be ended.
        drop(input);
        std::future::pending::<()>().await;
    };
    tokio::select! {
        passed = pass(output, &mut to) => passed,
        () = feeding => Ok(()),
    }
}

async fn pass(mut output: Box<dyn Reader>, to: &mut OwnedWriteHalf) -> Result<()> {
    loop {
        match output.next().await {
            Ok(Event::Chunk(chunk)) => send_output(to, &chunk).await?,
            Ok(Event::Ended(ended)) => return send(to, &Ok::<_, Error>(ended)).await,
            Err(e) => return send(to, &Err::<Ended, _>(e)).await,
        }
    }
}
