//! What the program in a sandbox tells of its nodes, on a socket: events as they happen, and its answer at the end.
//!
//! Whatever runs there may write to that socket. It can only tell lies about its own operation, and not many of them.

use super::log::Log;
use api::fleet::{NodeEvent, NodeResult, NodeStepState};
use base::{Error, Result};
use parking_lot::Mutex;
use rt::task::{CancellationToken, Task};
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

/// Listens to the program. Dropping it ends that.
pub(super) struct Progress {
    account: Arc<Mutex<Account>>,
    ended: CancellationToken,
    listening: Task<()>,
}

impl Progress {
    /// Listens on a socket of this path, and writes events to `log`, without secrets.
    pub(super) fn listen(socket: &Path, redactor: Redactor, mut log: Log) -> Result<Self> {
        let listener = UnixListener::bind(socket)
            .map_err(|e| Error::io(format_args!("listen on {}", socket.display()), &e))?;
        let (account, ended) = (Arc::new(Mutex::new(Account::default())), CancellationToken::new());
        let (told, until) = (Arc::clone(&account), ended.clone());
        let listening = rt::task::spawn("operation progress", async move {
            loop {
                tokio::select! {
                    biased; // who has spoken is heard
                    accepted = listener.accept() => match accepted {
                        Ok((stream, _)) => hear(stream, &redactor, &mut log, &told).await,
                        Err(_) => return,
                    },
                    () = until.cancelled() => return,
                }
            }
        });
        Ok(Progress { account, ended, listening })
    }

    /// All that was told, once the program has ended.
    pub(super) async fn account(self) -> Account {
        self.ended.cancel();
        let _ = self.listening.await;
        std::mem::take(&mut self.account.lock())
    }
}

async fn hear(stream: UnixStream, redactor: &Redactor, log: &mut Log, account: &Mutex<Account>) {
    let mut reader = BufReader::new(stream);
    loop {
        let mut line = Vec::new();
        match (&mut reader).take(LONGEST).read_until(b'\n', &mut line).await {
            Ok(n) if n > 0 && line.ends_with(b"\n") => {}
            _ => return,
        }
        let Ok(value) = serde_json::from_slice::<Value>(&line) else { continue };
        match serde_json::from_value(redactor.json(value)) {
            Ok(Line::Event(event)) => {
                if account.lock().note(&event) && write(log, &event).is_err() {
                    return;
                }
            }
            Ok(Line::Answer { answer }) => account.lock().report = Some(answer),
            Err(_) => {}
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
