//! Watchers and what they watch: 50 labels a second are changed to the time of the change, and each watcher tells how
//! long ago that was.

use crate::{
    connection::{Connection, Target},
    setup::{Stage, WATCHED, WATCHED_VMS},
};
use bench::Latencies;
use bytes::Bytes;
use http::Method;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use parking_lot::Mutex;
use rt::{clock::Instant, task::Task};
use std::{collections::HashSet, sync::Arc, time::Duration};

/// Changes per second.
const CHANGES: u32 = 50;
/// What stands before the time in an event.
const MARK: &[u8] = b"\"sent\":\"t";

/// Connections that watch, and one that changes.
pub struct Watchers {
    lags: Arc<Mutex<Latencies>>,
    tasks: Vec<Task<()>>,
}

impl Watchers {
    pub async fn start(stage: &Stage) -> Self {
        let (target, begin) = (Target::of(&stage.cluster), rt::clock::now());
        let lags = Arc::new(Mutex::new(Latencies::default()));
        let mut tasks = Vec::new();
        for _ in 0..stage.size.watchers {
            let mut connection = target.connect().await.expect("a connection");
            let path = format!("/v1/watch?kinds=vm&project={WATCHED}");
            let answer = connection.open(Method::GET, &path, Bytes::new()).await.expect("a watch");
            assert!(answer.status().is_success(), "a watch: {}", answer.status());
            let watching = watch(connection, answer.into_body(), begin, lags.clone());
            tasks.push(rt::task::spawn("watcher", watching));
        }
        for n in 0..4 {
            let connection = target.connect().await.expect("a connection");
            tasks.push(rt::task::spawn("changer", change(connection, begin, n)));
        }
        Watchers { lags, tasks }
    }

    /// Ends them, and says how late each change was.
    pub async fn finish(self) -> Latencies {
        for task in &self.tasks {
            task.abort();
        }
        for task in self.tasks {
            let _ = task.await; // it was aborted
        }
        std::mem::take(&mut self.lags.lock())
    }
}

/// One of four changers: due times as in the load's open loop.
async fn change(mut connection: Connection, begin: Instant, first: u32) {
    for n in (first..).step_by(4) {
        let due = begin + Duration::from_secs(1) * n / CHANGES;
        if due < rt::clock::now() {
            continue; // the watchers took a while to connect
        }
        rt::clock::sleep(due.saturating_duration_since(rt::clock::now())).await;
        let path = format!("/v1/projects/{WATCHED}/vms/vm-{}", n as usize % WATCHED_VMS);
        let body = format!(r#"{{"labels":{{"sent":"t{}"}}}}"#, (due - begin).as_nanos());
        connection.ask(Method::PATCH, &path, body.into()).await.expect("a change");
    }
}

async fn watch(connection: Connection, mut body: Incoming, begin: Instant, lags: Arc<Mutex<Latencies>>) {
    let _connection = connection; // the answer ends with it
    let (mut rest, mut seen) = (Vec::new(), HashSet::new());
    while let Some(Ok(frame)) = body.frame().await {
        let Ok(data) = frame.into_data() else { continue };
        rest.extend_from_slice(&data);
        let Some(end) = rest.windows(2).rposition(|w| w == b"\n\n") else { continue };
        for sent in times(&rest[..end]) {
            // Later changes of the same VM repeat the label.
            if seen.insert(sent) {
                let lag = begin.elapsed().saturating_sub(Duration::from_nanos(sent));
                lags.lock().add(lag);
            }
        }
        rest.drain(..end + 2);
    }
}

fn times(text: &[u8]) -> impl Iterator<Item = u64> {
    let starts =
        text.windows(MARK.len()).enumerate().filter(|(_, w)| *w == MARK).map(|(at, _)| at + MARK.len());
    starts.filter_map(|at| {
        let digits = text[at..].iter().take_while(|b| b.is_ascii_digit()).count();
        std::str::from_utf8(&text[at..at + digits]).ok()?.parse().ok()
    })
}
