//! Where platforms are and what they are called.

use std::{
    fs,
    path::{Component, Path, PathBuf},
};

/// A path as one would write it in `hostler.yaml`: relative to the fleet directory where it is below it, from `~/` where
/// it is below the user's home.
pub fn written(path: &Path, dir: &Path, home: Option<&Path>) -> String {
    let path = plain(&dir.join(path));
    if let Ok(below) = path.strip_prefix(dir) {
        return if below.as_os_str().is_empty() { ".".into() } else { below.display().to_string() };
    }
    match home.and_then(|home| path.strip_prefix(home).ok()) {
        Some(below) => format!("~/{}", below.display()),
        None => path.display().to_string(),
    }
}

/// Without `.` and `..`.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                plain.pop();
            }
            Component::CurDir => {}
            part => plain.push(part),
        }
    }
    plain
}

/// What that system calls a platform that was given no name: after the first remote of its repository, else after its
/// directory.
pub fn name_of(path: &Path) -> String {
    let config = fs::read_to_string(path.join(".git/config")).unwrap_or_default();
    let remote = config.lines().find_map(|line| {
        let url = line.trim().strip_prefix("url")?.trim_start().strip_prefix('=')?;
        Some(name_of_remote(url.trim()))
    });
    remote.unwrap_or_else(|| path.file_name().unwrap_or_default().to_string_lossy().into_owned())
}

/// What it calls one that comes from this repository.
pub fn name_of_remote(url: &str) -> String {
    let last = url.trim_end_matches('/').rsplit(['/', ':']).next().unwrap_or_default();
    last.strip_suffix(".git").unwrap_or(last).to_owned()
}
