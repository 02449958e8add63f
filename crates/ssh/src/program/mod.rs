//! `transport: openssh`: the program `ssh` keeps the connection, for hosts that need what only it can do (GSSAPI, PKCS#11,
//! security keys, old algorithms). One process of it is the master, and each command is another that goes through it.

mod args;
mod words;

pub(crate) use args::{HostKeys, Way};

use crate::exec::{Exec, ExecRequest, ProgramInput, ProgramOutput};
use base::{Code, Error, Result, Secret};
use rt::task::CancellationToken;
use std::{
    path::PathBuf,
    process::Stdio,
    sync::{Arc, OnceLock},
    time::Duration,
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    process::{Child, Command},
};

/// How long it takes to see that the master ended, once a command of it failed.
const MOMENT: Duration = Duration::from_millis(500);
/// Of what `ssh` says, this much is kept.
const MOST_WORDS: u64 = 4096;
/// What the master says when it is logged in.
const READY: &str = "hostler-ready";

/// A connection that `ssh` keeps.
pub(crate) struct Master {
    way: Way,
    socket: PathBuf,
    ended: CancellationToken,
    /// What `ssh` said at its end.
    reason: Arc<OnceLock<String>>,
    tasks: rt::task::Group,
    // The socket, and what the password is asked with. Gone with the connection.
    dir: TempDir,
}

impl Master {
    /// Logs in.
    ///
    /// # Errors
    /// As [`crate::Dialer::connect`]; `ssh` tells its reasons in words, which are kept as the cause.
    pub(crate) async fn connect(way: Way, password: Option<&Secret>, limit: Duration) -> Result<Arc<Self>> {
        let dir = tempfile::Builder::new().prefix("hostler-ssh-").tempdir_in("/tmp");
        let dir = dir.map_err(|e| Error::io("make a directory for ssh", &e))?;
        let socket = dir.path().join("s");
        let mut command = way.command(dir.path())?;
        command.args(["-M", "-N", "-T"]).arg("-S").arg(&socket);
        // The variables of commands pass the master, which sends none of its own.
        command.args(["-o", "SendEnv=*"]);
        command.args(["-o", "PermitLocalCommand=yes", "-o"]).arg(format!("LocalCommand=echo {READY}"));
        match password {
            Some(password) => args::ask_for(&mut command, dir.path(), password)?,
            None => _ = command.args(["-o", "BatchMode=yes"]),
        }
        way.finish(&mut command);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().map_err(|e| rt::process::cannot_start("ssh", &e))?;
        let (ended, reason) = (CancellationToken::new(), Arc::new(OnceLock::new()));
        let tasks = rt::task::Group::new();
        let (tell, ready) = tokio::sync::oneshot::channel();
        tasks.spawn("ssh master", watch(child, tell, ended.clone(), Arc::clone(&reason)));
        let master = Arc::new(Master { way, socket, ended, reason, tasks, dir });
        if rt::clock::timeout(limit, "the login by ssh", ready).await?.is_ok() {
            return Ok(master);
        }
        master.ended().await;
        Err(words::error(&master.way.node, master.words()))
    }

    /// Starts a command, a shell or a subsystem.
    pub(crate) fn start(self: &Arc<Self>, request: &ExecRequest) -> Result<Exec> {
        let mut command = self.client()?;
        args::request(&mut command, request);
        self.way.finish(&mut command);
        args::line(&mut command, request);
        self.run(command)
    }

    /// An `ssh` that has a terminal, once somebody starts it with one.
    pub(crate) fn terminal(&self, line: Option<&str>) -> Result<Command> {
        let mut command = self.client()?;
        command.arg("-t");
        self.way.finish(&mut command);
        command.args(line);
        Ok(command)
    }

    /// A stream to where the server can connect to.
    pub(crate) fn tunnel(self: &Arc<Self>, host: &str, port: u16) -> Result<Exec> {
        let mut command = self.client()?;
        command.arg("-W").arg(format!("[{host}]:{port}"));
        self.way.finish(&mut command);
        self.run(command)
    }

    /// An `ssh` that goes through the master.
    fn client(&self) -> Result<Command> {
        let mut command = self.way.command(self.dir.path())?;
        command.arg("-S").arg(&self.socket).args(["-o", "ControlMaster=no", "-o", "BatchMode=yes"]);
        Ok(command)
    }

    fn run(self: &Arc<Self>, mut command: Command) -> Result<Exec> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        if self.is_closed() {
            return Err(self.lost());
        }
        let mut child = command.spawn().map_err(|e| rt::process::cannot_start("ssh", &e))?;
        let input = ProgramInput::new(child.stdin.take());
        Ok(Exec::of_program(input, ProgramOutput::new(child, Arc::clone(self))))
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.ended.is_cancelled()
    }

    pub(crate) async fn ended(&self) {
        self.ended.cancelled().await;
    }

    /// Ends the connection with all its commands.
    pub(crate) async fn close(&self) {
        self.tasks.stop().await;
        self.ended.cancel();
    }

    /// Whether the connection is gone, or goes in a moment: its commands may see it first.
    pub(crate) async fn is_gone_soon(&self) -> bool {
        rt::clock::timeout(MOMENT, "the end of ssh", self.ended.cancelled()).await.is_ok()
    }

    fn words(&self) -> &str {
        self.reason.get().map_or("", String::as_str)
    }

    pub(crate) fn lost(&self) -> Error {
        let why = if self.words().is_empty() { "the connection was closed" } else { self.words() };
        Error::new(Code::Unavailable, "the SSH connection was lost").because(why).hint("connect again")
    }
}

/// Says when the master is ready, and keeps what it says at its end.
async fn watch(
    mut child: Child,
    tell: tokio::sync::oneshot::Sender<()>,
    ended: CancellationToken,
    reason: Arc<OnceLock<String>>,
) {
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let ready = async {
        let Some(stdout) = stdout else { return };
        let mut lines = BufReader::new(stdout).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            if line == READY {
                let _ = tell.send(());
                break;
            }
        }
    };
    let words = async {
        let mut text = Vec::new();
        if let Some(stderr) = stderr {
            let _ = stderr.take(MOST_WORDS).read_to_end(&mut text).await;
        }
        String::from_utf8_lossy(&text).into_owned()
    };
    let ((), said, _) = tokio::join!(ready, words, child.wait());
    let _ = reason.set(words::clean(&said));
    ended.cancel();
}

/// `ssh`, with nothing of ours but its environment.
fn ssh() -> Command {
    rt::process::command("ssh")
}
