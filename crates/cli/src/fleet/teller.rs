//! Tells a controller, on its socket, what happens on the nodes: an event a line, and the answer at the end.

use crate::Result;
use api::fleet::{NodeEvent, NodeOutcome, NodeStep, NodeStepState};
use base::Error;
use fleet::engine::{Event, Observer, Outcome, StepState};
use futures::future::{BoxFuture, FutureExt};
use inventory::Node;
use serde::Serialize;
use std::path::Path;
use tokio::{io::AsyncWriteExt, net::UnixStream, sync::Mutex};

/// Writes to a socket. What nobody takes is lost: the work goes on.
pub struct Teller(Mutex<UnixStream>);

impl Teller {
    /// Connects to it.
    pub async fn connect(socket: &Path) -> Result<Self> {
        let stream = UnixStream::connect(socket).await;
        let stream = stream.map_err(|e| Error::io(format_args!("speak to {}", socket.display()), &e))?;
        Ok(Teller(Mutex::new(stream)))
    }

    /// The answer of the verb, as `-o json` shows it.
    pub async fn answer(&self, answer: &impl Serialize) {
        #[derive(Serialize)]
        struct Line<'a, T> {
            answer: &'a T,
        }
        self.line(&Line { answer }).await;
    }

    async fn line(&self, line: &impl Serialize) {
        let Ok(mut text) = serde_json::to_vec(line) else { return };
        text.push(b'\n');
        let _ = self.0.lock().await.write_all(&text).await;
    }
}

impl Observer for Teller {
    fn event<'a>(&'a self, _: usize, node: &'a Node, event: Event<'a>) -> BoxFuture<'a, ()> {
        async move {
            if let Some(event) = told(node.name.clone(), &event) {
                self.line(&event).await;
            }
        }
        .boxed()
    }
}

/// The event as a controller keeps it; outputs are not among them.
fn told(node: String, event: &Event<'_>) -> Option<NodeEvent> {
    Some(match event {
        Event::Queued => NodeEvent::Queued { node },
        Event::Started => NodeEvent::Started { node },
        Event::Again(error, _) => NodeEvent::Again { node, error: (*error).clone() },
        Event::Output(_) => return None,
        Event::Step(progress) => {
            let state = match progress.state {
                StepState::Started => NodeStepState::Started,
                StepState::Done => NodeStepState::Done,
                StepState::Failed => NodeStepState::Failed,
            };
            let service = progress.service.map(str::to_owned);
            NodeEvent::Step { node, step: NodeStep { service, step: progress.step.to_string(), state } }
        }
        Event::Finished(outcome) => NodeEvent::Finished { node, outcome: ended(outcome) },
    })
}

fn ended(outcome: &Outcome) -> NodeOutcome {
    NodeOutcome {
        status: outcome.status.as_str().to_owned(),
        code: outcome.code,
        seconds: (outcome.duration.as_secs_f64() * 1000.0).round() / 1000.0,
        error: outcome.error.clone(),
    }
}
