//! Drives one command over the streams of a started line: the same for every connector.

use super::{
    channel::{Channels, Event, Reader, Started, Writer},
    gate::{Gate, Passed},
    program::Program,
};
use crate::session::{Chunk, Command, Ended, Input, Sink};
use base::Result;
use bytes::Bytes;
use rt::clock::{self, Instant};
use std::{convert::Infallible, time::Duration};
use tokio::{sync::mpsc, time::timeout_at};

/// How long a node may take to end what it was told to end: two seconds of its own, and the way there and back.
const ENDING: Duration = Duration::from_secs(5);

/// Runs a command to its end.
pub async fn run(
    channels: &dyn Channels,
    command: Command,
    more: Option<Input>,
    sink: &mut dyn Sink,
) -> Result<Ended> {
    let program = Program::new(&command, more.is_some())?;
    let deadline = command.timeout.map(|limit| clock::now() + limit);
    let Some(started) = by(deadline, channels.start(&program.line)).await else { return Ok(Ended::Timeout) };
    let Started { input, output } = started?;
    let gate = command.r#become.as_ref().map(Gate::new);
    let (cues, cued) = mpsc::unbounded_channel();
    if gate.as_ref().is_none_or(Gate::asks_nothing) {
        let _ = cues.send(Cue::Script);
    }
    let password = command.r#become.and_then(|b| b.password);
    let answer = password.map_or_else(Bytes::new, |p| format!("{}\n", p.expose_secret()).into());
    let feeding = feed(input, cued, answer, [program.text.into(), command.stdin], more);
    let mut following = Following { output, sink, gate, cues, deadline };
    // With the feeding goes the standard input, by which the node knows that it shall end the command.
    let ended = tokio::select! {
        ended = following.follow() => ended?,
        never = feeding => match never {},
    };
    if ended == Ended::Timeout {
        following.deadline = Some(clock::now() + ENDING);
        let _ = following.follow().await;
    }
    Ok(ended)
}

/// What the standard input needs next.
enum Cue {
    Password,
    Script,
}

/// Gives what is asked for, then holds the input open. A line that takes no more says why by its end.
async fn feed(
    mut input: Box<dyn Writer>,
    mut cues: mpsc::UnboundedReceiver<Cue>,
    password: Bytes,
    script: [Bytes; 2],
    more: Option<Input>,
) -> Infallible {
    let feeding = async {
        while let Some(Cue::Password) = cues.recv().await {
            input.write(password.clone()).await?;
        }
        for part in script.into_iter().filter(|part| !part.is_empty()) {
            input.write(part).await?;
        }
        let Some(mut more) = more else { return std::future::pending().await };
        while let Some(part) = more.recv().await {
            input.write(part).await?;
        }
        Ok::<_, base::Error>(())
    };
    let _ = feeding.await;
    drop(input);
    std::future::pending().await
}

/// `None` once the time is over.
async fn by<T>(deadline: Option<Instant>, future: impl Future<Output = T>) -> Option<T> {
    match deadline {
        Some(deadline) => timeout_at(deadline, future).await.ok(),
        None => Some(future.await),
    }
}

struct Following<'a> {
    output: Box<dyn Reader>,
    sink: &'a mut dyn Sink,
    /// Until the other user's shell is there.
    gate: Option<Gate>,
    cues: mpsc::UnboundedSender<Cue>,
    deadline: Option<Instant>,
}

impl Following<'_> {
    async fn follow(&mut self) -> Result<Ended> {
        loop {
            let Some(event) = by(self.deadline, self.output.next()).await else { return Ok(Ended::Timeout) };
            match (event?, &self.gate) {
                (Event::Chunk(chunk), _) => self.pass(chunk).await?,
                (Event::Ended(_), Some(gate)) => return Err(gate.refused()),
                (Event::Ended(ended), None) => return Ok(ended),
            }
        }
    }

    async fn pass(&mut self, chunk: Chunk) -> Result<()> {
        let (Some(gate), Chunk::Stderr(bytes)) = (&mut self.gate, &chunk) else {
            self.give(chunk).await;
            return Ok(());
        };
        match gate.take(bytes)? {
            Passed::Wait => {}
            Passed::Password => drop(self.cues.send(Cue::Password)),
            Passed::Open(rest) => {
                if !gate.asks_nothing() {
                    let _ = self.cues.send(Cue::Script);
                }
                self.gate = None;
                if !rest.is_empty() {
                    self.give(Chunk::Stderr(rest.into())).await;
                }
            }
        }
        Ok(())
    }

    /// The time that the sink takes is not the command's.
    async fn give(&mut self, chunk: Chunk) {
        let begin = clock::now();
        self.sink.take(chunk).await;
        self.deadline = self.deadline.map(|deadline| deadline + begin.elapsed());
    }
}
