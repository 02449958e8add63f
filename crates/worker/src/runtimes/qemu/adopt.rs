//! What became of a machine while no agent was there.

use crate::{
    runtimes::{Exit, ExitCause},
    shim::{Client, Dir, Pids, RECORD_VERSION, Record, Request},
};
use base::{Error, Result};
use rt::{clock, host, process};
use std::time::Duration;

/// How long a start that an agent left behind may take to become visible.
const PATIENCE: Duration = Duration::from_secs(10);

/// What was found.
pub(super) enum Found {
    /// It has ended so.
    Ended(Exit),
    /// It runs.
    Running {
        /// Its processes.
        pids: Pids,
        /// Whether its shim lives.
        shim: bool,
    },
}

/// Looks at the directory of a machine. `None`: nothing ever ran there.
pub(super) async fn find(dir: &Dir) -> Result<Option<(Record, Found)>> {
    let Some(record) = dir.record()? else {
        // The agent died before it wrote the record, and so before any boot. The next start takes what is there.
        return Ok(None);
    };
    let found = clock::timeout(PATIENCE, "finding the hypervisor", async {
        loop {
            if let Some(found) = look(dir, &record).await? {
                return Ok(found);
            }
            clock::sleep(Duration::from_millis(50)).await;
        }
    });
    let found = found.await.unwrap_or_else(|_| {
        Err(Error::internal(format!(
            "something holds the lock of {}, but no hypervisor is found",
            dir.path().display()
        ))
        .hint("find it with: fuser -v .../lock"))
    })?;
    Ok(Some((record, found)))
}

async fn look(dir: &Dir, record: &Record) -> Result<Option<Found>> {
    // The lock is held by the shim, from before it starts, and by the hypervisor. Free: there is neither.
    if dir.lock()?.is_some() {
        return ended(dir, record).map(Some);
    }
    if let Ok(mut shim) = Client::connect(&dir.file(Dir::SHIM_SOCKET)).await
        && let Ok(status) = shim.ask(&Request::Status).await
    {
        let start_ticks = process::start_ticks(status.pid);
        let pids = pids(record, status.shim_pid, status.pid, start_ticks, status.started_at);
        return Ok(status.exit.is_none().then_some(Found::Running { pids, shim: true }));
    }
    if let Some(pids) = dir.pids(record.run)?
        && process::running(pids.pid, pids.start_ticks)
    {
        return Ok(Some(Found::Running { pids, shim: false }));
    }
    Ok(orphan(dir, record).await)
}

/// A hypervisor whose shim died before it wrote the process ids: its sockets tell its id.
async fn orphan(dir: &Dir, record: &Record) -> Option<Found> {
    for socket in [Dir::QMP_SOCKET, Dir::SERIAL_SOCKET] {
        let Ok(stream) = rt::socket::connect(&dir.file(socket)).await else { continue };
        let peer = stream.peer_cred().ok()?.pid()?;
        let pid = u32::try_from(peer).ok()?;
        let pids = pids(record, 0, pid, process::start_ticks(pid), record.created);
        let _ = dir.save_pids(&pids);
        return Some(Found::Running { pids, shim: false });
    }
    None
}

fn pids(record: &Record, shim: u32, pid: u32, start_ticks: Option<u64>, started_at: jiff::Timestamp) -> Pids {
    Pids { version: RECORD_VERSION, run: record.run, shim, pid, start_ticks, started_at }
}

/// How a run ended that nobody watched to its end.
fn ended(dir: &Dir, record: &Record) -> Result<Found> {
    if let Some(seen) = dir.exit(record.run)? {
        return Ok(Found::Ended(seen.exit));
    }
    let (cause, reason) = if record.boot_id != host::boot_id() {
        (ExitCause::HostRestarted, "the host restarted")
    } else if dir.pids(record.run)?.is_none() {
        (ExitCause::NeverStarted, "the worker ended before it was started")
    } else {
        (ExitCause::Unknown, "the hypervisor and its shim ended together; why is not known")
    };
    Ok(Found::Ended(Exit { code: None, signal: None, cause, reason: reason.to_owned() }))
}
