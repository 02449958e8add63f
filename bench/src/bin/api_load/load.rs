//! The open loop: request number n is due at n / rate, on connection n modulo their number, whether or not the server
//! is behind. Its time counts from when it was due.

use crate::{
    connection::{Connection, Failed, Target},
    setup::{Stage, new_vm},
};
use bench::{Latencies, note};
use bytes::Bytes;
use futures::StreamExt;
use http::Method;
use rt::clock::Instant;
use std::{sync::Arc, time::Duration};

/// Handshakes at the same time.
const DIALS: usize = 32;
/// Failures that are told in words.
const TOLD: usize = 3;

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Get,
    Page,
    List,
    Create,
    /// Follows each create at once.
    Delete,
}

impl Kind {
    pub const ALL: [Kind; 5] = [Kind::Get, Kind::Page, Kind::List, Kind::Create, Kind::Delete];

    /// 70 % GET, 20 % list of 50, 5 % list of 500, 5 % create and delete.
    fn of(slot: u64) -> Self {
        match mixed(slot) % 100 {
            0..70 => Kind::Get,
            70..90 => Kind::Page,
            90..95 => Kind::List,
            _ => Kind::Create,
        }
    }
}

/// Spreads consecutive numbers (the last step of SplitMix64).
fn mixed(n: u64) -> u64 {
    let mut z = n.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The open connections and what they ask.
pub struct Load {
    connections: Vec<Connection>,
    plan: Arc<Plan>,
    /// Slots used so far: names of VMs are never used twice.
    used: u64,
}

struct Plan {
    target: Target,
    vms: u64,
    pages: Vec<String>,
    lists: Vec<String>,
}

/// The times of one run.
#[derive(Default)]
pub struct Outcome {
    times: [Latencies; 5],
    pub failed: usize,
    why: Vec<String>,
}

impl Outcome {
    pub fn of(&self, kind: Kind) -> &Latencies {
        &self.times[kind as usize]
    }

    pub fn count(&self) -> usize {
        self.times.iter().map(Latencies::len).sum::<usize>() + self.failed
    }

    pub fn all(&self) -> Latencies {
        let mut all = Latencies::default();
        self.times.iter().for_each(|t| all.extend(t.clone()));
        all
    }

    fn add(&mut self, kind: Kind, due: Instant, answer: &Result<Bytes, Failed>) {
        match answer {
            Ok(_) => self.times[kind as usize].add(due.elapsed()),
            Err(e) => {
                self.failed += 1;
                self.why.push(e.to_string());
            }
        }
    }

    fn join(&mut self, other: Outcome) {
        for (times, more) in self.times.iter_mut().zip(other.times) {
            times.extend(more);
        }
        self.failed += other.failed;
        self.why.extend(other.why);
    }
}

impl Load {
    pub async fn open(stage: &Stage) -> Self {
        let target = Target::of(&stage.cluster);
        let mut first = target.connect().await.expect("a connection");
        let plan = Plan {
            vms: stage.size.vms as u64,
            pages: pages(&mut first, 50).await,
            lists: pages(&mut first, 500).await,
            target: target.clone(),
        };
        let dials = (0..stage.size.connections).map(|_| target.connect());
        let connections: Vec<_> = futures::stream::iter(dials).buffer_unordered(DIALS).collect().await;
        let connections = connections.into_iter().map(|c| c.expect("a connection")).collect();
        Load { connections, plan: Arc::new(plan), used: 0 }
    }

    /// Asks at this rate for this long, and waits for all answers.
    pub async fn run(&mut self, rate: u64, span: Duration) -> Outcome {
        let count = rate * span.as_secs();
        let step = self.connections.len() as u64;
        let (first, start) = (self.used, rt::clock::now() + Duration::from_millis(100));
        let tasks: Vec<_> = std::mem::take(&mut self.connections)
            .into_iter()
            .zip(0..)
            .map(|(connection, n)| {
                let plan = self.plan.clone();
                let due = (n..count).step_by(usize::try_from(step).unwrap_or(1)).map(move |slot| {
                    (first + slot, start + Duration::from_nanos(slot * 1_000_000_000 / rate))
                });
                rt::task::spawn("requests", plan.ask_all(connection, due))
            })
            .collect();
        self.used += count;
        let mut outcome = Outcome::default();
        for task in tasks {
            let (connection, part) = task.await.expect("a connection's requests end");
            self.connections.push(connection);
            outcome.join(part);
        }
        outcome.why.iter().take(TOLD).for_each(|why| note(format!("failed: {why}")));
        outcome
    }
}

impl Plan {
    async fn ask_all(
        self: Arc<Self>,
        mut connection: Connection,
        slots: impl Iterator<Item = (u64, Instant)> + Send,
    ) -> (Connection, Outcome) {
        let mut outcome = Outcome::default();
        for (slot, due) in slots {
            rt::clock::sleep(due.saturating_duration_since(rt::clock::now())).await;
            if connection.is_over()
                && let Ok(new) = self.target.connect().await
            {
                connection = new;
            }
            let kind = Kind::of(slot);
            let answer = self.ask(&mut connection, kind, slot).await;
            outcome.add(kind, due, &answer);
            if answer.is_ok() && kind == Kind::Create {
                let sent = rt::clock::now();
                let answer = self.ask(&mut connection, Kind::Delete, slot).await;
                outcome.add(Kind::Delete, sent, &answer);
            }
        }
        (connection, outcome)
    }

    async fn ask(&self, connection: &mut Connection, kind: Kind, slot: u64) -> Result<Bytes, Failed> {
        const VMS: &str = "/v1/projects/default/vms";
        let any = mixed(!slot);
        let pick = |of: &[String]| of[usize::try_from(any % of.len() as u64).unwrap_or(0)].clone();
        let (method, path, body) = match kind {
            Kind::Get => (Method::GET, format!("{VMS}/vm-{}", any % self.vms), Bytes::new()),
            Kind::Page => (Method::GET, pick(&self.pages), Bytes::new()),
            Kind::List => (Method::GET, pick(&self.lists), Bytes::new()),
            Kind::Create => {
                let body = serde_json::to_vec(&new_vm(&format!("load-{slot}"))).expect("JSON");
                (Method::POST, VMS.to_owned(), body.into())
            }
            Kind::Delete => (Method::DELETE, format!("{VMS}/load-{slot}"), Bytes::new()),
        };
        connection.ask(method, &path, body).await
    }
}

/// The path of each page of this size.
async fn pages(connection: &mut Connection, limit: usize) -> Vec<String> {
    let mut paths = vec![format!("/v1/projects/default/vms?limit={limit}")];
    loop {
        let path = paths[paths.len() - 1].clone();
        let body = connection.ask(Method::GET, &path, Bytes::new()).await.expect("a page");
        let page: serde_json::Value = serde_json::from_slice(&body).expect("a page is JSON");
        match page["next"].as_str() {
            Some(next) => paths.push(format!("{}&cursor={next}", paths[0])),
            None => return paths,
        }
    }
}
