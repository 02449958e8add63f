//! Where control groups can be made: below this process's own in each tree of version 1, below the one that was delegated
//! to this process in the one tree of version 2, or else at its top. Rules: cgroups(7), and systemd's CGROUP_DELEGATION.

use base::{Error, Result};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// The directories of a group, or of the groups that it is made below.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trees {
    /// One directory for all limits (version 2).
    One(PathBuf),
    /// One for each controller, some of which may share one (version 1).
    Each { memory: PathBuf, pids: PathBuf, cpu: PathBuf, cpuacct: PathBuf },
}

/// The controllers that version 2 needs; version 1 counts CPU time by another one, `cpuacct`.
const NEEDED: [&str; 3] = ["cpu", "memory", "pids"];
/// The group at the top of version 2 where nothing was delegated to us.
const TOP: &str = "hostler";
/// The group that the processes of a delegated group move to: only a group without processes can share out limits.
const LEAF: &str = "hostler-controller";

impl Trees {
    /// Where this process can make groups.
    ///
    /// # Errors
    /// [`base::Code::Unavailable`] that says which limits cannot be had, and why.
    pub(super) fn find() -> Result<Self> {
        let read = |path: &str| {
            fs::read_to_string(path).map_err(|e| unavailable(format!("{path} cannot be read: {e}")))
        };
        let (mounts, own) = (read("/proc/self/mountinfo")?, read("/proc/self/cgroup")?);
        let mounts = mounts_of(&mounts);
        let Some(mount) = mounts.iter().find(|m| m.version_2) else {
            return Self::of_version_1(&mounts, &own);
        };
        let lacks = missing(&words(&mount.point.join("cgroup.controllers"))?);
        if lacks.is_empty() {
            return Ok(Trees::One(shared_out(mount, &own)?));
        }
        if mounts.iter().all(|m| m.version_2) {
            let (place, lacks) = (mount.point.display(), lacks.join(" and "));
            return Err(unavailable(format!("the control groups at {place} have no controller {lacks}")));
        }
        Self::of_version_1(&mounts, &own)
    }

    fn of_version_1(mounts: &[Mount<'_>], own: &str) -> Result<Self> {
        let tree = |controller: &str| {
            let has = |list: &str| list.split(',').any(|c| c == controller);
            let mount = mounts.iter().find(|m| !m.version_2 && has(m.options));
            mount.and_then(|m| m.directory(own_path(own, has)?)).ok_or_else(|| {
                unavailable(format!("the kernel offers no control groups for '{controller}' here"))
            })
        };
        Ok(Trees::Each {
            memory: tree("memory")?,
            pids: tree("pids")?,
            cpu: tree("cpu")?,
            cpuacct: tree("cpuacct")?,
        })
    }

    /// The group of this name below.
    pub(super) fn below(&self, name: &str) -> Self {
        match self {
            Trees::One(dir) => Trees::One(dir.join(name)),
            Trees::Each { memory, pids, cpu, cpuacct } => Trees::Each {
                memory: memory.join(name),
                pids: pids.join(name),
                cpu: cpu.join(name),
                cpuacct: cpuacct.join(name),
            },
        }
    }

    /// Each directory once.
    pub(super) fn directories(&self) -> Vec<&Path> {
        match self {
            Trees::One(dir) => vec![dir],
            Trees::Each { memory, pids, cpu, cpuacct } => {
                let mut all: Vec<&Path> = vec![memory, pids, cpu, cpuacct];
                all.sort();
                all.dedup();
                all
            }
        }
    }
}

/// That limits cannot be had.
pub(super) fn unavailable(why: String) -> Error {
    Error::unavailable("this host cannot limit what an operation uses").because(why).hint(
        "have the controllers cpu, memory and pids mounted below /sys/fs/cgroup, writable; in a service of systemd set Delegate=yes",
    )
}

/// A mounted tree of control groups.
#[derive(Debug)]
struct Mount<'a> {
    version_2: bool,
    /// The group that is mounted.
    root: &'a str,
    point: &'a Path,
    /// The controllers of a tree of version 1, among other words.
    options: &'a str,
}

impl Mount<'_> {
    /// The directory of a group of this tree, where it can be seen.
    fn directory(&self, group: &str) -> Option<PathBuf> {
        let below = Path::new(group).strip_prefix(self.root).ok()?;
        let plain = below.components().all(|c| matches!(c, std::path::Component::Normal(_)));
        plain.then(|| self.point.join(below))
    }
}

/// The trees among the mounts (proc_pid_mountinfo(5)).
fn mounts_of(mountinfo: &str) -> Vec<Mount<'_>> {
    let mount = |line| {
        let (place, kind) = str::split_once(line, " - ")?;
        let mut place = place.split(' ').skip(3);
        let (root, point) = (place.next()?, Path::new(place.next()?));
        let mut kind = kind.split(' ');
        let version_2 = match kind.next()? {
            "cgroup2" => true,
            "cgroup" => false,
            _ => return None,
        };
        Some(Mount { version_2, root, point, options: kind.nth(1)? })
    };
    mountinfo.lines().filter_map(mount).collect()
}

/// This process's group in the tree with these controllers (cgroups(7): `/proc/PID/cgroup`).
fn own_path(own: &str, tree: impl Fn(&str) -> bool) -> Option<&str> {
    own.lines().find_map(|line| {
        let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
        tree(controllers).then_some(path)
    })
}

/// A group of version 2 that shares out its limits to the groups below.
fn shared_out(mount: &Mount<'_>, own: &str) -> Result<PathBuf> {
    let own = own_path(own, str::is_empty).and_then(|group| mount.directory(group));
    let delegated = own.as_deref().and_then(|own| {
        own.ancestors().take_while(|dir| dir.starts_with(mount.point)).find(|dir| is_delegated(dir))
    });
    if let Some(dir) = delegated {
        if !shares_out(dir)? {
            empty(dir)?;
            share_out(dir)?;
        }
        return Ok(dir.to_owned());
    }
    share_out(mount.point)?;
    let top = mount.point.join(TOP);
    make(&top)?;
    share_out(&top)?;
    Ok(top)
}

/// Whether systemd has left this group to its service.
fn is_delegated(dir: &Path) -> bool {
    let mut value = [0; 8];
    rustix::fs::getxattr(dir, "trusted.delegate", &mut value).is_ok_and(|n| value.starts_with(b"1") && n == 1)
}

/// The words of a file with one line.
fn words(path: &Path) -> Result<Vec<String>> {
    let text = fs::read_to_string(path)
        .map_err(|e| unavailable(format!("{} cannot be read: {e}", path.display())))?;
    Ok(text.split_ascii_whitespace().map(ToOwned::to_owned).collect())
}

fn missing(has: &[String]) -> Vec<&'static str> {
    NEEDED.into_iter().filter(|needed| !has.iter().any(|h| h == needed)).collect()
}

fn shares_out(dir: &Path) -> Result<bool> {
    Ok(missing(&words(&dir.join("cgroup.subtree_control"))?).is_empty())
}

fn share_out(dir: &Path) -> Result<()> {
    if shares_out(dir)? {
        return Ok(());
    }
    write(&dir.join("cgroup.subtree_control"), "+cpu +memory +pids")
}

/// Moves the processes of a group to one below it.
fn empty(dir: &Path) -> Result<()> {
    let leaf = dir.join(LEAF);
    make(&leaf)?;
    for process in words(&dir.join("cgroup.procs"))? {
        // One that has ended meanwhile is not missed; one that stays is noticed when limits are shared out.
        let _ = fs::write(leaf.join("cgroup.procs"), process);
    }
    Ok(())
}

/// Makes a group, where there is none.
pub(super) fn make(dir: &Path) -> Result<()> {
    match fs::create_dir(dir) {
        Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => {
            Err(unavailable(format!("the control group {} cannot be made: {e}", dir.display())))
        }
        _ => Ok(()),
    }
}

/// Sets something of a group.
pub(super) fn write(path: &Path, value: &str) -> Result<()> {
    fs::write(path, value)
        .map_err(|e| unavailable(format!("'{value}' cannot be written to {}: {e}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPLIT: &str = "\
        31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n\
        32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct\n\
        35 31 0:32 /box /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n\
        39 31 0:36 / /sys/fs/cgroup/pids rw,relatime - cgroup cgroup rw,pids\n\
        41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";
    const OWN: &str = "8:pids:/user.slice\n4:memory:/box/inner\n1:cpu,cpuacct:/\n0::/user.slice\n";

    #[test]
    fn groups_of_version_1_are_made_below_our_own() {
        let trees = Trees::of_version_1(&mounts_of(SPLIT), OWN).unwrap();
        let below = trees.below("x");
        let cpu = Path::new("/sys/fs/cgroup/cpu,cpuacct/x");
        let (memory, pids) =
            (Path::new("/sys/fs/cgroup/memory/inner/x"), Path::new("/sys/fs/cgroup/pids/user.slice/x"));
        assert_eq!(below.directories(), [cpu, memory, pids]);
    }

    #[test]
    fn a_limit_that_cannot_be_had_is_named() {
        let without = SPLIT.replace("rw,pids", "rw,freezer");
        let error = Trees::of_version_1(&mounts_of(&without), OWN).unwrap_err();
        assert!(error.cause.unwrap().contains("'pids'") && error.hint.unwrap().contains("Delegate=yes"));
        // Our own group is not below what is mounted.
        let elsewhere = OWN.replace("/box/inner", "/../other");
        assert!(Trees::of_version_1(&mounts_of(SPLIT), &elsewhere).is_err());
    }
}
