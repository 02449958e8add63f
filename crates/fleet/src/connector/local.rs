//! Nodes that are this host.

use super::channel::{Channels, Event, Reader, Started, Writer};
use crate::session::{Chunk, Ended};
use base::{Error, Result};
use bytes::{Bytes, BytesMut};
use futures::future::{BoxFuture, FutureExt};
use std::{os::unix::process::ExitStatusExt, process::Stdio};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    process::{Child, ChildStderr, ChildStdin, ChildStdout, Command},
};

/// What is read at once.
const CHUNK: usize = 32 << 10;

/// Starts lines on this host, each in a process group of its own: the terminal's Ctrl-C is ours, not theirs.
#[derive(Debug)]
pub struct Local;

impl Channels for Local {
    fn start<'a>(&'a self, line: &'a str) -> BoxFuture<'a, Result<Started>> {
        // Its standard input ends with us, by which it is ended with all that it started. Killed, it would leave the rest.
        let mut shell = rt::process::detached("sh");
        shell.arg("-c").arg(line).process_group(0);
        async move { start(shell) }.boxed()
    }
}

/// Starts a program whose outputs and end are those of a line.
pub fn start(mut program: Command) -> Result<Started> {
    program.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let name = program.as_std().get_program().to_string_lossy().into_owned();
    let mut child = program.spawn().map_err(|e| rt::process::cannot_start(&name, &e))?;
    let lost = || Error::internal(format!("{name} has no pipes"));
    let input = child.stdin.take().ok_or_else(lost)?;
    let (out, err) = (child.stdout.take().ok_or_else(lost)?, child.stderr.take().ok_or_else(lost)?);
    let output = Pipes { child, out: Some(out), err: Some(err), buffers: [BytesMut::new(), BytesMut::new()] };
    Ok(Started { input: Box::new(Pipe(input)), output: Box::new(output) })
}

struct Pipe(ChildStdin);

impl Writer for Pipe {
    fn write(&mut self, bytes: Bytes) -> BoxFuture<'_, Result<()>> {
        async move { self.0.write_all(&bytes).await.map_err(|e| Error::io("write to a command", &e)) }.boxed()
    }
}

struct Pipes {
    child: Child,
    out: Option<ChildStdout>,
    err: Option<ChildStderr>,
    buffers: [BytesMut; 2],
}

impl Reader for Pipes {
    fn next(&mut self) -> BoxFuture<'_, Result<Event>> {
        self.event().boxed()
    }
}

impl Pipes {
    async fn event(&mut self) -> Result<Event> {
        let [out, err] = &mut self.buffers;
        while self.out.is_some() || self.err.is_some() {
            tokio::select! {
                bytes = read(&mut self.out, out) => if let Some(bytes) = bytes {
                    return Ok(Event::Chunk(Chunk::Stdout(bytes)));
                },
                bytes = read(&mut self.err, err) => if let Some(bytes) = bytes {
                    return Ok(Event::Chunk(Chunk::Stderr(bytes)));
                },
            }
        }
        let status = self.child.wait().await.map_err(|e| Error::io("wait for a command", &e))?;
        Ok(Event::Ended(match (status.code(), status.signal()) {
            (Some(code), _) => Ended::Code(u32::try_from(code).unwrap_or(u32::MAX)),
            (None, signal) => Ended::Signal(rt::process::signal_name(signal.unwrap_or_default())),
        }))
    }
}

/// The next bytes of a pipe; at its end `None` once, and it is closed.
async fn read(pipe: &mut Option<impl AsyncRead + Unpin>, buffer: &mut BytesMut) -> Option<Bytes> {
    let Some(open) = pipe else { return std::future::pending().await };
    buffer.reserve(CHUNK);
    match open.read_buf(buffer).await {
        Ok(n) if n > 0 => Some(buffer.split().freeze()),
        _ => {
            *pipe = None;
            None
        }
    }
}
