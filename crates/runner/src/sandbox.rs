//! A user id, namespaces and limits of its own for one operation, by the system's own tools: `setpriv` gives the user,
//! `prlimit` the limits, `bwrap` (bubblewrap) the namespaces.

use base::{ByteSize, Error, Result};
use std::{
    fs,
    os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::process::Command;

/// Where the program is, inside.
pub const PROGRAM: &str = "/hostler";
/// The directory to work in, inside.
pub const WORK: &str = "/sandbox";
/// The home directory, inside.
pub const HOME: &str = "/sandbox/home";
/// The directory of the sockets, inside.
pub const SOCKETS: &str = "/run/hostler";
/// The broker's socket, inside.
pub const BROKER: &str = "/run/hostler/broker.sock";

/// User ids that no account has: above what `useradd` gives out, below the ids of systemd's containers.
const FIRST_USER: u32 = 400_000_000;
const USERS: u32 = 1 << 16;

/// What an operation may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Memory that one of its processes may address.
    pub memory: ByteSize,
    /// CPU time of one of its processes.
    pub cpu: Duration,
    /// Processes and threads.
    pub processes: u32,
    /// The largest file that it may write, and the size of its `/tmp`.
    pub file: ByteSize,
    /// Time in all.
    pub time: Duration,
    /// Bytes of output that are kept.
    pub output: ByteSize,
    /// Bytes of output after which it is ended: whoever says so much never stops.
    pub flood: ByteSize,
}

impl Default for Limits {
    /// 4 GiB, half an hour of CPU, 512 processes, files of 1 GiB, two hours, 16 MiB of output that are kept and 256 MiB in all.
    fn default() -> Self {
        Limits {
            memory: ByteSize::gib(4),
            cpu: Duration::from_mins(30),
            processes: 512,
            file: ByteSize::gib(1),
            time: Duration::from_hours(2),
            output: ByteSize::mib(16),
            flood: ByteSize::mib(256),
        }
    }
}

/// A directory and a user for one operation. Dropping it removes the directory.
#[derive(Debug)]
pub struct Sandbox {
    dir: PathBuf,
    user: u32,
    program: PathBuf,
    /// Where the decoy is shown, inside.
    decoy_of: PathBuf,
}

/// Makes a directory that everybody may go through and only we write in.
///
/// # Errors
/// [`base::Code::Conflict`] where somebody else has made it.
pub fn open_dir(path: &Path) -> Result<()> {
    let doing = |e: std::io::Error| Error::io(format_args!("make the directory {}", path.display()), &e);
    match fs::DirBuilder::new().mode(0o711).create(path) {
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
        made => made.map_err(doing)?,
    }
    let there = fs::symlink_metadata(path).map_err(doing)?;
    if !there.is_dir() || there.uid() != rustix::process::geteuid().as_raw() {
        return Err(Error::conflict(format!("{} belongs to somebody else", path.display()))
            .hint("remove it, then try again"));
    }
    fs::set_permissions(path, fs::Permissions::from_mode(0o711)).map_err(doing)
}

/// Removes a directory with all that is in it, where there is one.
pub fn remove_dir(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::io(format_args!("remove {}", path.display()), &e))
        }
        _ => Ok(()),
    }
}

impl Sandbox {
    /// Whether this host can keep code of others apart.
    ///
    /// # Errors
    /// [`base::Code::Unavailable`] that says what is missing.
    pub async fn available() -> Result<()> {
        let refuse = |why: String, hint: &str| {
            Err(Error::unavailable("this host cannot keep a fleet directory's code apart")
                .because(why)
                .hint(hint))
        };
        if !rustix::process::geteuid().is_root() {
            return refuse(
                "the controller does not run as root, so it cannot give each operation a user of its own"
                    .into(),
                "run the controller as root, or use the directory with the CLI from your own account",
            );
        }
        let mut probe = rt::process::command("setpriv");
        let user = FIRST_USER.to_string();
        probe.args([
            "--reuid",
            &user,
            "--regid",
            &user,
            "--clear-groups",
            "--no-new-privs",
            "prlimit",
            "--nproc=64",
        ]);
        probe.args(["bwrap", "--unshare-all", "--ro-bind", "/", "/", "true"]);
        match rt::process::run(probe, Duration::from_secs(10)).await {
            Ok(_) => Ok(()),
            Err(e) => refuse(
                e.to_string(),
                "install bubblewrap and util-linux, and allow unprivileged user namespaces",
            ),
        }
    }

    /// Makes the directory of an operation below `base`. `number` tells apart those that run at the same time.
    /// `state` is the controller's state directory, for the decoy.
    pub fn create(base: &Path, name: &str, number: u32, program: &Path, state: &Path) -> Result<Self> {
        let user = FIRST_USER + number % USERS;
        open_dir(base)?;
        let dir = base.join(name);
        let make = |path: &Path, mode: u32| {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(mode)
                .create(path)
                .and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(mode)))
        };
        let own = |path: &Path| std::os::unix::fs::chown(path, Some(user), Some(user));
        let made = (|| {
            make(&dir, 0o711)?;
            for (part, mode) in
                [("work", 0o700), ("work/home", 0o700), ("work/home/.ssh", 0o700), ("sockets", 0o711)]
            {
                make(&dir.join(part), mode)?;
            }
            for part in ["work", "work/home", "work/home/.ssh"] {
                own(&dir.join(part))?;
            }
            Ok::<_, std::io::Error>(())
        })();
        made.map_err(|e| Error::io(format_args!("make {}", dir.display()), &e))?;
        // Programs like ssh ask who they are.
        let accounts = [
            ("passwd", format!("root:x:0:0::/:/bin/false\nrunner:x:{user}:{user}::{HOME}:/bin/sh\n")),
            ("group", format!("root:x:0:\nrunner:x:{user}:\n")),
        ];
        for (file, text) in accounts {
            let path = dir.join(file);
            fs::write(&path, text).map_err(|e| Error::io(format_args!("write {}", path.display()), &e))?;
        }
        crate::decoy::make(state, &dir.join("decoy"))?;
        Ok(Sandbox { dir, user, program: program.to_owned(), decoy_of: state.to_owned() })
    }

    /// The user id that everything in it has.
    pub fn user(&self) -> u32 {
        self.user
    }

    /// A file of the work directory, as it is outside.
    pub fn work(&self, name: &str) -> PathBuf {
        self.dir.join("work").join(name)
    }

    /// A socket, as it is outside.
    pub fn socket(&self, name: &str) -> PathBuf {
        self.dir.join("sockets").join(name)
    }

    /// The decoy, as it is outside.
    pub fn decoy(&self) -> PathBuf {
        self.dir.join("decoy")
    }

    /// Writes a file of the work directory, for the operation's user.
    pub fn write(&self, name: &str, content: &[u8]) -> Result<()> {
        let path = self.work(name);
        let written = fs::write(&path, content)
            .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(0o600)))
            .and_then(|()| std::os::unix::fs::chown(&path, Some(self.user), Some(self.user)));
        written.map_err(|e| Error::io(format_args!("write {}", path.display()), &e))
    }

    /// Lets the operation's user speak to a socket of ours.
    pub fn open_socket(&self, name: &str) -> Result<()> {
        let path = self.socket(name);
        std::os::unix::fs::chown(&path, Some(self.user), Some(self.user))
            .map_err(|e| Error::io(format_args!("give {} to its user", path.display()), &e))
    }

    /// A command inside: `argv` as it is to be run there. It dies with this process.
    pub fn command<S: AsRef<str>>(&self, argv: &[S], env: &[(&str, &str)], limits: &Limits) -> Command {
        let user = self.user.to_string();
        let mut command = rt::process::command("setpriv");
        command.args(["--reuid", &user, "--regid", &user, "--clear-groups", "--no-new-privs"]);
        command.arg("prlimit").args(resource_limits(limits));
        command.arg("bwrap").args(self.namespaces(limits));
        for (name, value) in env {
            command.args(["--setenv", name, value]);
        }
        command.arg("--").args(argv.iter().map(AsRef::as_ref));
        command.current_dir("/");
        command
    }

    fn namespaces(&self, limits: &Limits) -> Vec<String> {
        let mut args: Vec<String> = Vec::new();
        let mut add = |words: &[&str]| args.extend(words.iter().map(|w| (*w).to_owned()));
        add(&["--unshare-all", "--die-with-parent", "--new-session", "--clearenv", "--hostname", "runner"]);
        add(&["--ro-bind", "/usr", "/usr", "--proc", "/proc", "--dev", "/dev"]);
        for link in ["bin", "sbin", "lib", "lib64"] {
            add(&["--ro-bind-try", &format!("/{link}"), &format!("/{link}")]);
        }
        for file in ["hosts", "ssl", "ca-certificates", "alternatives", "ld.so.cache", "localtime"] {
            let path = format!("/etc/{file}");
            add(&["--ro-bind-try", &path, &path]);
        }
        add(&["--size", &limits.file.bytes().to_string(), "--tmpfs", "/tmp"]);
        let outside = |part: &str| self.dir.join(part).to_string_lossy().into_owned();
        add(&["--ro-bind", &outside("passwd"), "/etc/passwd", "--ro-bind", &outside("group"), "/etc/group"]);
        add(&["--ro-bind", &outside("decoy"), &self.decoy_of.to_string_lossy()]);
        add(&["--bind", &outside("work"), WORK, "--bind", &outside("sockets"), SOCKETS]);
        add(&["--ro-bind", &self.program.to_string_lossy(), PROGRAM, "--chdir", WORK]);
        add(&["--setenv", "HOME", HOME, "--setenv", "PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"]);
        add(&["--setenv", "USER", "runner", "--setenv", "LANG", "C.UTF-8", "--setenv", "TMPDIR", "/tmp"]);
        args
    }
}

fn resource_limits(limits: &Limits) -> [String; 5] {
    [
        format!("--as={}", limits.memory.bytes()),
        format!("--cpu={}", limits.cpu.as_secs()),
        format!("--nproc={}", limits.processes),
        format!("--fsize={}", limits.file.bytes()),
        "--core=0".to_owned(),
    ]
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}
