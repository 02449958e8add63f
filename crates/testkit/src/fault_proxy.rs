//! A TCP relay that misbehaves on command: it cuts, stalls, delays or slows what passes through it.

use rt::task::{CancellationToken, Group};
use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{mpsc, watch},
};

/// The relay. Dropping it cuts everything and frees its port.
#[derive(Debug)]
pub struct FaultProxy {
    address: SocketAddr,
    faults: watch::Sender<Faults>,
    alive: Arc<Mutex<CancellationToken>>,
    _listener: rt::task::Task<()>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Faults {
    refuse: bool,
    stall: bool,
    delay: Duration,
    bytes_per_second: Option<u64>,
}

impl FaultProxy {
    /// Relays a free loopback port to `target`, at first without a fault.
    pub async fn start(target: SocketAddr) -> base::Result<Self> {
        let failed = |e: std::io::Error| base::Error::io("start a fault proxy", &e);
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let faults = watch::Sender::new(Faults::default());
        let alive = Arc::new(Mutex::new(CancellationToken::new()));
        let relays = relays(listener, target, faults.clone(), alive.clone());
        Ok(FaultProxy { address, faults, alive, _listener: rt::task::spawn("fault proxy", relays) })
    }

    /// Where to connect instead of to the target.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Cuts all connections that are up. New ones work.
    pub fn cut(&self) {
        let mut alive = self.alive.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        std::mem::replace(&mut *alive, CancellationToken::new()).cancel();
    }

    /// Closes new connections at once, or no longer.
    pub fn refuse(&self, refuse: bool) {
        self.faults.send_modify(|f| f.refuse = refuse);
    }

    /// Holds all bytes back without closing anything, or lets them go.
    pub fn stall(&self, stall: bool) {
        self.faults.send_modify(|f| f.stall = stall);
    }

    /// Each byte arrives this much later, in each direction; the rate stays.
    pub fn delay(&self, delay: Duration) {
        self.faults.send_modify(|f| f.delay = delay);
    }

    /// Limits each direction of each connection; 1 is as slow as it gets, `None` lifts the limit.
    pub fn bytes_per_second(&self, rate: Option<u64>) {
        self.faults.send_modify(|f| f.bytes_per_second = rate);
    }
}

async fn relays(
    listener: TcpListener,
    target: SocketAddr,
    faults: watch::Sender<Faults>,
    alive: Arc<Mutex<CancellationToken>>,
) {
    let connections = Group::new();
    while let Ok((near, _)) = listener.accept().await {
        if faults.borrow().refuse {
            continue;
        }
        let alive = alive.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        let faults = faults.subscribe();
        connections.spawn("fault proxy connection", async move {
            tokio::select! {
                () = alive.cancelled() => {}
                () = relay(near, target, faults) => {}
            }
        });
    }
}

async fn relay(near: TcpStream, target: SocketAddr, faults: watch::Receiver<Faults>) {
    let Ok(far) = TcpStream::connect(target).await else { return };
    let _ = (near.set_nodelay(true), far.set_nodelay(true));
    let ((near_read, near_write), (far_read, far_write)) = (near.into_split(), far.into_split());
    tokio::join!(pump(near_read, far_write, faults.clone()), pump(far_read, near_write, faults));
}

/// Moves one direction: what was read waits in a queue until its time has come.
async fn pump(read: OwnedReadHalf, write: OwnedWriteHalf, faults: watch::Receiver<Faults>) {
    let (send, receive) = mpsc::channel(1024);
    tokio::join!(take(read, send, faults.clone()), give(write, receive, faults));
}

type Chunk = (rt::clock::Instant, Vec<u8>);

async fn take(mut read: OwnedReadHalf, queue: mpsc::Sender<Chunk>, faults: watch::Receiver<Faults>) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(n @ 1..) = read.read(&mut buffer).await {
        let due = rt::clock::now() + faults.borrow().delay;
        if queue.send((due, buffer[..n].to_vec())).await.is_err() {
            return;
        }
    }
}

async fn give(
    mut write: OwnedWriteHalf,
    mut queue: mpsc::Receiver<Chunk>,
    mut faults: watch::Receiver<Faults>,
) {
    while let Some((due, bytes)) = queue.recv().await {
        let wait = due.saturating_duration_since(rt::clock::now());
        if !wait.is_zero() {
            rt::clock::sleep(wait).await;
        }
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let Ok(now) = faults.wait_for(|f| !f.stall).await.map(|f| *f) else { return };
            let rate = now.bytes_per_second.unwrap_or(u64::MAX);
            let (piece, later) = rest.split_at(rest.len().min(usize::try_from(rate).unwrap_or(usize::MAX)));
            if write.write_all(piece).await.is_err() {
                return;
            }
            rest = later;
            if now.bytes_per_second.is_some() {
                rt::clock::sleep(Duration::from_secs(1)).await;
            }
        }
    }
}
