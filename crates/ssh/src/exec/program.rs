//! Commands that the program `ssh` runs for us.

use super::ExecEvent;
use crate::program::Master;
use base::{Error, Result};
use bytes::{Bytes, BytesMut};
use std::sync::Arc;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    process::{Child, ChildStderr, ChildStdin, ChildStdout},
    sync::Mutex,
};

/// The most that is read at once.
const PIECE: usize = 32 << 10;
/// What `ssh` ends with where it failed itself, and where a signal ended the command.
const FAILED: i32 = 255;

/// The direction to the command.
pub(crate) struct ProgramInput(Mutex<Option<ChildStdin>>);

impl ProgramInput {
    pub(crate) fn new(stdin: Option<ChildStdin>) -> Self {
        ProgramInput(Mutex::new(stdin))
    }

    pub(super) async fn stdin(&self, data: &[u8]) -> Result<()> {
        let finished = || Error::conflict("the command has ended and takes no more input");
        let mut stdin = self.0.lock().await;
        let pipe = stdin.as_mut().ok_or_else(finished)?;
        pipe.write_all(data).await.map_err(|e| finished().because(e))
    }

    pub(super) async fn eof(&self) {
        self.0.lock().await.take();
    }

    pub(super) fn into_writer(self) -> Box<dyn AsyncWrite + Send + Unpin> {
        match self.0.into_inner() {
            Some(stdin) => Box::new(stdin),
            None => Box::new(tokio::io::sink()),
        }
    }
}

/// The direction from the command. Dropping it ends the program.
pub(crate) struct ProgramOutput {
    child: Child,
    stdout: Option<ChildStdout>,
    stderr: Option<ChildStderr>,
    master: Arc<Master>,
    done: bool,
}

impl ProgramOutput {
    pub(crate) fn new(mut child: Child, master: Arc<Master>) -> Self {
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        ProgramOutput { child, stdout, stderr, master, done: false }
    }

    /// Safe to cancel.
    pub(super) async fn next(&mut self) -> Option<ExecEvent> {
        while self.stdout.is_some() || self.stderr.is_some() {
            let (mut out, mut err) = (BytesMut::new(), BytesMut::new());
            tokio::select! {
                data = read(&mut self.stdout, &mut out), if self.stdout.is_some() => {
                    if let Some(data) = data {
                        return Some(ExecEvent::Stdout(data));
                    }
                    self.stdout = None;
                }
                data = read(&mut self.stderr, &mut err), if self.stderr.is_some() => {
                    if let Some(data) = data {
                        return Some(ExecEvent::Stderr(data));
                    }
                    self.stderr = None;
                }
            }
        }
        if self.done {
            return None;
        }
        let status = self.child.wait().await;
        self.done = true;
        let code = status.ok()?.code()?;
        if code == FAILED && self.master.is_gone_soon().await {
            return None;
        }
        Some(ExecEvent::Exit { code: u32::try_from(code).ok(), signal: None })
    }

    pub(super) fn lost(&self) -> Error {
        self.master.lost()
    }
}

/// The next piece of a pipe; `None` at its end.
async fn read(pipe: &mut Option<impl AsyncRead + Unpin>, buffer: &mut BytesMut) -> Option<Bytes> {
    buffer.reserve(PIECE);
    let n = pipe.as_mut()?.read_buf(buffer).await.unwrap_or(0);
    (n > 0).then(|| std::mem::take(buffer).freeze())
}
