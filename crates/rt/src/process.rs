//! Child processes.
#![allow(clippy::disallowed_methods)] // the home of child processes

use std::{ffi::OsStr, io, process::Stdio, time::Duration};
use tokio::process::Command;

/// A command that dies with its handle, reads nothing, and inherits nothing but the environment. Callers that want
/// output pipe it.
pub fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    command
}

/// A command that outlives this process: the caller keeps track of it by other means (a shim's record).
pub fn detached(program: impl AsRef<OsStr>) -> Command {
    let mut command = command(program);
    command.kill_on_drop(false);
    command
}

/// What a finished command said.
#[derive(Debug)]
pub struct Output {
    /// Standard output, with invalid UTF-8 replaced.
    pub stdout: String,
    /// Standard error, likewise.
    pub stderr: String,
}

/// Runs a short helper program (`qemu-img info`) to its end, at most `limit`. A non-zero status is an error that
/// carries the program's own words; a missing program says which package to install where it is known.
pub async fn run(mut command: Command, limit: Duration) -> base::Result<Output> {
    let program = command.as_std().get_program().to_string_lossy().into_owned();
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.output();
    let output =
        crate::clock::timeout(limit, &program, child).await?.map_err(|e| cannot_start(&program, &e))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    if output.status.success() {
        return Ok(Output { stdout, stderr });
    }
    Err(base::Error::internal(format!("{program} failed ({})", output.status)).because(stderr.trim()))
}

/// The error for a program that did not start.
pub fn cannot_start(program: &str, error: &io::Error) -> base::Error {
    let e = base::Error::io(format_args!("start {program}"), error);
    if error.kind() != io::ErrorKind::NotFound {
        return e;
    }
    let package = match program.rsplit('/').next().unwrap_or(program) {
        "qemu-img" => "qemu-utils",
        name if name.starts_with("qemu-system-") => "qemu-system-x86 or qemu-system-arm",
        "ssh" | "scp" => "openssh-client",
        _ => return e.hint(format!("install {program}, or put it on the PATH")),
    };
    e.hint(format!("install it: apt-get install {package}"))
}

/// Whether a process with this id exists (a zombie does).
pub fn alive(pid: u32) -> bool {
    pid_of(pid).is_some_and(|p| rustix::process::test_kill_process(p).is_ok())
}

/// When a process started, in clock ticks since boot: with the id, this names one process for one boot. `None` where it
/// is gone. (`/proc/PID/stat` field 22, proc(5).)
pub fn start_ticks(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let after_name = stat.rsplit_once(')')?.1;
    after_name.split_ascii_whitespace().nth(19)?.parse().ok()
}

/// Sends a signal; a process that is gone is not an error.
pub fn signal(pid: u32, signal: rustix::process::Signal) -> io::Result<()> {
    let Some(pid) = pid_of(pid) else { return Ok(()) };
    match rustix::process::kill_process(pid, signal) {
        Err(rustix::io::Errno::SRCH) => Ok(()),
        other => other.map_err(io::Error::from),
    }
}

/// Ends a process group (see setpgid(2)) at once; one that is gone is not an error.
pub fn kill_group(leader: u32) -> io::Result<()> {
    let Some(leader) = pid_of(leader) else { return Ok(()) };
    match rustix::process::kill_process_group(leader, Signal::KILL) {
        Err(rustix::io::Errno::SRCH) => Ok(()),
        other => other.map_err(io::Error::from),
    }
}

/// Lets this process open as many files as it is allowed to ask for.
pub fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}

/// The user id of this process.
pub fn user() -> u32 {
    rustix::process::getuid().as_raw()
}

/// Puts this process into a session of its own: signals to its old process group or terminal no longer reach it.
pub fn new_session() -> io::Result<()> {
    rustix::process::setsid().map(|_| ()).map_err(io::Error::from)
}

/// Whether the process with this id and this start (see [`start_ticks`]) still runs. One that has ended and waits for
/// its parent to notice does not. Without a start (macOS) the id alone decides.
pub fn running(pid: u32, start: Option<u64>) -> bool {
    let Some(start) = start else { return alive(pid) };
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let mut fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_ascii_whitespace();
    let state = fields.next();
    state.is_some_and(|s| s != "Z" && s != "X") && fields.nth(18) == Some(start.to_string().as_str())
}

/// Resolves when that process no longer runs, whoever its parent is. Looks four times a second.
pub async fn gone(pid: u32, start: Option<u64>) {
    while running(pid, start) {
        crate::clock::sleep(Duration::from_millis(250)).await;
    }
}

pub use rustix::process::Signal;

/// The name of a signal without `SIG`, as shells write it; its number where it has no common one.
pub fn signal_name(number: i32) -> String {
    const NAMES: [(Signal, &str); 14] = [
        (Signal::HUP, "HUP"),
        (Signal::INT, "INT"),
        (Signal::QUIT, "QUIT"),
        (Signal::ILL, "ILL"),
        (Signal::TRAP, "TRAP"),
        (Signal::ABORT, "ABRT"),
        (Signal::BUS, "BUS"),
        (Signal::FPE, "FPE"),
        (Signal::KILL, "KILL"),
        (Signal::USR1, "USR1"),
        (Signal::SEGV, "SEGV"),
        (Signal::USR2, "USR2"),
        (Signal::PIPE, "PIPE"),
        (Signal::TERM, "TERM"),
    ];
    let known = NAMES.iter().find(|(signal, _)| signal.as_raw() == number);
    known.map_or_else(|| number.to_string(), |(_, name)| (*name).to_owned())
}

fn pid_of(pid: u32) -> Option<rustix::process::Pid> {
    rustix::process::Pid::from_raw(i32::try_from(pid).ok()?)
}
