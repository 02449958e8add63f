//! Logs of a VM, by offset.
//!
//! With `header=true` the answer begins with two numbers of 64 bits, big endian: the offset of its first byte, which is
//! later than asked where the oldest part was dropped, and the end of the log at that moment. Then come the bytes.

use super::{Host, script, vm::Vm};
use crate::{runtimes::LogChunk, shim::BoundedLog};
use base::{Error, Result};
use bytes::Bytes;
use link::{TunnelWriter, worker_side::Offer};
use serde::Deserialize;
use std::{sync::Arc, time::Duration};

/// Bytes read at once.
const CHUNK: usize = 64 << 10;
/// How often a log that is followed is looked at.
const LOOK: Duration = Duration::from_millis(200);

/// Which log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Log {
    /// What the guest wrote to its serial console.
    Console,
    /// What the startup script said.
    Startup,
}

impl Log {
    pub fn parse(text: &str) -> Result<Self> {
        match text {
            "console" => Ok(Log::Console),
            "startup" => Ok(Log::Startup),
            _ => Err(Error::not_found(format!("a VM has no log '{text}'")).hint("use console or startup")),
        }
    }
}

/// Which part of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Query {
    /// The first byte wanted; absent: the oldest one kept.
    pub offset: Option<u64>,
    /// Most bytes.
    pub limit: Option<u64>,
    /// Whether the answer goes on with what is written later.
    pub follow: bool,
    /// Whether the answer begins with its offsets.
    pub header: bool,
}

/// Sends the wanted part, and goes on as long as it is followed and the VM is there.
pub async fn serve(host: &Arc<Host>, vm: &Arc<Vm>, log: Log, query: &Query, offer: Offer) -> Result<()> {
    let mut at = query.offset.unwrap_or(0);
    let mut left = query.limit.unwrap_or(u64::MAX);
    let first = read(host, vm, log, at, left).await?;
    // The reading half stays: its end is how we learn that nobody follows any more.
    let (mut reader, mut writer) = offer.accept()?.into_split();
    if query.header {
        send(&mut writer, [first.offset.to_be_bytes(), first.end.to_be_bytes()].concat().into()).await?;
    }
    let sending = async {
        let mut chunk = first;
        loop {
            at = chunk.offset + chunk.bytes.len() as u64;
            left = left.saturating_sub(chunk.bytes.len() as u64);
            let caught_up = chunk.bytes.is_empty();
            send(&mut writer, chunk.bytes.into()).await?;
            if left == 0 || (caught_up && !query.follow) || host.vm(vm.uid).is_err() {
                return writer.finish().map_err(|e| Error::io("end a log", &e));
            }
            if caught_up {
                rt::clock::sleep(LOOK).await;
            }
            chunk = read(host, vm, log, at, left).await?;
        }
    };
    // A half that is closed still listens; one that is reset does not.
    let leaving = async {
        while reader.receive().await.is_ok_and(|bytes| bytes.is_some()) {}
        if reader.receive().await.is_ok() {
            std::future::pending::<()>().await;
        }
    };
    tokio::pin!(sending);
    tokio::select! {
        sent = &mut sending => sent,
        () = leaving, if query.follow => Ok(()),
    }
}

async fn send(writer: &mut TunnelWriter, bytes: Bytes) -> Result<()> {
    writer.send(bytes).await.map_err(|e| Error::io("send a log", &e))
}

async fn read(host: &Arc<Host>, vm: &Arc<Vm>, log: Log, from: u64, left: u64) -> Result<LogChunk> {
    let limit = usize::try_from(left).unwrap_or(CHUNK).min(CHUNK);
    match log {
        Log::Console => vm.need_runtime(host)?.console_log(vm.uid, from, limit).await,
        Log::Startup => {
            let Some(dir) = host.log_dir(vm.uid)? else { return Ok(LogChunk::default()) };
            let read = rt::task::blocking(move || BoundedLog::read(&dir, script::LOG, from, limit)).await?;
            read.map_err(|e| Error::io("read the log of the startup script", &e))
        }
    }
}
