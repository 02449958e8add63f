//! The shim's life: start the hypervisor, serve the agent, write down the end.

use super::{BoundedLog, Dir, ExitRecord, Pids, Record, Request, Status, console::Console, lock, say};
use crate::runtimes::{Exit, ExitCause};
use base::{Error, Result};
use rt::{clock, task};
use std::{
    os::unix::process::ExitStatusExt,
    path::Path,
    process::{ExitStatus, Stdio},
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream},
    process::{Child, ChildStderr},
    sync::{mpsc, watch},
};

/// How long the hypervisor may take to open the serial console before the shim answers without.
const CONSOLE: Duration = Duration::from_secs(20);
/// How long what is left to read or to say may take after the end.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// One part of the log of the hypervisor's own messages; two are kept.
const QEMU_LOG_PART: u64 = 64 << 10;
/// How much of those messages goes into the reason of an end.
const TAIL_LINES: usize = 4;

/// What the connections share.
struct Shared {
    status: watch::Sender<Status>,
    /// Why the end was asked for.
    expected: watch::Sender<Option<String>>,
    kill: mpsc::Sender<()>,
    console: Console,
}

/// Runs one hypervisor to its end, in the current directory.
pub(super) async fn serve() -> Result<()> {
    let dir = Dir::new(".");
    let record = dir.record()?.ok_or_else(|| Error::not_found("there is no record of a machine here"))?;
    lock::inherited(&dir.file(Dir::LOCK))?;
    for name in Dir::SOCKETS {
        let _ = std::fs::remove_file(name);
    }
    let listener = UnixListener::bind(Dir::SHIM_SOCKET)
        .map_err(|e| Error::io(format_args!("listen on {}", Dir::SHIM_SOCKET), &e))?;

    let mut child = spawn(&record)?;
    let pids = pids(&record, &child);
    let stderr = child.stderr.take();
    let messages = task::spawn("messages", async move { collect(stderr).await });
    dir.save_pids(&pids)?;

    let (console, typed) = Console::new();
    let (kill, mut kills) = mpsc::channel(1);
    let shared = Arc::new(Shared {
        status: watch::Sender::new(status(&record, &pids)),
        expected: watch::Sender::new(None),
        kill,
        console,
    });
    let group = task::Group::new();
    group.spawn("listen", accept(listener, shared.clone()));

    let pump = {
        let shared = shared.clone();
        task::spawn("serial", async move {
            let mut status = shared.status.subscribe();
            let serial = tokio::select! {
                serial = clock::timeout(CONSOLE, "the serial console", connect(Dir::SERIAL_SOCKET)) => serial,
                () = over(&mut status) => return,
            };
            say(&*shared.status.borrow());
            if let Ok(serial) = serial {
                shared.console.pump(serial, typed).await;
            }
        })
    };
    let ended = loop {
        tokio::select! {
            ended = child.wait() => break ended.map_err(|e| Error::io("wait for the hypervisor", &e))?,
            Some(()) = kills.recv() => { let _ = child.start_kill(); }
        }
    };
    let tail = clock::timeout(LAST_WORDS, "reading", messages).await.and_then(|r| r).unwrap_or_default();
    let expected = shared.expected.borrow().clone();
    let exit = explain(ended, expected, &tail);
    let record =
        ExitRecord { version: super::RECORD_VERSION, run: record.run, at: clock::wall(), exit: exit.clone() };
    let saved = dir.save_exit(&record);
    shared.status.send_modify(|s| s.exit = Some(exit));
    say(&*shared.status.borrow()); // heard only if the end came before the console
    let _ = clock::timeout(LAST_WORDS, "the serial log", pump).await;
    let _ = clock::timeout(LAST_WORDS, "the last answers", group.join()).await;
    let _ = std::fs::remove_file(Dir::SHIM_SOCKET);
    saved
}

/// Starts the hypervisor in a process group of its own. It does not die with the shim, and shares the lock.
fn spawn(record: &Record) -> Result<Child> {
    let mut command = rt::process::detached(&record.program);
    command.args(&record.args).stdin(Stdio::inherit()).stderr(Stdio::piped()).process_group(0);
    command.spawn().map_err(|e| rt::process::cannot_start(&record.program.to_string_lossy(), &e))
}

fn pids(record: &Record, child: &Child) -> Pids {
    let pid = child.id().unwrap_or_default();
    Pids {
        version: super::RECORD_VERSION,
        run: record.run,
        shim: std::process::id(),
        pid,
        start_ticks: rt::process::start_ticks(pid),
        started_at: clock::wall(),
    }
}

fn status(record: &Record, pids: &Pids) -> Status {
    Status {
        version: 1,
        uid: record.uid,
        epoch: record.epoch,
        run: record.run,
        shim_pid: pids.shim,
        pid: pids.pid,
        started_at: pids.started_at,
        lease_until_ms: None,
        stopping: false,
        exit: None,
    }
}

/// Connects to a socket that the hypervisor is about to make.
async fn connect(socket: &str) -> UnixStream {
    loop {
        if let Ok(stream) = UnixStream::connect(socket).await {
            return stream;
        }
        clock::sleep(Duration::from_millis(2)).await;
    }
}

/// Logs what the hypervisor says, and keeps its last lines.
async fn collect(stderr: Option<ChildStderr>) -> Vec<String> {
    let mut tail = Vec::new();
    let Some(stderr) = stderr else { return tail };
    let mut log = BoundedLog::open(Path::new("."), Dir::QEMU_LOG, QEMU_LOG_PART).ok();
    let mut lines = BufReader::new(stderr).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        if let Some(log) = &mut log {
            let _ = log.append(format!("{line}\n").as_bytes());
        }
        if line.contains(": info: ") {
            continue; // no reason of any end
        }
        if tail.len() == TAIL_LINES {
            tail.remove(0);
        }
        tail.push(line);
    }
    tail
}

/// Says why it ended. QEMU returns 0 both when the guest powers off and when a signal asks it to end; its last words
/// tell which.
fn explain(status: ExitStatus, expected: Option<String>, tail: &[String]) -> Exit {
    let last = tail.last().map_or("", String::as_str);
    let (cause, reason) = match (expected, status.code(), status.signal()) {
        (Some(reason), ..) => (ExitCause::Requested, reason),
        (None, Some(0), _) if last.contains("terminating on signal") => {
            (ExitCause::Failed, format!("the hypervisor was told to end: {last}"))
        }
        (None, Some(0), _) => (ExitCause::Guest, "the guest powered itself off".to_owned()),
        (None, Some(code), _) => {
            (ExitCause::Failed, format!("the hypervisor failed with code {code}: {}", tail.join("; ")))
        }
        (None, None, Some(9)) => (
            ExitCause::Failed,
            "the hypervisor was killed (signal 9), by somebody or because the host has no memory left"
                .to_owned(),
        ),
        (None, None, signal) => {
            (ExitCause::Failed, format!("the hypervisor crashed (signal {})", signal.unwrap_or_default()))
        }
    };
    Exit { code: status.code(), signal: status.signal(), cause, reason }
}

async fn accept(listener: UnixListener, shared: Arc<Shared>) {
    let clients = task::Group::new();
    let mut ended = shared.status.subscribe();
    loop {
        tokio::select! {
            Ok((stream, _)) = listener.accept() => {
                let shared = shared.clone();
                clients.spawn("client", async move {
                    let _ = client(stream, &shared).await;
                });
            }
            () = over(&mut ended) => break,
        }
    }
    clients.join().await;
}

/// Answers one client until it leaves or the hypervisor has ended.
async fn client(stream: UnixStream, shared: &Shared) -> std::io::Result<()> {
    let (from, mut to) = stream.into_split();
    let mut lines = BufReader::new(from).lines();
    let mut ended = shared.status.subscribe();
    let mut waits = false;
    loop {
        let line = tokio::select! {
            line = lines.next_line() => line?,
            () = over(&mut ended) => {
                if waits {
                    answer(&mut to, shared).await?;
                }
                return Ok(());
            }
        };
        let Some(line) = line else { return Ok(()) };
        let Ok(request) = serde_json::from_str(&line) else { return Ok(()) };
        obey(&request, shared);
        answer(&mut to, shared).await?;
        match request {
            Request::Wait => waits = true,
            Request::Console => {
                let attached = shared.console.attach(lines.into_inner(), to);
                return tokio::select! {
                    r = attached => r,
                    () = over(&mut ended) => Ok(()),
                };
            }
            _ => {}
        }
    }
}

/// Resolves when the hypervisor has ended.
async fn over(status: &mut watch::Receiver<Status>) {
    let _ = status.wait_for(|s| s.exit.is_some()).await;
}

fn obey(request: &Request, shared: &Shared) {
    match request {
        Request::Expect { reason } => expect(shared, reason),
        Request::Kill { reason } => {
            expect(shared, reason);
            let _ = shared.kill.try_send(()); // full: one is on its way
        }
        Request::Lease { until_ms } => shared.status.send_modify(|s| s.lease_until_ms = *until_ms),
        Request::Status | Request::Wait | Request::Console => {}
    }
}

fn expect(shared: &Shared, reason: &str) {
    shared.expected.send_replace(Some(reason.to_owned()));
    shared.status.send_modify(|s| s.stopping = true);
}

async fn answer(to: &mut (impl AsyncWriteExt + Unpin), shared: &Shared) -> std::io::Result<()> {
    let mut line = serde_json::to_vec(&*shared.status.borrow())?;
    line.push(b'\n');
    to.write_all(&line).await
}
