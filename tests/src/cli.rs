//! The command line, as a user calls it.

use crate::binary;
use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    process::Command,
};

/// Calls the program with directories of its own.
#[derive(Clone, Debug)]
pub struct Cli {
    home: PathBuf,
    environment: Vec<(&'static str, PathBuf)>,
}

/// What a call did.
#[derive(Debug)]
pub struct Ran {
    /// Its exit code; 255 where a signal ended it.
    pub code: i32,
    /// Its data.
    pub stdout: String,
    /// All else.
    pub stderr: String,
}

impl Ran {
    /// Its data, where it went well.
    ///
    /// # Panics
    /// With what it said, where it did not.
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!(self.code, 0, "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        self.stdout
    }

    /// What it complained about, where it ended with this code.
    ///
    /// # Panics
    /// Where it ended otherwise.
    #[track_caller]
    pub fn fails(self, code: i32) -> String {
        assert_eq!(self.code, code, "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        self.stderr
    }

    /// Its data as JSON.
    ///
    /// # Panics
    /// Where it is none.
    #[track_caller]
    pub fn json(self) -> serde_json::Value {
        let text = self.ok();
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e} in {text}"))
    }
}

impl Cli {
    /// A command line whose XDG directories are under `home`.
    pub fn new(home: &Path) -> Self {
        Cli { home: home.to_owned(), environment: Vec::new() }
    }

    /// The same with this in the environment of all that it calls.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<PathBuf>) -> Self {
        self.environment.push((name, value.into()));
        self
    }

    /// Where its directories are.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// A call, to be changed further.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = rt::process::command(binary());
        command.args(args);
        self.dress(&mut command);
        command
    }

    /// Gives another program (a shell) the same directories.
    pub fn dress(&self, command: &mut Command) {
        for name in ["HOSTLER_CONTEXT", "HOSTLER_URL", "HOSTLER_TOKEN", "HOSTLER_PROJECT"] {
            command.env_remove(name);
        }
        command
            .env("HOME", &self.home)
            .env("XDG_CONFIG_HOME", self.home.join("config"))
            .env("XDG_STATE_HOME", self.home.join("state"))
            .env("XDG_RUNTIME_DIR", self.home.join("run"))
            .env("NO_COLOR", "1")
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(&self.home);
    }

    /// Calls and waits, at most two minutes.
    pub async fn run(&self, args: &[&str]) -> Ran {
        self.run_with(args, b"").await
    }

    /// Calls with this on its standard input.
    pub async fn run_with(&self, args: &[&str], input: &[u8]) -> Ran {
        Self::finish(self.command(args), input).await
    }

    /// Runs a prepared command to its end.
    ///
    /// # Panics
    /// When it does not end within two minutes.
    pub async fn finish(mut command: Command, input: &[u8]) -> Ran {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let what = format!("{command:?}");
        let mut child = command.spawn().expect("the program starts");
        let mut stdin = child.stdin.take().expect("its input");
        let (mut stdout, mut stderr) =
            (child.stdout.take().expect("its output"), child.stderr.take().expect("its errors"));
        let input = input.to_vec();
        let writing = async move {
            let _ = stdin.write_all(&input).await; // it may not read all of it
            drop(stdin);
        };
        // Kept outside of what is given up, so that one that did not end can be quoted.
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let reading = async { tokio::join!(stdout.read_to_end(&mut out), stderr.read_to_end(&mut err)) };
        let all = async { tokio::join!(writing, reading, child.wait()).2 };
        let ended = tokio::time::timeout(Duration::from_mins(2), all).await;
        let [stdout, stderr] = [&out, &err].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        let Ok(status) = ended else { panic!("{what} did not end; it said:\n{stdout}{stderr}") };
        Ran { code: status.expect("its status").code().unwrap_or(255), stdout, stderr }
    }
}
