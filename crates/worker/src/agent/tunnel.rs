//! Tunnels: what the controller may reach on this host.
//!
//! | Target | What it is |
//! |---|---|
//! | `vms/{uid}/ports/{port}` | a TCP port of the guest, as bytes |
//! | `vms/{uid}/vnc` | the screen, RFB, as bytes |
//! | `vms/{uid}/console` | the serial console, as bytes |
//! | `vms/{uid}/exec?{ExecRequest}` | a command, as frames ([`link::frame`]) |
//! | `vms/{uid}/assignment` | what was last said of the VM ([`api::assignment::Assignment`], JSON), for whoever adopts it |
//! | `vms/{uid}/logs/{console or startup}?{LogQuery}` | a log, see [`super::logs`] |

use super::{Host, exec, logs, vm::Vm};
use crate::runtimes::{BoxedIo, Target};
use base::{Code, Error, Result, Uid};
use bytes::BytesMut;
use link::{
    TunnelReader, TunnelStream, TunnelWriter,
    worker_side::{Offer, TunnelRequest},
};
use serde::de::DeserializeOwned;
use std::{io, sync::Arc};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// The most that is read at once from the guest's side.
const CHUNK: usize = 128 << 10;

/// Serves one tunnel to its end.
pub async fn serve(host: &Arc<Host>, request: TunnelRequest, offer: Offer) -> Result<()> {
    match Goal::parse(&request.target)? {
        Goal::Stream(uid, target) => {
            let vm = host.vm(uid)?;
            let stream = connect(host, &vm, target).await?;
            pump(stream, offer.accept()?).await.map_err(|e| Error::io("move bytes through a tunnel", &e))
        }
        Goal::Exec(uid, request) => {
            let vm = exec::known(host, uid, request.wait).await?;
            exec::serve(host, &vm, request, offer).await
        }
        Goal::Assignment(uid) => tell(host, uid, offer).await,
        Goal::Log(uid, log, query) => logs::serve(host, &host.vm(uid)?, log, &query, offer).await,
    }
}

/// What a target names.
#[derive(Debug, PartialEq, Eq)]
pub enum Goal {
    Stream(Uid, Target),
    Exec(Uid, api::stream::ExecRequest),
    Assignment(Uid),
    Log(Uid, logs::Log, logs::Query),
}

impl Goal {
    /// Reads a target.
    pub fn parse(target: &str) -> Result<Self> {
        let unknown = || {
            Error::not_found(format!("this worker does not know the target '{target}'"))
                .hint("upgrade the worker")
        };
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut path = path.split('/');
        let (Some("vms"), Some(uid), Some(what)) = (path.next(), path.next(), path.next()) else {
            return Err(unknown());
        };
        let uid: Uid = uid.parse()?;
        let rest: Vec<&str> = path.collect();
        Ok(match (what, &rest[..]) {
            ("ports", [port]) => Goal::Stream(uid, Target::Port(parse_port(port)?)),
            ("vnc", []) => Goal::Stream(uid, Target::Vnc),
            ("console", []) => Goal::Stream(uid, Target::Console),
            ("exec", []) => Goal::Exec(uid, parse_query(query)?),
            ("assignment", []) => Goal::Assignment(uid),
            ("logs", [log]) => Goal::Log(uid, logs::Log::parse(log)?, parse_query(query)?),
            _ => return Err(unknown()),
        })
    }
}

fn parse_port(text: &str) -> Result<u16> {
    let port = text.parse().ok().filter(|port| *port > 0);
    port.ok_or_else(|| Error::new(Code::Invalid, format!("'{text}' is not a port")).hint("use 1 to 65535"))
}

fn parse_query<T: DeserializeOwned>(query: &str) -> Result<T> {
    serde_urlencoded::from_str(query)
        .map_err(|e| Error::new(Code::Invalid, "the query of a tunnel is not understood").because(e))
}

async fn tell(host: &Arc<Host>, uid: Uid, offer: Offer) -> Result<()> {
    let desires = host.desires();
    let told = desires.told(uid).ok_or_else(|| {
        Error::not_found(format!("this worker was never told how the VM {uid} is to be"))
            .hint("it can still be removed: hostler worker unclaimed remove WORKER UID")
    })?;
    let text = serde_json::to_vec(told).map_err(|e| Error::internal("cannot write an answer").because(e))?;
    let (_reader, mut writer) = offer.accept()?.into_split();
    let sending = async {
        writer.send(text.into()).await?;
        writer.finish()
    };
    sending.await.map_err(|e| Error::io("answer through a tunnel", &e))
}

async fn connect(host: &Host, vm: &Vm, target: Target) -> Result<BoxedIo> {
    let runtime = vm.need_runtime(host)?;
    match runtime.connect(vm.uid, target).await {
        Err(e) if e.code == Code::Conflict && e.hint.is_none() => {
            Err(e.hint(format!("start it first: hostler vm start {}", vm.record().name)))
        }
        connected => connected,
    }
}

/// Moves bytes both ways until both directions have ended, each by itself: a half that is closed stays half closed.
async fn pump(guest: BoxedIo, tunnel: TunnelStream) -> io::Result<()> {
    let (guest_reader, guest_writer) = tokio::io::split(guest);
    let (tunnel_reader, tunnel_writer) = tunnel.into_split();
    tokio::try_join!(to_guest(tunnel_reader, guest_writer), from_guest(guest_reader, tunnel_writer))?;
    Ok(())
}

async fn to_guest(mut tunnel: TunnelReader, mut guest: tokio::io::WriteHalf<BoxedIo>) -> io::Result<()> {
    while let Some(bytes) = tunnel.receive().await? {
        guest.write_all(&bytes).await?;
        guest.flush().await?;
    }
    match guest.shutdown().await {
        Err(e) if e.kind() == io::ErrorKind::NotConnected => Ok(()), // the guest was faster
        ended => ended,
    }
}

async fn from_guest(mut guest: tokio::io::ReadHalf<BoxedIo>, mut tunnel: TunnelWriter) -> io::Result<()> {
    let mut buffer = BytesMut::new();
    loop {
        buffer.reserve(CHUNK);
        if guest.read_buf(&mut buffer).await? == 0 {
            return tunnel.finish();
        }
        tunnel.send(buffer.split().freeze()).await?;
    }
}

#[cfg(test)]
mod tests;
