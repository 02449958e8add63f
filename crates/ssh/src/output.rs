//! The whole output of a short command.

use crate::{Exec, ExecEvent, ExecSender};
use base::Result;
use bytes::Bytes;

/// What a command said and how it ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Output {
    /// The exit code, where it ended by itself.
    pub code: Option<u32>,
    /// The signal that ended it.
    pub signal: Option<String>,
    /// Its standard output.
    pub stdout: Vec<u8>,
    /// Its standard error.
    pub stderr: Vec<u8>,
    /// Whether it said more than was kept.
    pub truncated: bool,
}

impl Output {
    /// Whether it ended with 0.
    pub fn success(&self) -> bool {
        self.code == Some(0)
    }
}

pub(crate) async fn collect(exec: Exec, input: Bytes, most: usize) -> Result<Output> {
    let (sender, mut receiver) = exec.split();
    let mut output = Output::default();
    let reading = async {
        while let Some(event) = receiver.next().await {
            match event {
                ExecEvent::Stdout(data) => output.truncated |= keep(&mut output.stdout, &data, most),
                ExecEvent::Stderr(data) => output.truncated |= keep(&mut output.stderr, &data, most),
                ExecEvent::Exit { code, signal } => {
                    (output.code, output.signal) = (code, signal);
                    return Ok(());
                }
            }
        }
        Err(receiver.lost())
    };
    let ((), read) = tokio::join!(feed(sender, input), reading);
    read.map(|()| output)
}

/// A command that does not want its input is no failure; its end says what is.
async fn feed(sender: ExecSender, input: Bytes) {
    if sender.stdin(input).await.is_ok() {
        let _ = sender.eof().await;
    }
}

/// Appends what still fits; says whether something did not.
fn keep(kept: &mut Vec<u8>, data: &[u8], most: usize) -> bool {
    let room = most.saturating_sub(kept.len()).min(data.len());
    kept.extend_from_slice(&data[..room]);
    room < data.len()
}
