//! One run of a machine: its processes and the connection that controls it.

use super::{forward::Forwards, qmp::Qmp};
use crate::{
    runtimes::{BoxedIo, Target},
    shim::{Client, Dir, Pids, Request},
};
use base::{Error, Result, Uid};
use rt::process;
use serde_json::json;
use std::{sync::Arc, time::Duration};
use tokio::net::TcpStream;

/// Commands are instant, but a translated guest on a busy host may hold QEMU's main lock for a while.
const COMMAND: Duration = Duration::from_secs(15);

/// One run of a machine.
pub(super) struct Run {
    pub(super) number: u64,
    pub(super) pids: Pids,
    uid: Uid,
    dir: Dir,
    qmp: tokio::sync::Mutex<Option<Arc<Qmp>>>,
    forwards: Forwards,
}

impl Run {
    pub(super) fn new(uid: Uid, dir: Dir, pids: Pids) -> Self {
        Run {
            number: pids.run,
            pids,
            uid,
            dir,
            qmp: tokio::sync::Mutex::default(),
            forwards: Forwards::default(),
        }
    }

    /// The connection to QEMU, made when first needed and again when it was lost. There is one for all, because QEMU
    /// serves one client at a time.
    pub(super) async fn qmp(&self) -> Result<Arc<Qmp>> {
        let mut qmp = self.qmp.lock().await;
        match &*qmp {
            Some(open) if !open.is_closed() => Ok(open.clone()),
            _ => {
                *qmp = None; // the old connection must be gone before QEMU takes another
                let fresh = Arc::new(Qmp::connect(&self.dir.file(Dir::QMP_SOCKET), COMMAND).await?);
                Ok(qmp.insert(fresh).clone())
            }
        }
    }

    /// Presses the power button of the guest.
    pub(super) async fn power_button(&self) -> Result<()> {
        self.qmp().await?.call("system_powerdown", json!({})).await.map(drop)
    }

    /// Tells the shim something. Without a shim there is nobody to tell.
    pub(super) async fn tell_shim(&self, request: &Request) -> Result<()> {
        let mut shim = Client::connect(&self.dir.file(Dir::SHIM_SOCKET)).await?;
        shim.ask(request).await.map(drop)
    }

    /// Ends the hypervisor at once.
    pub(super) async fn kill(&self, reason: String) -> Result<()> {
        if self.tell_shim(&Request::Kill { reason }).await.is_ok() {
            return Ok(());
        }
        let Pids { pid, start_ticks, .. } = self.pids;
        if !process::running(pid, start_ticks) {
            return Ok(()); // it is gone, and another process may have its id
        }
        process::signal(pid, process::Signal::KILL)
            .map_err(|e| Error::io(format_args!("end the hypervisor (process {pid})"), &e))
    }

    pub(super) async fn connect(&self, target: Target) -> Result<BoxedIo> {
        match target {
            Target::Port(port) => {
                let address = self.forwards.address(&*self.qmp().await?, self.uid, port).await?;
                let stream = TcpStream::connect(address).await.map_err(|e| {
                    Error::io(format_args!("reach port {port} of the guest at {address}"), &e)
                })?;
                let _ = stream.set_nodelay(true);
                Ok(Box::pin(stream))
            }
            Target::Vnc => self.socket(Dir::VNC_SOCKET).await,
            Target::Console => match Client::connect(&self.dir.file(Dir::SHIM_SOCKET)).await {
                Ok(shim) => Ok(Box::pin(shim.console().await?)),
                // Without its shim the guest's side takes one client, and nothing is logged.
                Err(_) => self.socket(Dir::SERIAL_SOCKET).await,
            },
        }
    }

    async fn socket(&self, name: &str) -> Result<BoxedIo> {
        let path = self.dir.file(name);
        let stream = rt::socket::connect(&path)
            .await
            .map_err(|e| Error::io(format_args!("connect to {}", path.display()), &e))?;
        Ok(Box::pin(stream))
    }
}
