//! What idle links cost: memory and processor time per connected worker, both ends in this process.
//!
//! `cargo run --release -p link --example idle_links [WORKERS]` (Linux: it reads /proc)
#![allow(clippy::unwrap_used, clippy::disallowed_macros, clippy::disallowed_methods)] // a measurement, not the product

use base::Result;
use bytes::Bytes;
use futures::{Stream, stream};
use link::{
    Hello, KeepAlive, Welcome,
    accept::{Accepted, Acceptor},
    controller_side::{Admitted, Sessions},
    pki::{Ca, WorkerKey, client_tls_worker, server_tls},
    worker_side::{Dial, Handler, Offer, TunnelRequest, run},
};
use std::{sync::Arc, time::Duration};
use tokio::net::TcpListener;

struct Idle;

impl Handler for Idle {
    async fn put_assignments(&self, assignments: Bytes) -> Result<Bytes> {
        Ok(assignments)
    }

    fn report(&self) -> impl Stream<Item = Bytes> + Send + 'static {
        stream::pending()
    }

    async fn tunnel(&self, _: TunnelRequest, _: Offer) -> Result<()> {
        Err(base::Error::not_found("nothing to connect to"))
    }
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|l| l.starts_with("VmRSS:")).unwrap();
    line.split_ascii_whitespace().nth(1).unwrap().parse().unwrap()
}

fn cpu_ms() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields = stat.rsplit_once(')').unwrap().1.split_ascii_whitespace();
    fields.skip(11).take(2).map(|n| n.parse::<u64>().unwrap() * 10).sum()
}

#[tokio::main]
async fn main() {
    let workers = std::env::args().nth(1).and_then(|a| a.parse().ok()).unwrap_or(200_u64);
    let ca = Ca::generate().unwrap();
    let identity = ca.issue_server(&["127.0.0.1".into()], None).unwrap();
    let acceptor = Acceptor::new(server_tls(&ca, &identity).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let sessions = Arc::new(Sessions::new(Welcome::default(), KeepAlive::default()));
    let group = rt::task::Group::new();
    let before = resident_kib();
    let since = rt::clock::now();
    for _ in 0..workers {
        let uid = rt::ids::uid();
        let key = WorkerKey::generate().unwrap();
        let certificate = ca.issue_worker(uid, &key.csr_pem).unwrap();
        let tls = client_tls_worker(ca.certificate_pem(), &certificate, &key.key_pem).unwrap();
        let dial = Dial::new(address.clone(), tls);
        group.spawn(
            "worker",
            async move { match run(dial, Hello::new(uid, 1), Arc::new(Idle), |_| {}).await {} },
        );
        for _ in 0..2 {
            let Ok(Accepted::Link(incoming)) = acceptor.accept(listener.accept().await.unwrap().0).await
            else {
                panic!("no link")
            };
            if let Admitted::Session(session) = sessions.admit(incoming).await.unwrap() {
                let report = session.report().await.unwrap();
                group.spawn("report", async move {
                    let _session = session; // both live as long as this task
                    futures::StreamExt::for_each(report, |_| std::future::ready(())).await;
                });
            }
        }
    }
    println!("{workers} workers joined in {:.2?}", since.elapsed());
    println!("{:.0} KiB per worker, both ends and both connections", {
        #[allow(clippy::cast_precision_loss)]
        let kib = (resident_kib() - before) as f64 / workers as f64;
        kib
    });
    let busy = cpu_ms();
    rt::clock::sleep(Duration::from_secs(30)).await;
    println!("{} ms of CPU in 30 idle seconds", cpu_ms() - busy);
}
