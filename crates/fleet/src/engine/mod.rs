//! Does one job on many nodes, so many at a time, and says for each how it went.

mod interrupt;
mod limits;
mod observer;
mod outcome;
#[cfg(test)]
mod tests;

pub use interrupt::Interrupt;
pub use limits::{Limits, Share};
pub use observer::{Blind, Event, Observer, Out, Progress, StepState};
pub use outcome::{Done, Failure, Outcome, Status, Verdict};

use base::{Code, Error};
use futures::stream::{FuturesUnordered, StreamExt};
use inventory::Node;
use observer::Streams;
use rt::clock::{self, Backoff, Instant};
use secrets::Redactor;
use std::{future::Future, sync::OnceLock, time::Duration};

/// What is done on each node.
pub trait Job: Sync {
    /// What it makes where all goes well.
    type Value: Send;

    /// Does it on a node. It is dropped where it stands when the run is cut off.
    fn run<'a>(
        &'a self,
        node: &'a Node,
        out: Out<'a>,
    ) -> impl Future<Output = Result<Self::Value, Failure>> + Send + 'a;
}

/// Does jobs on nodes.
#[derive(Clone, Copy)]
pub struct Engine<'a> {
    /// How many at once, and how much may fail.
    pub limits: &'a Limits,
    /// Who may end it early.
    pub interrupt: &'a Interrupt,
    /// Who watches.
    pub observer: &'a dyn Observer,
    /// What neither the observer nor an outcome may show.
    pub redactor: &'a Redactor,
}

impl Engine<'_> {
    /// Does a job on all nodes within the limits. The answers are in the order of the nodes.
    pub async fn run<J: Job>(&self, nodes: &[Node], job: &J) -> Vec<Done<J::Value>> {
        let begun = vec![OnceLock::new(); nodes.len()];
        Run { engine: self, nodes, job, begun }.all().await
    }
}

struct Run<'a, J> {
    engine: &'a Engine<'a>,
    nodes: &'a [Node],
    job: &'a J,
    begun: Vec<OnceLock<Instant>>,
}

impl<J: Job> Run<'_, J> {
    async fn all(&self) -> Vec<Done<J::Value>> {
        let total = self.nodes.len();
        for index in 0..total {
            self.tell(index, Event::Queued).await;
        }
        let mut done: Vec<Option<Done<J::Value>>> = self.nodes.iter().map(|_| None).collect();
        let mut failed = 0;
        let every: Vec<usize> = (0..total).collect();
        for batch in every.chunks(self.engine.limits.batch(total)) {
            self.batch(batch, &mut failed, &mut done).await;
        }
        let mut answers = Vec::with_capacity(total);
        for (index, answer) in done.into_iter().enumerate() {
            if let Some(answer) = answer {
                answers.push(answer);
                continue;
            }
            let attempts = u32::from(self.begun[index].get().is_some());
            answers.push(self.finish(index, attempts, Err(self.without_answer(index))).await);
        }
        answers
    }

    /// Runs one batch to its end, or as far as it may go.
    async fn batch(&self, batch: &[usize], failed: &mut usize, done: &mut [Option<Done<J::Value>>]) {
        let mut waiting = batch.iter().copied();
        let mut running = FuturesUnordered::new();
        loop {
            while running.len() < self.engine.limits.forks.max(1) && self.may_start(*failed) {
                let Some(index) = waiting.next() else { break };
                running.push(self.node(index));
            }
            let ended = tokio::select! {
                biased; // what has ended is not cut off
                ended = running.next() => ended,
                () = self.engine.interrupt.cut() => None,
            };
            let Some((index, answer)) = ended else { return };
            *failed += usize::from(answer.outcome.status.is_failure());
            done[index] = Some(answer);
        }
    }

    fn may_start(&self, failed: usize) -> bool {
        !self.engine.interrupt.is_stopping() && !self.engine.limits.exceeded(failed, self.nodes.len())
    }

    /// One node, from its start to its end.
    async fn node(&self, index: usize) -> (usize, Done<J::Value>) {
        let _ = self.begun[index].set(clock::now());
        self.tell(index, Event::Started).await;
        let node = &self.nodes[index];
        let streams = Streams::new(self.engine.redactor);
        let mut pauses = Backoff::new(self.engine.limits.pause, Limits::LONGEST_PAUSE);
        let mut attempts = 0;
        loop {
            attempts += 1;
            let (observer, redactor) = (self.engine.observer, self.engine.redactor);
            let out = Out { observer, index, node, streams: &streams, redactor };
            let result = self.job.run(node, out).await.map_err(|f| f.redacted(self.engine.redactor));
            match &result {
                Err(failure) if failure.may_pass() && attempts <= self.engine.limits.retry => {
                    let pause = pauses.delay();
                    self.tell(index, Event::Again(&failure.error, pause)).await;
                    if self.pause(pause).await {
                        continue;
                    }
                }
                _ => {}
            }
            for rest in streams.rest() {
                self.tell(index, Event::Output(rest)).await;
            }
            return (index, self.finish(index, attempts, result).await);
        }
    }

    /// Whether the pause went by without an interrupt.
    async fn pause(&self, pause: Duration) -> bool {
        tokio::select! {
            () = clock::sleep(pause) => true,
            () = self.engine.interrupt.stopping() => false,
        }
    }

    async fn finish(&self, index: usize, attempts: u32, result: Result<J::Value, Failure>) -> Done<J::Value> {
        let (value, failure) = match result {
            Ok(value) => (Some(value), None),
            Err(failure) => (None, Some(failure)),
        };
        let outcome = Outcome {
            node: self.nodes[index].name.clone(),
            status: failure.as_ref().map_or(Status::Ok, |f| f.status),
            code: failure.as_ref().and_then(|f| f.code),
            attempts,
            duration: self.begun[index].get().map_or(Duration::ZERO, Instant::elapsed),
            error: failure.map(|f| f.error),
        };
        self.tell(index, Event::Finished(&outcome)).await;
        Done { outcome, value }
    }

    /// Why a node has no answer.
    fn without_answer(&self, index: usize) -> Failure {
        let (status, words) = if self.begun[index].get().is_some() {
            (Status::Cancelled, "cut off by the interrupt")
        } else if self.engine.interrupt.is_stopping() {
            (Status::Cancelled, "not begun because of the interrupt")
        } else {
            (Status::Skipped, "not begun, since too many others failed")
        };
        Failure { status, code: None, error: Error::new(Code::Conflict, words), untouched: true }
    }

    async fn tell(&self, index: usize, event: Event<'_>) {
        self.engine.observer.event(index, &self.nodes[index], event).await;
    }
}
