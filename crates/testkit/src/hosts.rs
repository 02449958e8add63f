//! Hosts for tests, as real as one machine can have them: each with its own processes, network address, name, users and
//! files, its own sshd on port 22, and nothing of it left when its handle is dropped.
//!
//! A host is a set of namespaces over the file system of this machine: it sees what is installed here, and what it
//! writes stays in memory. [`Network::operator`] is where the program under test runs: it knows the other hosts by name
//! and reaches nothing else. Making them takes root; see [`missing`].

use base::{Error, Result};
use rt::process::Output;
use std::{
    fmt::Write as _,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process::{Child, ChildStdin, Command},
};

/// How long a step may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);
/// The name of the host that the program under test runs on.
const OPERATOR: &str = "operator";

/// Why this machine has no such hosts, if so: not root, no namespaces, no overlay file system, no sshd.
pub async fn missing() -> Option<String> {
    let probe = "mount -t tmpfs none /mnt && mkdir /mnt/u /mnt/w /mnt/r && \
                 mount -t overlay -o lowerdir=/,upperdir=/mnt/u,workdir=/mnt/w overlay /mnt/r && \
                 ip link add bridge type bridge && test -x /usr/sbin/sshd";
    let mut unshare = rt::process::command("unshare");
    unshare.args(NAMESPACES).args(["sh", "-c", probe]);
    let error = rt::process::run(unshare, PATIENCE).await.err()?;
    Some(format!(
        "this machine gives no namespaces with a network ({})",
        error.cause.unwrap_or(error.message)
    ))
}

/// What `unshare` makes anew for a host.
const NAMESPACES: [&str; 6] = ["--net", "--mount", "--uts", "--ipc", "--pid", "--fork"];

/// Hosts that reach each other by name, and the operator among them.
#[derive(Debug)]
pub struct Network {
    operator: Host,
    hosts: Vec<Host>,
    files: TempDir,
}

impl Network {
    /// Makes hosts with these full names (`web1.example.org`). The operator may log in to each as root by the key at
    /// `/root/.ssh/id_ed25519`. `visible` are directories of this machine that the hosts see as they are, e.g. where the
    /// program under test is.
    ///
    /// # Errors
    /// Where a host cannot be made: see [`missing`].
    pub async fn start(names: &[&str], visible: &[&Path]) -> Result<Self> {
        let files = tempfile::tempdir().map_err(|e| Error::io("make a directory", &e))?;
        write_files(files.path(), names).await?;
        let mut operator = Host::begin(OPERATOR, 0, files.path(), visible)?;
        let mut hosts = Vec::with_capacity(names.len());
        for (number, name) in names.iter().enumerate() {
            hosts.push(Host::begin(name, number + 1, files.path(), visible)?);
        }
        operator.learn_pid().await?;
        for host in &mut hosts {
            host.learn_pid().await?;
        }
        connect(&operator, &hosts).await?;
        for host in std::iter::once(&mut operator).chain(&mut hosts) {
            host.go().await?;
        }
        for host in std::iter::once(&operator).chain(&hosts) {
            host.listens_at(22).await?;
        }
        Ok(Network { operator, hosts, files })
    }

    /// Where the program under test runs.
    pub fn operator(&self) -> &Host {
        &self.operator
    }

    /// The others, in the order of their making.
    pub fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    /// The others, to be changed.
    pub fn hosts_mut(&mut self) -> &mut [Host] {
        &mut self.hosts
    }

    /// The private key that all hosts accept for root, as a file of this machine.
    pub fn user_key(&self) -> PathBuf {
        self.files.path().join("user_key")
    }
}

/// One host. Dropping it ends all its processes.
#[derive(Debug)]
pub struct Host {
    name: String,
    address: Ipv4Addr,
    pid: u32,
    /// Open as long as the host is.
    line: ChildStdin,
    process: Child,
}

impl Host {
    fn begin(name: &str, number: usize, files: &Path, visible: &[&Path]) -> Result<Self> {
        let address = address(number);
        let mut unshare = rt::process::command("unshare");
        unshare.args(NAMESPACES).args(["bash", "-c", include_str!("hosts/host.sh"), "host", name]);
        unshare.arg(format!("{address}/16")).arg(files).args(visible);
        unshare.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = unshare.spawn().map_err(|e| rt::process::cannot_start("unshare", &e))?;
        let line = process.stdin.take().ok_or_else(|| Error::internal("a host has no input"))?;
        Ok(Host { name: name.to_owned(), address, pid: 0, line, process })
    }

    /// Reads the line that says that its files are ready.
    async fn learn_pid(&mut self) -> Result<()> {
        let stdout = self.process.stdout.as_mut().ok_or_else(|| Error::internal("a host has no output"))?;
        let mut line = String::new();
        let mut reader = BufReader::new(stdout);
        let read = rt::clock::timeout(PATIENCE, "the start of a host", reader.read_line(&mut line)).await?;
        read.map_err(|e| Error::io("read from a host", &e))?;
        let Ok(pid) = line.trim().parse() else { return Err(self.failed().await) };
        self.pid = pid;
        Ok(())
    }

    async fn failed(&mut self) -> Error {
        let mut said = String::new();
        if let Some(stderr) = &mut self.process.stderr {
            let read = tokio::io::AsyncReadExt::read_to_string(stderr, &mut said);
            let _ = rt::clock::timeout(PATIENCE, "the end of a host", read).await;
        }
        Error::internal(format!("the host {} does not start", self.name)).because(said.trim())
    }

    async fn go(&mut self) -> Result<()> {
        self.line.write_all(b"go\n").await.map_err(|e| Error::io("speak to a host", &e))
    }

    /// Its full name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its address, which only this network knows.
    pub fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// Its root directory as this process sees it: tests read and write its files here. A link in it that starts with a
    /// slash leads out of it.
    pub fn root(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root", self.pid))
    }

    /// A program on this host, as root in `/root`, with only `HOME`, `PATH` and `LANG` in its environment. Ending the
    /// command does not end the program, whose process id is another one; the end of the host does.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = rt::process::command("nsenter");
        command.args(["-m", "-u", "-i", "-n", "-p", "-t", &self.pid.to_string(), "--"]);
        command.args(["sh", "-c", "cd && exec \"$@\"", "sh"]).arg(program);
        command.env_clear().env("HOME", "/root").env("LANG", "C.UTF-8");
        command.env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        command
    }

    /// Runs lines of `sh` to their end.
    ///
    /// # Errors
    /// Where the last of them fails, or after half a minute.
    pub async fn run(&self, script: &str) -> Result<Output> {
        let mut sh = self.command("sh");
        sh.args(["-c", script]);
        rt::process::run(sh, PATIENCE).await
    }

    /// Boots systemd, with nothing to start but sshd. From then on programs of this host run beside it.
    ///
    /// # Errors
    /// Where it does not come up, which its log `/var/log/systemd.log` may explain.
    pub async fn boot_systemd(&mut self) -> Result<()> {
        let mut bash = self.command("bash");
        bash.args(["-c", include_str!("hosts/systemd.sh")]);
        rt::process::run(bash, PATIENCE).await?;
        let first = self.pid;
        let started = async {
            loop {
                let unshare = child(first, "unshare");
                if let Some(pid) = unshare.and_then(|pid| child(pid, "systemd")) {
                    return pid;
                }
                rt::clock::sleep(Duration::from_millis(5)).await;
            }
        };
        self.pid = rt::clock::timeout(PATIENCE, "the start of systemd", started).await?;
        self.run("until systemctl is-system-running | grep -qE 'running|degraded'; do sleep 0.02; done")
            .await?;
        self.listens_at(22).await
    }

    /// Puts OpenRC there, from Debian packages in a directory that the host sees, and starts it with nothing to do.
    ///
    /// # Errors
    /// Where it does not start, which its log `/var/log/openrc.log` may explain.
    pub async fn start_openrc(&self, packages: &Path) -> Result<()> {
        let mut bash = self.command("bash");
        bash.args(["-c", include_str!("hosts/openrc.sh"), "openrc"]).arg(packages);
        rt::process::run(bash, PATIENCE).await.map(drop)
    }

    /// Starts a web server at port 80 that answers with the text of `/root/hello_world.txt`.
    ///
    /// # Errors
    /// Where it does not start.
    pub async fn serve_page(&self) -> Result<()> {
        let mut shell = self.command("sh");
        shell.args(["-c", "perl -e \"$1\" >/var/log/page.log 2>&1 &", "sh", include_str!("hosts/page.pl")]);
        rt::process::run(shell, PATIENCE).await?;
        self.listens_at(80).await
    }

    /// Waits until something listens at this port, on any address.
    async fn listens_at(&self, port: u16) -> Result<()> {
        // /proc/PID/net/tcp: a local address of all zeros, the port in hexadecimal, no peer, state 0A (LISTEN). proc(5)
        let socket = format!("00000000:{port:04X} 00000000:0000 0A");
        let table = format!("/proc/{}/net/tcp", self.pid);
        let listening = async {
            while !std::fs::read_to_string(&table).unwrap_or_default().contains(&socket) {
                rt::clock::sleep(Duration::from_millis(5)).await;
            }
        };
        rt::clock::timeout(PATIENCE, &format!("port {port} of {}", self.name), listening).await
    }
}

/// A child of a process by its name.
fn child(parent: u32, name: &str) -> Option<u32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let mut pids = entries.filter_map(|entry| entry.file_name().to_string_lossy().parse().ok());
    pids.find(|pid| {
        // PID (NAME) STATE PARENT ... proc(5)
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let Some((before, after)) = stat.rsplit_once(") ") else { return false };
        let is = after.split(' ').nth(1) == Some(&parent.to_string());
        is && before.ends_with(&format!("({name}"))
    })
}

/// As in Docker's usual network: the operator is its router. They are known to this network alone, so that they can be
/// the same in each.
fn address(number: usize) -> Ipv4Addr {
    let last = if number == 0 { 1 } else { number + 3 };
    let [high, low] = u16::try_from(last).unwrap_or(u16::MAX).to_be_bytes();
    Ipv4Addr::new(172, 17, high, low)
}

async fn write_files(dir: &Path, names: &[&str]) -> Result<()> {
    let mut hosts = "127.0.0.1 localhost\n::1 localhost\n".to_owned();
    for (number, name) in std::iter::once(&OPERATOR).chain(names).enumerate() {
        let _ = writeln!(hosts, "{} {name}", address(number));
    }
    let sshd = "HostKey /etc/ssh/ssh_host_ed25519_key\nPermitRootLogin yes\nUsePAM no\nUseDNS no\n\
                PasswordAuthentication yes\nPrintMotd no\nPrintLastLog no\nSubsystem sftp internal-sftp\n";
    for (name, text) in [("hosts", hosts.as_str()), ("sshd_config", sshd)] {
        std::fs::write(dir.join(name), text).map_err(|e| Error::io(format_args!("write {name}"), &e))?;
    }
    let mut keygen = rt::process::command("ssh-keygen");
    keygen.args(["-q", "-t", "ed25519", "-N", "", "-C", OPERATOR, "-f"]).arg(dir.join("user_key"));
    rt::process::run(keygen, PATIENCE).await?;
    Ok(())
}

/// Gives each host a cable to the bridge of the operator.
async fn connect(operator: &Host, hosts: &[Host]) -> Result<()> {
    let mut cables = String::new();
    for (number, host) in hosts.iter().enumerate() {
        let _ = writeln!(cables, "link add cable{number} type veth peer name eth0 netns {}", host.pid);
        let _ = writeln!(cables, "link set cable{number} master bridge up");
    }
    // Only the network of the operator is entered: the process ids are those of this machine.
    let mut shell = rt::process::command("nsenter");
    shell.args(["-n", "-t", &operator.pid.to_string(), "--"]);
    shell.args(["sh", "-c", "printf %s \"$1\" | ip -batch -", "sh", &cables]);
    rt::process::run(shell, PATIENCE).await?;
    Ok(())
}
