//! A file of output for each node.

use crate::engine::{Event, Observer};
use base::{Error, Result};
use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt, ready};
use inventory::Node;
use parking_lot::Mutex;
use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

/// Writes `NODE.stdout` in a directory: standard output and standard error as they arrive. The files of a run before are
/// removed when the node is queued; those of other nodes stay.
#[derive(Debug)]
pub struct Logs {
    dir: PathBuf,
    pub(super) files: Vec<Mutex<Log>>,
}

#[derive(Debug, Default)]
pub(super) enum Log {
    #[default]
    Closed,
    Open(File),
    /// Nothing more is written.
    Broken(Error),
}

impl Logs {
    /// For so many nodes. Makes the directory.
    ///
    /// # Errors
    /// Where it cannot be made.
    pub fn new(dir: impl Into<PathBuf>, total: usize) -> Result<Self> {
        let dir = dir.into();
        let made = fs::create_dir_all(&dir);
        made.map_err(|e| Error::io(format_args!("make the directory {}", dir.display()), &e))?;
        Ok(Logs { dir, files: (0..total).map(|_| Mutex::default()).collect() })
    }

    /// The file of a node.
    pub fn path(&self, node: &str) -> PathBuf {
        self.dir.join(format!("{}.stdout", file_name(node)))
    }

    /// Which files are not whole, and why. The commands went on.
    pub fn broken(self) -> Vec<Error> {
        let logs = self.files.into_iter().map(Mutex::into_inner);
        logs.filter_map(|log| if let Log::Broken(error) = log { Some(error) } else { None }).collect()
    }

    /// Does something with the file of a node, unless it is broken.
    fn with(&self, index: usize, node: &Node, work: impl FnOnce(&mut Log, &Path) -> io::Result<()>) {
        let mut log = self.files[index].lock();
        if matches!(*log, Log::Broken(_)) {
            return;
        }
        let path = self.path(&node.name);
        if let Err(e) = work(&mut log, &path) {
            *log = Log::Broken(Error::io(
                format_args!("write the output of {} to {}", node.name, path.display()),
                &e,
            ));
        }
    }

    fn remove(&self, index: usize, node: &Node) {
        self.with(index, node, |_, path| match fs::remove_file(path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
            _ => Ok(()),
        });
    }

    /// A new file, also where another run has just made one.
    fn open(&self, index: usize, node: &Node) {
        self.with(index, node, |log, path| {
            let _ = fs::remove_file(path);
            *log = Log::Open(File::create(path)?);
            Ok(())
        });
    }

    fn write(&self, index: usize, node: &Node, bytes: &Bytes) {
        self.with(index, node, |log, _| match log {
            Log::Open(file) => file.write_all(bytes),
            _ => Ok(()),
        });
    }

    fn close(&self, index: usize, node: &Node) {
        self.with(index, node, |log, _| {
            *log = Log::Closed;
            Ok(())
        });
    }
}

/// A name that leads to no other directory.
fn file_name(node: &str) -> String {
    let safe = node.replace('%', "%25").replace('/', "%2F").replace('\0', "%00");
    match safe.strip_prefix('.') {
        Some(rest) => format!("%2E{rest}"),
        None => safe,
    }
}

impl Observer for Logs {
    fn event<'a>(&'a self, index: usize, node: &'a Node, event: Event<'a>) -> BoxFuture<'a, ()> {
        match event {
            Event::Queued => self.remove(index, node),
            Event::Started => self.open(index, node),
            Event::Output(chunk) => self.write(index, node, chunk.bytes()),
            Event::Finished(_) => self.close(index, node),
            Event::Again(..) | Event::Step(_) => {}
        }
        ready(()).boxed()
    }
}
