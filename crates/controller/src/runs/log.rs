//! What operations tell: bounded files, read by offset, followed by waking.

use base::{Error, Result, Uid};
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    fs::{self, File, OpenOptions},
    io::{Read, Seek, SeekFrom, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio::sync::watch;

/// Bytes read at a time.
const CHUNK: u64 = 64 * 1024;

/// What an operation tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Told {
    /// What its program says.
    Output,
    /// What happens on its nodes: an [`api::fleet::NodeEvent`] a line.
    Events,
}

/// How long the logs are that somebody writes now.
type Lengths = HashMap<(Uid, Told), watch::Sender<u64>>;

/// The logs of all operations. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Logs {
    dir: PathBuf,
    open: Arc<Mutex<Lengths>>,
}

impl Logs {
    pub(crate) fn open(data_dir: &Path) -> Result<Self> {
        let dir = data_dir.join("operations");
        rt::files::private_dir(&dir)?;
        Ok(Logs { dir, open: Arc::default() })
    }

    fn path(&self, operation: Uid, told: Told) -> PathBuf {
        let ending = match told {
            Told::Output => "log",
            Told::Events => "events",
        };
        self.dir.join(format!("{operation}.{ending}"))
    }

    /// Begins a log of an operation anew, keeping at most `most` bytes of it.
    pub(crate) fn begin(&self, operation: Uid, told: Told, most: u64) -> Result<Log> {
        let path = self.path(operation, told);
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path);
        let file = file.map_err(|e| Error::io(format_args!("open {}", path.display()), &e))?;
        let length = watch::Sender::new(0);
        self.open.lock().insert((operation, told), length.clone());
        Ok(Log { logs: self.clone(), what: (operation, told), file, length, room: most })
    }

    /// Removes the logs of an operation.
    pub(crate) fn remove(&self, operation: Uid) {
        for told in [Told::Output, Told::Events] {
            let _ = fs::remove_file(self.path(operation, told));
        }
    }

    /// A reader from `offset` on; with `follow` it goes on while the operation does.
    pub fn read(&self, operation: Uid, told: Told, offset: u64, follow: bool) -> Result<LogReader> {
        let path = self.path(operation, told);
        let file = match File::open(&path) {
            Ok(file) => Some(file),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => None,
            Err(e) => return Err(Error::io(format_args!("open {}", path.display()), &e)),
        };
        let written =
            self.open.lock().get(&(operation, told)).map(watch::Sender::subscribe).filter(|_| follow);
        Ok(LogReader { file, at: offset, written })
    }
}

/// A log that is being written. Dropping it ends those who follow.
#[derive(Debug)]
pub(crate) struct Log {
    logs: Logs,
    what: (Uid, Told),
    file: File,
    length: watch::Sender<u64>,
    room: u64,
}

impl Log {
    /// Adds bytes. What is beyond the room is dropped, and the log says so once.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        if self.room == 0 {
            return Ok(());
        }
        let kept = &bytes[..bytes.len().min(usize::try_from(self.room).unwrap_or(usize::MAX))];
        self.room -= kept.len() as u64;
        let end: &[u8] = if self.room == 0 { b"\n... more than this is not kept\n" } else { b"" };
        let written = self.file.write_all(kept).and_then(|()| self.file.write_all(end));
        written.map_err(|e| Error::io("write the log of an operation", &e))?;
        self.length.send_modify(|length| *length += (kept.len() + end.len()) as u64);
        Ok(())
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.logs.open.lock().remove(&self.what);
    }
}

/// Reads a log in pieces.
#[derive(Debug)]
pub struct LogReader {
    file: Option<File>,
    at: u64,
    written: Option<watch::Receiver<u64>>,
}

impl LogReader {
    /// The next piece; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>> {
        let Some(file) = &mut self.file else { return Ok(None) };
        loop {
            // Asked before the file is read: what is written in between wakes us again.
            let ended = match &mut self.written {
                Some(written) => {
                    written.mark_unchanged();
                    written.has_changed().is_err()
                }
                None => true,
            };
            let mut bytes = Vec::new();
            let read = file
                .seek(SeekFrom::Start(self.at))
                .and_then(|_| Read::by_ref(file).take(CHUNK).read_to_end(&mut bytes));
            read.map_err(|e| Error::io("read the log of an operation", &e))?;
            if !bytes.is_empty() {
                self.at += bytes.len() as u64;
                return Ok(Some(bytes));
            }
            if ended {
                return Ok(None);
            }
            if let Some(written) = &mut self.written {
                let _ = written.changed().await;
            }
        }
    }
}
