//! Real OpenSSH servers for tests: each with its own keys, port and empty home directory, gone with its handle.

use base::{Error, Result, Secret};
use std::{
    fmt::Write as _,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};
use tempfile::TempDir;
use tokio::{
    net::{TcpListener, TcpStream},
    process::Child,
};

/// How long a start may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often another port is tried where one was taken in the meantime.
const ATTEMPTS: usize = 5;

/// A running sshd on the loopback interface that lets the user of this process in.
#[derive(Debug)]
pub struct Sshd {
    address: SocketAddr,
    user: String,
    host_key: String,
    user_key: Secret,
    // Before the directory, so that the process is gone first.
    child: Child,
    dir: TempDir,
}

impl Sshd {
    /// Starts one. `extra` are further lines for its `sshd_config`; the first value given for a keyword wins there, and
    /// these come first.
    ///
    /// # Errors
    /// Where OpenSSH's server or `ssh-keygen` is missing, or does not start.
    pub async fn start(extra: &[&str]) -> Result<Self> {
        let lines: Vec<String> = extra.iter().map(|line| (*line).to_owned()).collect();
        Self::start_at(Ipv4Addr::LOCALHOST, async |_| Ok(lines)).await
    }

    /// Starts one that listens on this address, `0.0.0.0` for all of them (each of 127.0.0.0/8 then leads to it).
    /// `prepare` gets its directory, with `host_key` and `host_key.pub` in it, before it starts, and returns further
    /// lines for its configuration.
    ///
    /// # Errors
    /// As [`Self::start`], and what `prepare` returns.
    pub async fn start_at(
        listen: Ipv4Addr,
        prepare: impl AsyncFnOnce(&Path) -> Result<Vec<String>>,
    ) -> Result<Self> {
        let dir = tempfile::tempdir().map_err(|e| Error::io("make a directory", &e))?;
        let path = |name: &str| dir.path().join(name);
        std::fs::create_dir(path("home")).map_err(|e| Error::io("make a home directory", &e))?;
        // The unprivileged part of sshd locks itself in here; Debian's init script makes it otherwise.
        let _ = std::fs::create_dir_all("/run/sshd");
        let host_key = make_key(&path("host_key")).await?;
        let user_line = make_key(&path("user_key")).await?;
        write(&path("authorized_keys"), &user_line)?;
        let user_key = Secret::new(read(&path("user_key"))?);
        let user = rt::process::run(with_args("id", &["-un"]), PATIENCE).await?.stdout.trim().to_owned();
        let extra = prepare(dir.path()).await?;
        for _ in 0..ATTEMPTS {
            let address = free_address().await?;
            let config = path("sshd_config");
            let listening = SocketAddr::new(listen.into(), address.port());
            write(&config, &configuration(dir.path(), listening, &extra))?;
            let mut child = serve(&config, &path("log"))?;
            if listens(&mut child, &path("log")).await? {
                return Ok(Sshd { address, user, host_key, user_key, child, dir });
            }
        }
        let log = read(&path("log")).unwrap_or_default();
        Err(Error::internal("sshd does not start").because(log.trim()))
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A new connection to it, without Nagle's delay.
    pub async fn dial(&self) -> Result<TcpStream> {
        let stream = TcpStream::connect(self.address).await.map_err(|e| Error::io("reach sshd", &e))?;
        stream.set_nodelay(true).map_err(|e| Error::io("set up a socket", &e))?;
        Ok(stream)
    }

    /// Whom it lets in.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// Its host key as one line, `ssh-ed25519 AAAA... comment`.
    pub fn host_key(&self) -> &str {
        &self.host_key
    }

    /// The private key that it accepts, in OpenSSH's format.
    pub fn user_key(&self) -> &Secret {
        &self.user_key
    }

    /// The file with [`Self::user_key`].
    pub fn identity(&self) -> PathBuf {
        self.dir.path().join("user_key")
    }

    /// What commands get as their `HOME`, empty at the start. The directory they start in is still the user's own.
    pub fn home(&self) -> PathBuf {
        self.dir.path().join("home")
    }

    /// What it logged so far.
    pub fn log(&self) -> String {
        read(&self.dir.path().join("log")).unwrap_or_default()
    }

    /// The process id of the listening sshd.
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }
}

fn configuration(dir: &Path, address: SocketAddr, extra: &[String]) -> String {
    let mut text = String::new();
    for line in extra {
        let _ = writeln!(text, "{line}");
    }
    let (ip, port, dir) = (address.ip(), address.port(), dir.display());
    let _ = write!(
        text,
        "ListenAddress {ip}\nPort {port}\nHostKey {dir}/host_key\nPidFile none\n\
         AuthorizedKeysFile {dir}/authorized_keys\nStrictModes no\nUsePAM no\nUseDNS no\n\
         PermitRootLogin yes\nPasswordAuthentication yes\nKbdInteractiveAuthentication no\n\
         PrintMotd no\nPrintLastLog no\nMaxStartups 1000:30:2000\nMaxSessions 500\nLoginGraceTime 60\n\
         SetEnv HOME={dir}/home\nSubsystem sftp internal-sftp\nLogLevel VERBOSE\n"
    );
    text
}

async fn make_key(path: &Path) -> Result<String> {
    make_key_of(path, "ed25519", "").await
}

/// Makes a key of a type that `ssh-keygen` knows, with a passphrase or without, and returns its public line.
///
/// # Errors
/// Where `ssh-keygen` is missing, or does not know the type.
pub async fn make_key_of(path: &Path, kind: &str, passphrase: &str) -> Result<String> {
    let mut keygen = with_args("ssh-keygen", &["-q", "-t", kind, "-N", passphrase, "-C", "test", "-f"]);
    keygen.arg(path);
    rt::process::run(keygen, PATIENCE).await?;
    Ok(read(&path.with_extension("pub"))?.trim().to_owned())
}

fn with_args(program: &str, args: &[&str]) -> tokio::process::Command {
    let mut command = rt::process::command(program);
    command.args(args);
    command
}

async fn free_address() -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
    listener.and_then(|l| l.local_addr()).map_err(|e| Error::io("find a free port", &e))
}

/// sshd insists on being started by its full path.
fn serve(config: &Path, log: &Path) -> Result<Child> {
    let mut command = with_args("/usr/sbin/sshd", &["-D", "-f"]);
    command.arg(config).arg("-E").arg(log);
    command.spawn().map_err(|e| {
        rt::process::cannot_start("/usr/sbin/sshd", &e).hint("install it: apt-get install openssh-server")
    })
}

/// Whether it came up, by its own words: somebody else may answer at its address. `false` when it ended, as it does where
/// another process took the port.
async fn listens(child: &mut Child, log: &Path) -> Result<bool> {
    let up = async {
        while !matches!(child.try_wait(), Ok(Some(_)) | Err(_)) {
            if read(log).is_ok_and(|log| log.contains("Server listening on")) {
                return true;
            }
            rt::clock::sleep(Duration::from_millis(20)).await;
        }
        false
    };
    rt::clock::timeout(PATIENCE, "the start of sshd", up).await
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(|e| Error::io(format_args!("read {}", path.display()), &e))
}

fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).map_err(|e| Error::io(format_args!("write {}", path.display()), &e))
}
