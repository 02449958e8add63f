//! Connections that outlive a run: a process of the user's keeps them, one for each node, and starts lines over them for
//! whoever may reach its socket.
//!
//! The process holds nothing else. Each run sends how it reaches nodes, and configuration, known hosts and keys are read for it
//! as they are without this; only a node that is still reached in the very same way gets the connection that is open.
//! What a run asks goes through sockets of its own, one for each node at a time, so that the kernel paces the streams.

mod client;
mod keeper;
mod wire;

pub use client::Persisted;
pub use keeper::keep;
pub use wire::How;

use base::{Code, Error, Result};
use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

/// The directory that says which messages are understood: processes of other versions have others.
const VERSION: &str = "persist-2";

/// Where the process of a user listens, in a directory that nobody else may enter.
fn private_dir(base: &Path) -> Result<PathBuf> {
    let dir = base.join(VERSION);
    rt::files::private_dir(&dir)?;
    let doing = |e: std::io::Error| Error::io(format_args!("look at {}", dir.display()), &e);
    let metadata = fs::symlink_metadata(&dir).map_err(doing)?;
    let ours = metadata.is_dir() && metadata.uid() == rt::process::user();
    if ours && metadata.permissions().mode().is_multiple_of(0o100) {
        return Ok(dir);
    }
    Err(Error::new(Code::Forbidden, format!("others may enter {}", dir.display()))
        .hint("remove it, or give it to yourself with mode 0700"))
}

fn socket(dir: &Path) -> PathBuf {
    dir.join("socket")
}
