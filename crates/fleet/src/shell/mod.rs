//! A shell that stays on a node for several turns, so that all work of a node travels in one session.
//!
//! The program on the node is `shell.sh`, for any POSIX sh. Each turn is sent whole before any of it runs.

mod content;
mod frame;

pub use content::given;

use crate::session::{Become, Chunk, Command, Ended, Session};
use base::{Code, Error, Result};
use bytes::Bytes;
use frame::{Frames, Piece};
use futures::future::{BoxFuture, FutureExt};
use ssh::quote;
use std::collections::VecDeque;
use tokio::sync::mpsc;

const SHELL: &str = include_str!("shell.sh");

/// One of the two outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// What comes from the shell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Output of what it runs.
    Output(Stream, Bytes),
    /// What it says about itself, on this output.
    Frame(Stream, Vec<String>),
}

/// The shell on one node. Dropping it ends what runs there and frees its lock.
pub struct Shell {
    input: mpsc::Sender<Bytes>,
    /// The command, which ends with an error or with the shell.
    running: BoxFuture<'static, Result<Ended>>,
    chunks: mpsc::UnboundedReceiver<Chunk>,
    frames: [Frames; 2],
    heard: VecDeque<Heard>,
    /// How it ended.
    ended: Option<Error>,
}

impl std::fmt::Debug for Shell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shell").field("ended", &self.ended).finish_non_exhaustive()
    }
}

impl Shell {
    /// Starts one. Nothing is sent before the first turn. `owner` is who holds its lock, for those who wait.
    pub fn start(session: Session, user: Option<Become>, owner: &str) -> Self {
        let token = hex::encode(rt::ids::random_bytes::<16>());
        let (input, more) = mpsc::channel(4);
        let (sender, chunks) = mpsc::unbounded_channel();
        let command = Command {
            stdin: format!("token={token}\nowner={}\n{SHELL}\n", quote(owner)).into(),
            r#become: user,
            ..Command::default()
        };
        let running = async move {
            let mut sink = move |chunk| drop(sender.send(chunk));
            session.talk(command, more, &mut sink).await
        };
        let frames = [Frames::new(&token), Frames::new(&token)];
        Shell { input, running: running.boxed(), chunks, frames, heard: VecDeque::new(), ended: None }
    }

    /// Begins a turn: `lines` are the body of a function of `sh`, `definitions` stand before it. It ends with the frame
    /// `ready CODE` on both outputs.
    pub async fn turn(&mut self, definitions: &str, lines: &str) -> Result<()> {
        let text = format!("{definitions}\nwork() {{\n{lines}\n}}\nturn work\n");
        let sent = self.input.send(text.into()).await;
        sent.map_err(|_| self.ended.clone().unwrap_or_else(lost))
    }

    /// What comes next.
    ///
    /// # Errors
    /// Where the shell has ended: [`Code::Unavailable`] where the node was lost.
    pub async fn hear(&mut self) -> Result<Heard> {
        loop {
            if let Some(heard) = self.heard.pop_front() {
                return Ok(heard);
            }
            if let Some(ended) = &self.ended {
                return Err(ended.clone());
            }
            tokio::select! {
                biased; // all output before the end
                Some(chunk) = self.chunks.recv() => self.take(&chunk),
                ended = &mut self.running => self.end(ended),
            }
        }
    }

    /// Ends it, with what runs in it. Whoever asks it further hears this error.
    pub fn give_up(&mut self, why: Error) {
        self.running = std::future::pending().boxed();
        self.ended = Some(why);
    }

    fn end(&mut self, ended: Result<Ended>) {
        while let Ok(chunk) = self.chunks.try_recv() {
            self.take(&chunk);
        }
        for (stream, frames) in [Stream::Stdout, Stream::Stderr].into_iter().zip(&mut self.frames) {
            let rest = frames.rest();
            if !rest.is_empty() {
                self.heard.push_back(Heard::Output(stream, rest));
            }
        }
        self.ended = Some(match ended {
            Err(e) => e,
            Ok(ended) => lost().because(match ended {
                Ended::Code(code) => format!("it ended with {code}"),
                Ended::Signal(name) => format!("it was ended by signal {name}"),
                Ended::Timeout => "its time was over".into(),
            }),
        });
    }

    fn take(&mut self, chunk: &Chunk) {
        let (stream, bytes) = match chunk {
            Chunk::Stdout(bytes) => (Stream::Stdout, bytes),
            Chunk::Stderr(bytes) => (Stream::Stderr, bytes),
        };
        let frames = &mut self.frames[usize::from(stream == Stream::Stderr)];
        frames.push(bytes);
        while let Some(piece) = frames.pop() {
            self.heard.push_back(match piece {
                Piece::Output(bytes) => Heard::Output(stream, bytes),
                Piece::Frame(words) => Heard::Frame(stream, words),
            });
        }
    }
}

fn lost() -> Error {
    Error::new(Code::Unavailable, "the shell on the node has ended")
}

#[cfg(test)]
mod tests;
