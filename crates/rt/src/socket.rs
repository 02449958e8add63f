//! Unix sockets at any path. A socket address holds 108 bytes on Linux and 104 on macOS; state directories may be deeper.

use std::{io, path::Path};
use tokio::net::UnixStream;

/// What fits everywhere, with the final zero byte.
const LONGEST: usize = 100;

/// Connects to a socket, however long its path.
pub async fn connect(path: &Path) -> io::Result<UnixStream> {
    if path.as_os_str().len() <= LONGEST {
        return UnixStream::connect(path).await;
    }
    let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    };
    let short = ShortDir::new(dir)?;
    UnixStream::connect(short.path().join(name)).await
}

/// Another, short path to a directory. The kernel gives one through a descriptor.
#[cfg(target_os = "linux")]
struct ShortDir(std::os::fd::OwnedFd);

#[cfg(target_os = "linux")]
impl ShortDir {
    fn new(dir: &Path) -> io::Result<Self> {
        use rustix::fs::{Mode, OFlags};
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(ShortDir(rustix::fs::open(dir, flags, Mode::empty())?))
    }

    fn path(&self) -> std::path::PathBuf {
        use std::os::fd::AsRawFd;
        format!("/proc/self/fd/{}", self.0.as_raw_fd()).into()
    }
}

/// Another, short path to a directory: a symbolic link, removed when dropped.
#[cfg(not(target_os = "linux"))]
struct ShortDir(std::path::PathBuf);

#[cfg(not(target_os = "linux"))]
impl ShortDir {
    fn new(dir: &Path) -> io::Result<Self> {
        let link = std::path::PathBuf::from(format!("/tmp/hostler-{}", crate::ids::uid()));
        std::os::unix::fs::symlink(std::fs::canonicalize(dir)?, &link)?;
        Ok(ShortDir(link))
    }

    fn path(&self) -> std::path::PathBuf {
        self.0.clone()
    }
}

#[cfg(not(target_os = "linux"))]
impl Drop for ShortDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}
