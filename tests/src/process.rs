//! Processes of a test.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::process::{Child, Command};

/// A running part of a cluster. Dropping it kills it.
#[derive(Debug)]
pub struct Process {
    child: Child,
    /// Its process id.
    pub pid: u32,
    log: PathBuf,
}

impl Process {
    /// Starts a command whose output is appended to a file.
    ///
    /// # Panics
    /// Where it cannot be started.
    pub fn start(mut command: Command, log: &Path) -> Self {
        let file = File::options().create(true).append(true).open(log).expect("a log file");
        command.stdout(file.try_clone().expect("a log file")).stderr(file);
        let child = command.spawn().expect("the process starts");
        let pid = child.id().expect("a new process has an id");
        Process { child, pid, log: log.to_owned() }
    }

    /// What it has written.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Ends it as a crash would, and waits until it is gone.
    ///
    /// # Panics
    /// Where it cannot be ended.
    pub async fn kill(&mut self) {
        self.child.kill().await.expect("it can be killed");
    }

    /// Sends a signal and waits for its end. The exit code, where it was not ended by a signal.
    ///
    /// # Panics
    /// When it does not end within 30 s.
    pub async fn end(&mut self, signal: rt::process::Signal) -> Option<i32> {
        rt::process::signal(self.pid, signal).expect("it can be signalled");
        self.wait(Duration::from_secs(30)).await
    }

    /// Waits for its end. The exit code, where it was not ended by a signal.
    ///
    /// # Panics
    /// When it does not end in time.
    pub async fn wait(&mut self, limit: Duration) -> Option<i32> {
        let ended = tokio::time::timeout(limit, self.child.wait()).await;
        match ended {
            Ok(status) => status.expect("its end is known").code(),
            Err(e) => panic!("a process did not end ({e}):\n{}", self.log()),
        }
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }
}

/// Processes that work under a directory: their working directory or an argument is there. The shims and hypervisors
/// of a cluster.
pub fn processes_under(dir: &Path) -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.flatten().filter_map(|e| e.file_name().to_str()?.parse::<u32>().ok());
    let text = dir.to_string_lossy().into_owned();
    pids.filter(|pid| *pid != std::process::id())
        .filter(|pid| {
            let there = fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd.starts_with(dir));
            let named = || {
                let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
                String::from_utf8_lossy(&line).contains(&text)
            };
            there || named()
        })
        .collect()
}

/// Whether a process runs: a zombie does not.
pub fn alive(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z'))
}
