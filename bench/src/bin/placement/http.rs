//! Placement as a client sees it: a controller process, creators that each wait for the answer to their request, and a
//! watch that tells when a VM has its worker. TLS, as in production.

use crate::{
    books,
    durable::agree,
    objects::{self, Waiting},
    per_second, percent,
    workload::Workload,
};
use api::{NewObject, Vm, Worker, query::ListQuery};
use base::{Name, Result, Secret, Uid};
use bench::{Latencies, Row, rate};
use client::Client;
use e2e::{Cli, Process, eventually};
use parking_lot::Mutex;
use rt::clock::Instant;
use std::{
    collections::HashMap,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

/// Creators, each with one request at a time.
const CREATORS: usize = 32;
const START: Duration = Duration::from_mins(1);
/// Without news for this long, what still waits waits for good.
const QUIET: Duration = Duration::from_secs(3);

/// What it came to.
pub struct Outcome {
    rate: f64,
    latency: Latencies,
    placed: usize,
    exact: bool,
}

/// When each VM was asked for, and when it had its worker.
#[derive(Default)]
struct Times {
    sent: Mutex<HashMap<String, Instant>>,
    assigned: Mutex<HashMap<Uid, (String, Instant)>>,
}

/// Prepares the store, starts a controller on it, and creates the VMs.
pub async fn measure(load: &Workload) -> Result<Outcome> {
    let dir = tempfile::tempdir().map_err(|e| base::Error::io("make a directory", &e))?;
    let data = dir.path().join("controller");
    rt::files::private_dir(&data)?;
    drop(objects::store(&data.join("store.db"), load, Waiting::Later).await?);
    let cli = Cli::new(dir.path());
    let data_dir = data.to_string_lossy().into_owned();
    let args = ["controller", "run", "--data-dir", &data_dir, "--listen", "127.0.0.1:0"];
    let process = Process::start(cli.command(&args), &dir.path().join("log"));
    let client = connect(&data).await;
    let times = Arc::new(Times::default());
    let mut watch = client.watch(&["vm"], None, None);
    watch.open().await.map_err(|e| e.error)?;
    let watching = rt::task::spawn("watch", follow(watch, times.clone(), load.requests.len()));
    let start = rt::clock::now();
    create_all(&client, load, &times).await;
    watching.await??;
    let (vms, _) = client.list_all::<Vm>(None, &ListQuery::default()).await.map_err(|e| e.error)?;
    let (workers, _) = client.list_all::<Worker>(None, &ListQuery::default()).await.map_err(|e| e.error)?;
    drop(process);
    Ok(outcome(&times, start, agree(&vms, &workers)))
}

async fn connect(data: &Path) -> Client {
    let read = |name: &str| std::fs::read_to_string(data.join(name)).ok();
    eventually("the controller serves", START, || async {
        let mut options = client::Options::new(format!("https://{}", read("address")?.trim()));
        options.token = Some(Secret::new(read("admin.token")?.trim()));
        options.tls = Some(link::pki::client_tls_ca(&read("ca.crt")?).ok()?);
        let client = Client::new(options).ok()?;
        client.call(api::routes::RouteId::WhoAmI, &[]).raw().await.ok()?;
        Some(client)
    })
    .await
}

async fn create_all(client: &Client, load: &Workload, times: &Arc<Times>) {
    let next = Arc::new(AtomicUsize::new(0));
    let requests = Arc::new(load.requests.clone());
    let creators = (0..CREATORS).map(|_| {
        let (client, next, requests, times) = (client.clone(), next.clone(), requests.clone(), times.clone());
        rt::task::spawn("creator", async move {
            while let Some((n, request)) = {
                let n = next.fetch_add(1, Ordering::Relaxed);
                requests.get(n).map(|r| (n, r))
            } {
                let name = objects::vm_name(n);
                let spec = objects::request_spec(request);
                let new = NewObject { name: Name::new(&name).expect("a name"), labels: [].into(), spec };
                times.sent.lock().insert(name, rt::clock::now());
                client.create::<Vm, _>(Some("default"), &new).await.expect("a VM is made");
            }
        })
    });
    for creator in creators.collect::<Vec<_>>() {
        creator.await.expect("a creator ends");
    }
}

async fn follow(mut watch: client::watch::Watch, times: Arc<Times>, wanted: usize) -> Result<()> {
    let mut last = rt::clock::now();
    while times.assigned.lock().len() < wanted && last.elapsed() < QUIET {
        let Ok(change) = rt::clock::timeout(QUIET, "a placement", watch.next()).await else { continue };
        let Some(object) = change.map_err(|e| e.error)?.object else { continue };
        last = rt::clock::now();
        let vm: Vm = serde_json::from_value(object).expect("a VM");
        if vm.status.admitted {
            let name = vm.metadata.name.to_string();
            times.assigned.lock().entry(vm.metadata.uid).or_insert((name, last));
        }
    }
    Ok(())
}

fn outcome(times: &Times, start: Instant, exact: bool) -> Outcome {
    let (sent, assigned) = (times.sent.lock(), times.assigned.lock());
    let mut latency = Latencies::default();
    let mut last = start;
    for (name, at) in assigned.values() {
        if let Some(sent) = sent.get(name) {
            latency.add(*at - *sent);
            last = last.max(*at);
        }
    }
    Outcome { rate: rate(latency.len(), last - start), placed: latency.len(), latency, exact }
}

impl Outcome {
    /// Reports it.
    pub fn rows(&self, workers: u64, best: usize) {
        let share = percent(self.placed, best);
        Row::new(
            format!("placement over HTTPS, {workers} workers, {CREATORS} creators"),
            format!("{}; create to assigned: {}", per_second(self.rate), self.latency.summary()),
        )
        .beside(format!("placed {}, exhaustive scorer {best}", self.placed), Some(share / 100.0))
        .print();
        books(&format!("over HTTPS, {workers} workers"), self.exact);
    }
}
