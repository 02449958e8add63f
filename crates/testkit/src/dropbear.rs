//! A host that has BusyBox and dropbear, and nothing else: no bash, no coreutils, no OpenSSH. A root directory of its own,
//! with processes of its own.

use crate::busybox;
use base::{Error, Result, Secret};
use std::{
    fs::File,
    net::{Ipv4Addr, SocketAddr},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};
use tempfile::TempDir;
use tokio::{io::AsyncReadExt, net::TcpStream, process::Child};

const PATIENCE: Duration = Duration::from_secs(20);
const DROPBEAR: &str = "/usr/sbin/dropbear";

/// Becomes the first process of the host: `sh -c ENTER sh ROOT ADDRESS`.
const ENTER: &str = r#"mount --bind /dev "$1/dev" && mount -t proc proc "$1/proc" &&
    exec chroot "$1" /usr/sbin/dropbear -F -E -s -P "" -r /etc/host_key -p "$2""#;

/// The running host, reached at the loopback interface. Gone with its handle.
#[derive(Debug)]
pub struct Dropbear {
    address: SocketAddr,
    host_key: String,
    user_key: Secret,
    // Before the directory, so that the processes are gone first.
    _child: Child,
    dir: TempDir,
}

impl Dropbear {
    /// Why this machine has no such host, if so: not root, no namespaces, or a package is missing.
    pub async fn missing() -> Option<String> {
        if let Some(program) = [busybox::PROGRAM, DROPBEAR].into_iter().find(|p| !Path::new(p).exists()) {
            return Some(format!("there is no {program} (packages busybox and dropbear-bin)"));
        }
        let mut unshare = rt::process::command("unshare");
        unshare.args(["--mount", "--pid", "--fork", "chroot", "/", "true"]);
        let error = rt::process::run(unshare, PATIENCE).await.err()?;
        Some(format!("this machine gives no namespaces ({})", error.cause.unwrap_or(error.message)))
    }

    /// Starts one that lets root in by a key.
    ///
    /// # Errors
    /// Where it does not start; see [`Self::missing`].
    pub async fn start() -> Result<Self> {
        let dir = tempfile::tempdir().map_err(|e| Error::io("make a directory", &e))?;
        let root = dir.path().join("root");
        let host_key = install(&root).await?;
        let user_key = admit_user(dir.path(), &root).await?;
        let address = free_address().await?;
        let mut enter = rt::process::command("unshare");
        enter.args(["--mount", "--pid", "--fork", "--kill-child", "sh", "-c", ENTER, "sh"]);
        let log = dir.path().join("log");
        enter.arg(&root).arg(address.to_string()).stderr(create(&log)?);
        let mut child = enter.spawn().map_err(|e| rt::process::cannot_start("unshare", &e))?;
        let up = rt::clock::timeout(PATIENCE, "the start of dropbear", answers(&mut child, address)).await?;
        if !up {
            let said = std::fs::read_to_string(&log).unwrap_or_default();
            return Err(Error::internal("dropbear does not start").because(said.trim()));
        }
        Ok(Dropbear { address, host_key, user_key, _child: child, dir })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its host key as one line.
    pub fn host_key(&self) -> &str {
        &self.host_key
    }

    /// The private key that it accepts for root, in OpenSSH's format.
    pub fn user_key(&self) -> &Secret {
        &self.user_key
    }

    /// The file with [`Self::user_key`].
    pub fn identity(&self) -> PathBuf {
        self.dir.path().join("user_key")
    }

    /// Its root directory, as this process sees it.
    pub fn root(&self) -> PathBuf {
        self.dir.path().join("root")
    }
}

/// Fills the root directory, and returns the public host key.
async fn install(root: &Path) -> Result<String> {
    for dir in ["dev", "etc", "proc", "root/.ssh", "tmp"] {
        std::fs::create_dir_all(root.join(dir)).map_err(|e| Error::io("make a directory", &e))?;
    }
    busybox::install(root, &[DROPBEAR]).await?;
    write(&root.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n")?;
    write(&root.join("etc/group"), "root:x:0:\n")?;
    write(&root.join("etc/shells"), "/bin/sh\n")?;
    let key = root.join("etc/host_key");
    let said = run("dropbearkey", &["-t", "ed25519", "-f", &key.to_string_lossy()]).await?;
    let line = said.lines().find(|line| line.starts_with("ssh-ed25519 "));
    line.map(str::to_owned).ok_or_else(|| Error::internal("dropbearkey shows no key").because(said))
}

async fn admit_user(dir: &Path, root: &Path) -> Result<Secret> {
    let key = dir.join("user_key");
    run("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", &key.to_string_lossy()]).await?;
    let read = |path: PathBuf| std::fs::read_to_string(path).map_err(|e| Error::io("read a key", &e));
    let keys = root.join("root/.ssh/authorized_keys");
    write(&keys, &read(key.with_extension("pub"))?)?;
    for (path, mode) in [(root.join("root"), 0o700), (root.join("root/.ssh"), 0o700), (keys, 0o600)] {
        let mode = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(path, mode).map_err(|e| Error::io("change a mode", &e))?;
    }
    Ok(Secret::new(read(key)?))
}

async fn run(program: &str, args: &[&str]) -> Result<String> {
    let mut command = rt::process::command(program);
    command.args(args);
    Ok(rt::process::run(command, PATIENCE).await?.stdout)
}

async fn free_address() -> Result<SocketAddr> {
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
    listener.and_then(|l| l.local_addr()).map_err(|e| Error::io("find a free port", &e))
}

/// Whether it came up and greets.
async fn answers(child: &mut Child, address: SocketAddr) -> bool {
    while matches!(child.try_wait(), Ok(None)) {
        if let Ok(mut stream) = TcpStream::connect(address).await {
            let mut start = [0; 4];
            if stream.read_exact(&mut start).await.is_ok() && &start == b"SSH-" {
                return true;
            }
        }
        rt::clock::sleep(Duration::from_millis(20)).await;
    }
    false
}

fn create(path: &Path) -> Result<File> {
    File::create(path).map_err(|e| Error::io(format_args!("create {}", path.display()), &e))
}

fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).map_err(|e| Error::io(format_args!("write {}", path.display()), &e))
}
