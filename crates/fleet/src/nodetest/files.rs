//! The files of a container, to see what a script has changed.

use super::way::Way;
use crate::{resource::word, session::Command};
use base::Result;
use std::{collections::BTreeSet, time::Duration};

/// What is not of the system's files, or differs from one deployment to the next: logs of them, and their lock.
const IGNORED: [&str; 10] = [
    "/proc",
    "/sys",
    "/dev",
    "/run",
    "/tmp",
    "/var/tmp",
    "/var/cache",
    "/var/log",
    "/var/run",
    "/var/lib/hostler",
];
/// The most that the list may be long.
const MOST: usize = 64 << 20;
/// How long it may take to list them.
const PATIENCE: Duration = Duration::from_mins(5);
/// How many changed files are named.
const NAMED: usize = 10;

/// Every file with what it is: mode, owner and the digest of its content, a line each. Times do not count.
pub struct Files(BTreeSet<String>);

/// All files that are there, but for these directories.
///
/// # Errors
/// They could not be listed.
pub async fn all(way: &Way, ignored: &[String]) -> Result<Files> {
    let ignored = IGNORED.into_iter().chain(ignored.iter().map(|dir| dir.trim_end_matches('/')));
    let pruned: Vec<String> = ignored.map(|dir| format!("-path {}", word(dir))).collect();
    // Two blanks before the path, as sha256sum has it. A file that goes away meanwhile is none.
    let script = format!(
        "for tool in find stat sha256sum; do\n\
         command -v $tool >/dev/null || {{ echo \"there is no $tool\" >&2; exit 1; }}\ndone\n\
         list() {{ find / -xdev \\( {} \\) -prune -o \"$@\" {{}} + 2>/dev/null; }}\n\
         list -exec stat -c '%A %u:%g  %n'\n\
         list -type l -exec stat -c '%N'\n\
         list -type f -exec sha256sum\n:\n",
        pruned.join(" -o ")
    );
    let listed = way
        .output(Command { timeout: Some(PATIENCE), ..Command::sh(script) }, MOST)
        .await?
        .success("the list of files")?;
    Ok(Files(String::from_utf8_lossy(&listed).lines().map(ToOwned::to_owned).collect()))
}

impl Files {
    /// Which files are others in `after`, a sentence each.
    pub fn changes(&self, after: &Files) -> Vec<String> {
        let paths: BTreeSet<&str> = self.0.symmetric_difference(&after.0).map(|line| path(line)).collect();
        let mut changes: Vec<String> =
            paths.iter().take(NAMED).map(|path| format!("a script changed {path} again")).collect();
        if let Some(more) = paths.len().checked_sub(NAMED).filter(|n| *n > 0) {
            changes.push(format!("and {more} more"));
        }
        changes
    }
}

fn path(line: &str) -> &str {
    line.split_once("  ").map_or(line, |(_, path)| path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(lines: &[&str]) -> Files {
        Files(lines.iter().map(|line| (*line).to_owned()).collect())
    }

    #[test]
    fn changed_files_are_named_once() {
        let before = files(&["-rw-r--r-- 0:0  /a", "1234  /a", "-rw-r--r-- 0:0  /b  c"]);
        assert!(
            before.changes(&files(&["1234  /a", "-rw-r--r-- 0:0  /a", "-rw-r--r-- 0:0  /b  c"])).is_empty()
        );
        let after = files(&["-rw------- 0:0  /a", "5678  /a"]);
        assert_eq!(before.changes(&after), ["a script changed /a again", "a script changed /b  c again"]);
    }
}
