//! A Docker engine for one test: nothing of this machine's own engine, if it has one, is seen or touched.

use crate::busybox;
use base::{Error, Result};
use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};
use tokio::process::{Child, ChildStdin, Command};

const PATIENCE: Duration = Duration::from_mins(1);
const DAEMON: &str = "/usr/sbin/dockerd";

/// The image that [`Engine::start`] makes: BusyBox and nothing else.
pub const BUSYBOX: &str = "busybox:test";

/// A running engine. Dropping it ends it with all its containers.
#[derive(Debug)]
pub struct Engine {
    dir: PathBuf,
    /// Open as long as the engine is wanted: it ends also where this process is killed.
    _line: ChildStdin,
    process: Child,
}

impl Engine {
    /// Why this machine can have none, if so: not root, no namespaces, or a package is missing.
    pub async fn missing() -> Option<String> {
        if let Some(program) = [busybox::PROGRAM, DAEMON].into_iter().find(|p| !Path::new(p).exists()) {
            return Some(format!("there is no {program} (packages busybox and docker.io)"));
        }
        let mut unshare = rt::process::command("unshare");
        unshare.args(NAMESPACES).args(["sh", "-c", "mount -t tmpfs none /mnt && test -w /sys/fs/cgroup"]);
        let error = rt::process::run(unshare, PATIENCE).await.err()?;
        Some(format!("this machine gives no namespaces ({})", error.cause.unwrap_or(error.message)))
    }

    /// Starts one with the image [`BUSYBOX`].
    ///
    /// # Errors
    /// Where it does not start; see [`Self::missing`].
    pub async fn start() -> Result<Self> {
        let made = tempfile::Builder::new().prefix("docker-").tempdir();
        let dir = made.map_err(|e| Error::io("make a directory", &e))?.keep();
        let name = dir.file_name().unwrap_or_default().to_owned();
        let mut unshare = rt::process::detached("unshare");
        unshare.args(NAMESPACES).args(["sh", "-c", include_str!("docker/engine.sh"), "engine"]);
        unshare.arg(&dir).arg(name).stdin(Stdio::piped());
        let mut process = unshare.spawn().map_err(|e| rt::process::cannot_start("unshare", &e))?;
        let line = process.stdin.take().ok_or_else(|| Error::internal("an engine has no input"))?;
        let mut engine = Engine { dir, _line: line, process };
        let answers = rt::clock::timeout(PATIENCE, "the start of a Docker engine", engine.answers()).await?;
        if !answers {
            let said = std::fs::read_to_string(engine.dir.join("log")).unwrap_or_default();
            return Err(Error::internal("the Docker engine does not start").because(said.trim()));
        }
        engine.import().await?;
        Ok(engine)
    }

    async fn answers(&mut self) -> bool {
        while matches!(self.process.try_wait(), Ok(None)) {
            if self.run(&["version"]).await.is_ok() {
                return true;
            }
            rt::clock::sleep(Duration::from_millis(20)).await;
        }
        false
    }

    async fn import(&self) -> Result<()> {
        let root = self.dir.join("root");
        for dir in ["dev", "etc", "proc", "root", "tmp", "var/log"] {
            std::fs::create_dir_all(root.join(dir)).map_err(|e| Error::io("make a directory", &e))?;
        }
        busybox::install(&root, &[]).await?;
        for (file, text) in [
            ("passwd", "root:x:0:0:root:/root:/bin/sh\nguest:x:1000:1000::/tmp:/bin/sh\n"),
            ("group", "root:x:0:\nguest:x:1000:\n"),
        ] {
            let written = std::fs::write(root.join("etc").join(file), text);
            written.map_err(|e| Error::io(format_args!("write {file}"), &e))?;
        }
        let archive = self.dir.join("root.tar");
        let mut tar = rt::process::command("tar");
        tar.arg("-C").arg(&root).arg("-cf").arg(&archive).arg(".");
        rt::process::run(tar, PATIENCE).await?;
        self.run(&["import", &archive.to_string_lossy(), BUSYBOX]).await?;
        Ok(())
    }

    /// The directory with its socket, `docker.sock`.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where it is reached, as `DOCKER_HOST` has it.
    pub fn host(&self) -> String {
        format!("unix://{}", self.dir.join("docker.sock").display())
    }

    /// A call of the client, for this engine.
    pub fn command(&self) -> Command {
        let mut docker = rt::process::command("docker");
        docker.arg("--host").arg(self.host());
        docker
    }

    /// Calls the client, and returns what it says.
    ///
    /// # Errors
    /// Where that fails, with its own words.
    pub async fn run(&self, args: &[&str]) -> Result<String> {
        let mut docker = self.command();
        docker.args(args);
        Ok(rt::process::run(docker, PATIENCE).await?.stdout)
    }

    /// Starts a container that does nothing, named like its host.
    ///
    /// # Errors
    /// Where it does not start.
    pub async fn container(&self, name: &str) -> Result<()> {
        let args = ["run", "--detach", "--init", "--network", "none", "--name", name, "--hostname", name];
        self.run(&[&args[..], &[BUSYBOX, "sleep", "infinity"]].concat()).await.map(drop)
    }
}

/// What `unshare` makes anew for an engine.
const NAMESPACES: [&str; 5] = ["--mount", "--pid", "--fork", "--mount-proc", "--ipc"];
