//! From a machine's description to a running shim, and away again.

use super::{Settings, argv, disk, platform::Platform, run::Run, watch};
use crate::{
    runtimes::{Exit, Machine, seed},
    shim::{Client, Dir, DirInUse, Pids, RECORD_VERSION, Record, Request, Status},
};
use base::{Error, Result};
use rt::{clock, host, process, task};
use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};
use tokio::io::{AsyncBufReadExt, BufReader};

/// How long a shim may take to say that its hypervisor runs.
const HANDSHAKE: Duration = Duration::from_mins(1);
/// How long a shim whose hypervisor has ended may take to be gone.
const GOODBYE: Duration = Duration::from_secs(5);
/// How long a hypervisor that does not answer may take to say why.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// The start of the names of directories that are being deleted.
pub(super) const REMOVED: &str = ".removed-";
/// Where a shim says what it cannot say elsewhere.
const SHIM_LOG: &str = "shim.log";

/// Prepares the files of a start, writes its record, starts the shim, and waits until the hypervisor is at work.
pub(super) async fn boot(
    settings: &Settings,
    dir: &Dir,
    machine: &Machine,
    platform: &Platform,
    before: Option<&Record>,
) -> Result<Run> {
    rt::files::private_dir(dir.path())?;
    let lock = wait_for_lock(dir).await?;
    let kept = before.filter(|r| r.arch == machine.arch).map(|r| r.machine_type.as_str());
    let machine_type = platform.machine_type(kept)?;
    let args = argv::args(machine, platform, machine_type)?;
    let qemu_img = settings.program("qemu-img");
    let (disk, ()) = tokio::try_join!(
        disk::prepare(&qemu_img, dir, machine, before.map(|r| r.disk)),
        write_seed(dir, machine),
    )?;
    let record = Record {
        version: RECORD_VERSION,
        uid: machine.uid,
        epoch: machine.epoch,
        run: before.map_or(0, |r| r.run) + 1,
        name: machine.name.clone(),
        boot_id: host::boot_id(),
        created: clock::wall(),
        arch: machine.arch.clone(),
        acceleration: platform.acceleration.as_str().to_owned(),
        machine_type: machine_type.to_owned(),
        disk,
        program: platform.program.clone(),
        args,
    };
    let saved = dir.clone();
    task::blocking(move || saved.save_record(&record)).await??;
    rt::failpoint::pass("worker.vm.recorded");
    let run = async {
        let status = start_shim(settings, dir, lock).await?;
        let pids = Pids {
            version: RECORD_VERSION,
            run: status.run,
            shim: status.shim_pid,
            pid: status.pid,
            start_ticks: process::start_ticks(status.pid),
            started_at: status.started_at,
        };
        let run = Run::new(machine.uid, dir.clone(), pids);
        prove(dir, &run).await?;
        Ok(run)
    };
    let run = run.await;
    if run.is_err() {
        end_leftovers(dir).await;
    }
    run
}

/// A QEMU that answers has built the machine; one that cannot ends about now, with the reason.
async fn prove(dir: &Dir, run: &Run) -> Result<()> {
    let ended = watch::by_shim(dir, run.number);
    tokio::pin!(ended);
    let end = tokio::select! {
        qmp = run.qmp() => match qmp {
            Ok(_) => return Ok(()),
            Err(e) => clock::timeout(LAST_WORDS, "the end", &mut ended).await.map_err(|_| e)?,
        },
        end = &mut ended => end,
    };
    Err(ended_at_once(&end?))
}

fn ended_at_once(exit: &Exit) -> Error {
    Error::unavailable("the hypervisor ended at once").because(&exit.reason)
}

/// Written anew at each start: keys may have changed. Only its owner may read it.
async fn write_seed(dir: &Dir, machine: &Machine) -> Result<()> {
    let (path, machine) = (dir.file(Dir::SEED), machine.clone());
    task::blocking(move || {
        let bytes = seed::seed(&machine)?;
        let write = || -> io::Result<()> {
            OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&path)?
                .write_all(&bytes)
        };
        write().map_err(|e| Error::io(format_args!("write {}", path.display()), &e))
    })
    .await?
}

/// Starts the shim and reads the one line it says.
async fn start_shim(settings: &Settings, dir: &Dir, lock: DirInUse) -> Result<Status> {
    let (program, prefix) =
        settings.shim.split_first().ok_or_else(|| Error::internal("no program for shims is configured"))?;
    let log_path = dir.file(SHIM_LOG);
    let log = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&log_path)
        .map_err(|e| Error::io(format_args!("write {}", log_path.display()), &e))?;
    let mut command = process::detached(program);
    command.args(prefix).arg(dir.path()).stdin(lock.into_stdin()).stdout(Stdio::piped()).stderr(log);
    let mut child = command.spawn().map_err(|e| process::cannot_start(&program.to_string_lossy(), &e))?;
    drop(command); // and with it our hold of the lock
    let stdout = child.stdout.take().ok_or_else(|| Error::internal("the pipe to the shim is missing"))?;
    let mut line = String::new();
    let mut reader = BufReader::new(stdout);
    clock::timeout(HANDSHAKE, "the start of the hypervisor", reader.read_line(&mut line))
        .await?
        .map_err(|e| Error::io("read from the shim", &e))?;
    heard(&line, &log_path)
}

/// Understands the shim's line: a status, or an error.
fn heard(line: &str, log: &Path) -> Result<Status> {
    if let Ok(status) = serde_json::from_str::<Status>(line) {
        return match status.exit {
            None => Ok(status),
            Some(exit) => Err(ended_at_once(&exit)),
        };
    }
    Err(serde_json::from_str::<Error>(line).unwrap_or_else(|_| {
        let words = fs::read_to_string(log).unwrap_or_default();
        Error::internal("the shim ended without a word").because(words.trim())
    }))
}

/// After a start that failed half-way: nothing may run that nobody watches.
async fn end_leftovers(dir: &Dir) {
    if let Ok(mut shim) = Client::connect(&dir.file(Dir::SHIM_SOCKET)).await {
        let _ = shim.ask(&Request::Kill { reason: "its start did not finish".to_owned() }).await;
    }
}

/// Deletes the directory of a machine that is down. A crash in the middle is finished by the next adoption.
pub(super) async fn remove(dir: &Dir) -> Result<()> {
    let path = dir.path();
    if !path.exists() {
        return Ok(());
    }
    let _lock = wait_for_lock(dir).await?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let away = path.with_file_name(format!("{REMOVED}{name}"));
    fs::rename(path, &away).map_err(|e| Error::io(format_args!("remove {}", path.display()), &e))?;
    delete(away).await
}

/// Takes the lock. Whatever ran here said its end a moment before it was gone itself.
async fn wait_for_lock(dir: &Dir) -> Result<DirInUse> {
    let waited = clock::timeout(GOODBYE, "the end of the shim", async {
        loop {
            if let Some(lock) = dir.lock()? {
                return Ok(lock);
            }
            clock::sleep(Duration::from_millis(10)).await;
        }
    });
    waited.await.unwrap_or_else(|_| {
        Err(Error::conflict(format!("something still runs in {}", dir.path().display()))
            .hint("try again in a moment"))
    })
}

/// Deletes a directory that was renamed away.
pub(super) async fn delete(path: PathBuf) -> Result<()> {
    task::blocking(move || {
        fs::remove_dir_all(&path).map_err(|e| Error::io(format_args!("remove {}", path.display()), &e))
    })
    .await?
}
