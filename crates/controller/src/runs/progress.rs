//! What the program in a sandbox tells of its nodes, on a socket: events as they happen, and its answer at the end.
//!
//! Whatever runs there may write to that socket. It can only tell lies about its own operation, and not many of them.

use super::log::Log;
use api::fleet::{NodeEvent, NodeResult, NodeStepState};
use base::{Error, Result};
use parking_lot::Mutex;
use rt::task::{CancellationToken, Group, Task};
use secrets::Redactor;
use serde::Deserialize;
use serde_json::Value;
use std::{collections::BTreeMap, path::Path, sync::Arc};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    net::{UnixListener, UnixStream},
};

/// The longest line that is read: the largest answer that is kept, and a little more.
const LONGEST: u64 = 512 * 1024;
/// Connections that are heard at the same time; more are hung up on.
const MOST_CONNECTIONS: usize = 16;
/// Nodes that are told of, and steps in all.
const MOST_NODES: usize = 10_000;
const MOST_STEPS: usize = 2_000;
/// The largest account of the nodes that is kept with the operation; of a larger one the steps are left out.
const LARGEST: usize = 256 * 1024;

/// A line on the socket.
#[derive(Deserialize)]
#[serde(untagged)]
enum Line {
    Event(NodeEvent),
    /// What the verb says with `-o json`.
    Answer {
        answer: Value,
    },
}

/// What was told.
#[derive(Default)]
pub(super) struct Account {
    /// What the verb says with `-o json`.
    pub(super) report: Option<Value>,
    nodes: BTreeMap<String, NodeResult>,
    steps: usize,
}

/// What connections come to. One of them that is silent holds no other up.
struct Hearing {
    redactor: Redactor,
    log: Mutex<Log>,
    account: Mutex<Account>,
}

/// Listens to the program. Dropping it ends that.
pub(super) struct Progress {
    hearing: Arc<Hearing>,
    ended: CancellationToken,
    listening: Task<()>,
}

impl Progress {
    /// Listens on a socket of this path, and writes events to `log`, without secrets.
    pub(super) fn listen(socket: &Path, redactor: Redactor, log: Log) -> Result<Self> {
        let listener = UnixListener::bind(socket)
            .map_err(|e| Error::io(format_args!("listen on {}", socket.display()), &e))?;
        let hearing = Hearing { redactor, log: Mutex::new(log), account: Mutex::default() };
        let (hearing, ended) = (Arc::new(hearing), CancellationToken::new());
        let (told, until) = (Arc::clone(&hearing), ended.clone());
        let listening = rt::task::spawn("operation progress", async move {
            let connections = Group::new();
            loop {
                tokio::select! {
                    biased; // who has spoken is heard
                    accepted = listener.accept() => match accepted {
                        Ok((stream, _)) if connections.len() < MOST_CONNECTIONS => {
                            let told = Arc::clone(&told);
                            connections.spawn("progress of a program", async move { told.hear(stream).await });
                        }
                        Ok(_) => {}
                        Err(_) => break,
                    },
                    () = until.cancelled() => break,
                }
            }
            // Nobody is left to speak: what is still to be read ends.
            connections.join().await;
        });
        Ok(Progress { hearing, ended, listening })
    }

    /// All that was told, once the program has ended.
    pub(super) async fn account(self) -> Account {
        self.ended.cancel();
        let _ = self.listening.await;
        std::mem::take(&mut self.hearing.account.lock())
    }
}

impl Hearing {
    async fn hear(&self, stream: UnixStream) {
        let mut reader = BufReader::new(stream);
        loop {
            let mut line = Vec::new();
            match (&mut reader).take(LONGEST).read_until(b'\n', &mut line).await {
                Ok(n) if n > 0 && line.ends_with(b"\n") => {}
                _ => return,
            }
            let Ok(value) = serde_json::from_slice::<Value>(&line) else { continue };
            match serde_json::from_value(self.redactor.json(value)) {
                Ok(Line::Event(event)) => {
                    let noted = self.account.lock().note(&event);
                    if noted && write(&mut self.log.lock(), &event).is_err() {
                        return;
                    }
                }
                Ok(Line::Answer { answer }) => self.account.lock().report = Some(answer),
                Err(_) => {}
            }
        }
    }
}

fn write(log: &mut Log, event: &NodeEvent) -> Result<()> {
    let mut line =
        serde_json::to_vec(event).map_err(|e| Error::internal("cannot write an event").because(e))?;
    line.push(b'\n');
    log.write(&line)
}

impl Account {
    /// Takes an event, unless there were too many.
    fn note(&mut self, event: &NodeEvent) -> bool {
        let (NodeEvent::Queued { node }
        | NodeEvent::Started { node }
        | NodeEvent::Again { node, .. }
        | NodeEvent::Step { node, .. }
        | NodeEvent::Finished { node, .. }) = event;
        if self.nodes.len() >= MOST_NODES && !self.nodes.contains_key(node) {
            return false;
        }
        let result = self.nodes.entry(node.clone()).or_default();
        match event {
            NodeEvent::Step { step, .. } => match result.steps.last_mut() {
                Some(last) if (&last.service, &last.step) == (&step.service, &step.step) => {
                    *last = step.clone();
                }
                _ if self.steps < MOST_STEPS && step.state == NodeStepState::Started => {
                    self.steps += 1;
                    result.steps.push(step.clone());
                }
                _ => {}
            },
            NodeEvent::Finished { outcome, .. } => result.outcome = outcome.clone(),
            _ => {}
        }
        true
    }

    /// The nodes and their steps, as they are kept with the operation.
    pub(super) fn nodes(mut self) -> Value {
        let value = |nodes: &BTreeMap<String, NodeResult>| serde_json::to_value(nodes).unwrap_or_default();
        let whole = value(&self.nodes);
        if whole.to_string().len() <= LARGEST {
            return whole;
        }
        self.nodes.values_mut().for_each(|node| node.steps.clear());
        Some(value(&self.nodes)).filter(|v| v.to_string().len() <= LARGEST).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::fleet::{NodeOutcome, NodeStep};

    fn step(node: &str, step: &str, state: NodeStepState) -> NodeEvent {
        let step = NodeStep { service: Some("web".into()), step: step.into(), state };
        NodeEvent::Step { node: node.into(), step }
    }

    #[test]
    fn the_account_has_each_node_with_its_steps() {
        let mut account = Account::default();
        let outcome = NodeOutcome { status: "ok".into(), ..NodeOutcome::default() };
        for event in [
            NodeEvent::Queued { node: "a".into() },
            step("a", "one", NodeStepState::Started),
            step("a", "one", NodeStepState::Done),
            step("a", "two", NodeStepState::Started),
            step("a", "two", NodeStepState::Failed),
            NodeEvent::Finished { node: "b".into(), outcome },
        ] {
            assert!(account.note(&event));
        }
        let nodes = account.nodes();
        let states: Vec<&Value> =
            nodes["a"]["steps"].as_array().unwrap().iter().map(|s| &s["state"]).collect();
        assert_eq!(states, ["done", "failed"]);
        assert_eq!(nodes["b"]["status"], "ok");
    }

    #[test]
    fn lies_are_bounded() {
        let mut account = Account::default();
        for number in 0..MOST_STEPS + 10 {
            account.note(&step("a", &number.to_string(), NodeStepState::Started));
        }
        assert_eq!(account.nodes["a"].steps.len(), MOST_STEPS);
        let many = (0..MOST_NODES + 5).filter(|n| account.note(&NodeEvent::Started { node: n.to_string() }));
        assert_eq!(many.count(), MOST_NODES - 1);
        assert!(account.nodes().to_string().len() <= LARGEST);
    }

    #[test]
    fn a_line_is_an_event_or_the_answer() {
        let line = r#"{"event": "step", "node": "a", "service": "web", "step": "x", "state": "done"}"#;
        assert!(matches!(serde_json::from_str(line), Ok(Line::Event(NodeEvent::Step { .. }))));
        assert!(matches!(serde_json::from_str(r#"{"answer": {"items": []}}"#), Ok(Line::Answer { .. })));
        assert!(serde_json::from_str::<Line>(r#"{"event": "other"}"#).is_err());
    }
}
