//! A control group for each operation: the kernel counts and limits all its processes together, whatever they start.

mod trees;

use crate::Limits;
use base::{Code, Error, Result};
use std::{
    fs, io,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};
use tokio::process::Command;
use trees::Trees;

/// What the names of all groups of operations begin with.
const PREFIX: &str = "hostler-run-";
/// How often is looked whether the processes of a group have ended, and how many times at most: two seconds.
const LOOK: Duration = Duration::from_millis(5);
const LOOKS: u32 = 400;

/// Whether groups can be made here.
///
/// # Errors
/// [`Code::Unavailable`] that says why they cannot.
pub(crate) fn possible() -> Result<()> {
    for dir in Trees::find()?.directories() {
        rustix::fs::access(dir, rustix::fs::Access::WRITE_OK)
            .map_err(|e| trees::unavailable(format!("{} cannot be written: {e}", dir.display())))?;
    }
    Ok(())
}

/// The group of one operation. Dropping it ends all that is in it, and waits for that.
#[derive(Debug)]
pub(crate) struct Group {
    trees: Trees,
    limits: Limits,
}

impl Group {
    /// The group of this name, not made yet.
    ///
    /// # Errors
    /// [`Code::Unavailable`] where this host has no control groups for us.
    pub(crate) fn named(name: &str, limits: Limits) -> Result<Self> {
        Ok(Group { trees: Trees::find()?.below(&format!("{PREFIX}{name}")), limits })
    }

    /// Its directories, a line each: what [`end_recorded`] reads.
    pub(crate) fn record(&self) -> String {
        let lines: Vec<String> =
            self.trees.directories().iter().map(|dir| dir.display().to_string()).collect();
        lines.join("\n")
    }

    /// Makes it, with its limits.
    ///
    /// # Errors
    /// [`Code::Unavailable`] where the kernel does not let us.
    pub(crate) fn make(&self) -> Result<()> {
        for dir in self.trees.directories() {
            trees::make(dir)?;
        }
        let Limits { memory, cpus, processes, .. } = self.limits;
        let set = |dir: &Path, file: &str, value: u64| trees::write(&dir.join(file), &value.to_string());
        // A kernel that does not count swap has no file for it.
        let set_swap = |dir: &Path, file: &str, value: u64| {
            if dir.join(file).exists() { set(dir, file, value) } else { Ok(()) }
        };
        match &self.trees {
            Trees::One(dir) => {
                set(dir, "memory.max", memory.bytes())?;
                set_swap(dir, "memory.swap.max", 0)?;
                set(dir, "memory.oom.group", 1)?;
                set(dir, "pids.max", processes.into())?;
                set(dir, "cpu.weight", WEIGHT)?;
                trees::write(&dir.join("cpu.max"), &format!("{} {PERIOD}", u64::from(cpus) * PERIOD))
            }
            Trees::Each { memory: dir, pids, cpu, .. } => {
                set(dir, "memory.limit_in_bytes", memory.bytes())?;
                set_swap(dir, "memory.memsw.limit_in_bytes", memory.bytes())?;
                set(pids, "pids.max", processes.into())?;
                set(cpu, "cpu.shares", SHARES)?;
                set(cpu, "cpu.cfs_period_us", PERIOD)?;
                set(cpu, "cpu.cfs_quota_us", u64::from(cpus) * PERIOD)
            }
        }
    }

    /// A command whose process joins the group before it becomes `program`.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = rt::process::command("sh");
        command.args(["-c", JOIN, "sh"]).args(self.trees.directories());
        command.args(["--", program]);
        command
    }

    /// Whether it has met none of its limits.
    ///
    /// # Errors
    /// [`Code::Exhausted`] that says which limit it has met.
    pub(crate) fn within_limits(&self) -> Result<()> {
        let Limits { memory, cpu, processes, .. } = self.limits;
        let (killed, refused, used) = match &self.trees {
            Trees::One(dir) => (
                count(&dir.join("memory.events"), "oom_kill"),
                count(&dir.join("pids.events"), "max"),
                Duration::from_micros(count(&dir.join("cpu.stat"), "usage_usec")),
            ),
            Trees::Each { memory, pids, cpuacct, .. } => (
                count(&memory.join("memory.oom_control"), "oom_kill"),
                count(&pids.join("pids.events"), "max"),
                cpu_time(cpuacct),
            ),
        };
        if killed > 0 {
            return Err(exceeded(&format!("used more than {memory} of memory"), "memoryMib"));
        }
        if refused > 0 {
            return Err(exceeded(&format!("had more than {processes} processes"), "processes"));
        }
        if used > cpu {
            return Err(exceeded(&format!("used more than {} s of CPU time", cpu.as_secs()), "cpuSeconds"));
        }
        Ok(())
    }
}

/// What version 1 has counted: nanoseconds.
fn cpu_time(cpuacct: &Path) -> Duration {
    let text = fs::read_to_string(cpuacct.join("cpuacct.usage")).unwrap_or_default();
    Duration::from_nanos(text.trim().parse().unwrap_or(0))
}

/// Half of what others weigh, in each version's measure: the controller and the host's services go first.
const WEIGHT: u64 = 50;
const SHARES: u64 = 512;
/// The period over which processors are shared out, in microseconds: the kernel's own default.
const PERIOD: u64 = 100_000;

/// `0` is the process that writes it. Nothing is run where it cannot join.
const JOIN: &str = r#"
while [ "$1" != -- ]; do echo 0 >"$1/cgroup.procs" || exit 125; shift; done
shift
exec "$@"
"#;

fn exceeded(what: &str, setting: &str) -> Error {
    Error::new(Code::Exhausted, format!("the operation {what}, so it was ended"))
        .hint(format!("an admin may allow more: hostler settings set runnerLimits.{setting}=N"))
}

/// The number after this word in a file of a group. 0 where there is none.
fn count(file: &Path, word: &str) -> u64 {
    let text = fs::read_to_string(file).unwrap_or_default();
    let mut pairs = text.lines().filter_map(|line| line.split_once(' '));
    pairs.find(|(name, _)| *name == word).and_then(|(_, n)| n.parse().ok()).unwrap_or(0)
}

impl Drop for Group {
    fn drop(&mut self) {
        let dirs: Vec<PathBuf> = self.trees.directories().into_iter().map(ToOwned::to_owned).collect();
        if let Err(e) = end(&dirs) {
            tracing::warn!(error = %e, group = self.record(), "a control group could not be removed");
        }
    }
}

/// Ends the group that this record is of.
pub(crate) fn end_recorded(record: &str) -> Result<()> {
    let ours = |dir: &PathBuf| dir.file_name().is_some_and(|name| name.to_string_lossy().starts_with(PREFIX));
    let dirs: Vec<PathBuf> = record.lines().map(PathBuf::from).filter(ours).collect();
    end(&dirs).map_err(|e| Error::io(format_args!("end the control group {}", record.trim()), &e))
}

/// Ends the processes of a group and removes it.
fn end(dirs: &[PathBuf]) -> io::Result<()> {
    for dir in dirs {
        // Nothing new starts in it, so that the end of what is there is the end of all. Not all of them have these files.
        let set = |file: &str, value: &str| {
            let path = dir.join(file);
            if path.exists() { fs::write(path, value) } else { Ok(()) }
        };
        set("pids.max", "0")?;
        set("cgroup.kill", "1")?;
    }
    for _ in 0..LOOKS {
        let processes: Vec<u32> = dirs.iter().flat_map(|dir| processes(dir)).collect();
        for process in &processes {
            rt::process::signal(*process, rt::process::Signal::KILL)?;
        }
        if processes.is_empty() && dirs.iter().all(|dir| removed(dir)) {
            return Ok(());
        }
        thread::sleep(LOOK);
    }
    Err(io::Error::new(io::ErrorKind::TimedOut, "its processes do not end"))
}

fn processes(group: &Path) -> Vec<u32> {
    let text = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    text.lines().filter_map(|line| line.parse().ok()).collect()
}

/// Removes a group, and says whether it is gone: the kernel refuses for a moment after its last process.
fn removed(group: &Path) -> bool {
    fs::remove_dir(group).map_or_else(|e| e.kind() == io::ErrorKind::NotFound, |()| true)
}
