//! A user id, namespaces and limits of its own for one operation, by the kernel's control groups and the system's own
//! tools: `setpriv` gives the user, `prlimit` the size of files, `bwrap` (bubblewrap) the namespaces.

use crate::{
    Limits,
    groups::{self, Group},
    place::{RECORD, open_dir},
};
use base::{Error, Result};
use std::{
    fs,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
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

/// How often is looked whether an operation keeps its limits.
const LOOK: Duration = Duration::from_millis(200);

/// A directory, a user and a control group for one operation. Dropping it ends all that runs in it, waits for that (two
/// seconds at most), and removes the directory.
#[derive(Debug)]
pub struct Sandbox {
    /// Before the directory: what runs ends before its files go.
    group: Group,
    limits: Limits,
    dir: Directory,
    user: u32,
    program: PathBuf,
    /// Where the decoy is shown, inside.
    decoy_of: PathBuf,
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
        groups::possible()?;
        let mut probe = rt::process::command("setpriv");
        let user = FIRST_USER.to_string();
        probe.args(["--reuid", &user, "--regid", &user, "--clear-groups", "--no-new-privs"]);
        probe.args(["prlimit", "--core=0", "bwrap", "--unshare-all", "--ro-bind", "/", "/", "true"]);
        match rt::process::run(probe, Duration::from_secs(10)).await {
            Ok(_) => Ok(()),
            Err(e) => refuse(
                e.to_string(),
                "install bubblewrap and util-linux, and allow unprivileged user namespaces",
            ),
        }
    }

    /// Makes the directory of an operation below `base`, and its control group. `number` tells apart those that run at the
    /// same time, and `name` those of this host. `state` is the controller's state directory, for the decoy.
    pub fn create(
        base: &Path,
        name: &str,
        number: u32,
        program: &Path,
        state: &Path,
        limits: Limits,
    ) -> Result<Self> {
        let user = FIRST_USER + number % USERS;
        open_dir(base)?;
        let dir = Directory(base.join(name));
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
        let group = Group::named(name, limits)?;
        let files = [
            (RECORD, group.record()),
            // Programs like ssh ask who they are.
            ("passwd", format!("root:x:0:0::/:/bin/false\nrunner:x:{user}:{user}::{HOME}:/bin/sh\n")),
            ("group", format!("root:x:0:\nrunner:x:{user}:\n")),
        ];
        for (file, text) in files {
            let path = dir.join(file);
            fs::write(&path, text).map_err(|e| Error::io(format_args!("write {}", path.display()), &e))?;
        }
        crate::decoy::make(state, &dir.join("decoy"))?;
        group.make()?;
        Ok(Sandbox { group, limits, dir, user, program: program.to_owned(), decoy_of: state.to_owned() })
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

    /// Waits for something that the operation does, unless it meets one of its limits first. The caller then ends it, by
    /// dropping this sandbox.
    ///
    /// # Errors
    /// [`base::Code::Exhausted`] that says which limit it has met.
    pub async fn limited<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let exceeded = async {
            loop {
                self.group.within_limits()?;
                rt::clock::sleep(LOOK).await;
            }
        };
        tokio::select! {
            done = work => self.group.within_limits().and(done),
            met = exceeded => met,
        }
    }

    /// A command inside: `argv` as it is to be run there. It dies with this process.
    pub fn command<S: AsRef<str>>(&self, argv: &[S], env: &[(&str, &str)]) -> Command {
        let user = self.user.to_string();
        let mut command = self.group.command("setpriv");
        command.args(["--reuid", &user, "--regid", &user, "--clear-groups", "--no-new-privs"]);
        command.args(["prlimit", "--core=0", &format!("--fsize={}", self.limits.file.bytes())]);
        command.arg("bwrap").args(self.namespaces());
        for (name, value) in env {
            command.args(["--setenv", name, value]);
        }
        command.arg("--").args(argv.iter().map(AsRef::as_ref));
        command.current_dir("/");
        command
    }

    fn namespaces(&self) -> Vec<String> {
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
        add(&["--size", &self.limits.file.bytes().to_string(), "--tmpfs", "/tmp"]);
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

/// A directory that goes with its owner.
#[derive(Debug)]
struct Directory(PathBuf);

impl std::ops::Deref for Directory {
    type Target = Path;
    fn deref(&self) -> &Path {
        &self.0
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
