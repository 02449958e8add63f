//! From `vm create` to the guest's SSH banner, beside the same machine started by hand: the same hypervisor with the same
//! command line, the same kernel, seed and kind of disk, and the same probe. In turns, a VM and a machine by hand.
//!
//! `bench/boot/run [--quick]`
#![allow(clippy::expect_used)] // what is not as it must be ends the benchmark

use api::{NewObject, Vm, VmSpec};
use base::Name;
use bench::{Row, flag, median, note};
use client::{Client, Key, wait::Goal};
use e2e::{Cluster, Layout, Process, Setup, guest_image};
use futures::{StreamExt, stream::FuturesUnordered};
use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::{
    io::AsyncReadExt,
    net::{TcpListener, TcpStream},
};

const PAIRS: usize = 15;
const LIMIT: Duration = Duration::from_mins(2);
/// The worker's probe: a new attempt each time, which has so long.
const INTERVAL: Duration = Duration::from_millis(100);
const ATTEMPT: Duration = Duration::from_secs(1);

#[tokio::main]
async fn main() {
    let guest = guest_image().expect("a guest image: make guest");
    let cluster = Cluster::start(Setup::qemu(Layout::Apart, 1, guest)).await;
    let client = cluster.client();
    let by_hand = ByHand::like(&cluster, &client).await;
    let (mut ours, mut floor) = (Vec::new(), Vec::new());
    for pair in 1..=if flag("--quick") { 2 } else { PAIRS } {
        ours.push(vm(&client, &format!("vm-{pair}")).await);
        floor.push(by_hand.boot().await);
        note(format!("pair {pair}: vm create {:.0} ms, by hand {:.0} ms", ours[pair - 1], floor[pair - 1]));
    }
    let pairs: Vec<f64> = ours.iter().zip(&floor).map(|(a, b)| a - b).collect();
    let [ours, floor, overhead] = [median(&ours), median(&floor), median(&pairs)];
    Row::new(format!("`vm create` to SSH banner, median of {}", pairs.len()), format!("{ours:.0} ms"))
        .beside(format!("by hand {floor:.0} ms"), Some(ours / floor))
        .print();
    Row::new("overhead of `vm create`, median of the pairs", format!("{overhead:.0} ms"))
        .target("100 ms", overhead < 100.0)
        .print();
}

/// Makes a VM, and removes it. The milliseconds until it was seen running, which it is once its banner was read.
async fn vm(client: &Client, name: &str) -> f64 {
    let key = Key::in_project("default", name);
    let took = create(client, name).await;
    client.delete::<Vm>(&key).await.expect("it goes");
    client::wait::vm(client, &key, Goal::Deleted, LIMIT, |_| {}).await.expect("it is gone");
    took
}

async fn create(client: &Client, name: &str) -> f64 {
    let word = |text: &str| Name::new(text).expect("a name");
    let new = NewObject { name: word(name), labels: [].into(), spec: VmSpec::new(word("tiny")) };
    let start = rt::clock::now();
    client.create::<Vm, _>(Some("default"), &new).await.expect("it is made");
    let key = Key::in_project("default", name);
    let vm = client::wait::vm(client, &key, Goal::Ready, LIMIT, |_| {}).await.expect("it runs");
    let took = milliseconds(start);
    if let Some(vm) = vm {
        let ms = |t: Option<_>| t.map_or(0, |t| vm.metadata.created_at.duration_until(t).as_millis());
        let status = &vm.status;
        let [assigned, started, ready] = [status.assigned_at, status.started_at, status.ready_at].map(ms);
        note(format!(
            "{name}: assigned at {assigned}, started at {started}, ready at {ready} ms; seen after {took:.0}"
        ));
    }
    took
}

fn milliseconds(since: rt::clock::Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1000.0
}

/// A machine as the worker starts it, without the worker.
struct ByHand {
    program: PathBuf,
    args: Vec<String>,
    dir: PathBuf,
}

impl ByHand {
    /// Takes the command line from a VM that runs, and its seed.
    async fn like(cluster: &Cluster, client: &Client) -> Self {
        create(client, "model").await;
        let pid = cluster.hypervisors()[0];
        let line = fs::read(format!("/proc/{pid}/cmdline")).expect("its command line");
        let args = line.split(|b| *b == 0).skip(1).map(|a| String::from_utf8_lossy(a).into_owned());
        let program = fs::read_link(format!("/proc/{pid}/exe")).expect("its program");
        let dir = cluster.dir().join("by-hand");
        fs::create_dir(&dir).expect("a directory");
        let from = fs::read_link(format!("/proc/{pid}/cwd")).expect("its directory");
        fs::copy(from.join("seed.iso"), dir.join("seed.iso")).expect("its seed");
        let by_hand = ByHand { program, args: args.filter(|a| !a.is_empty()).collect(), dir };
        let key = Key::in_project("default", "model");
        client.delete::<Vm>(&key).await.expect("it goes");
        client::wait::vm(client, &key, Goal::Deleted, LIMIT, |_| {}).await.expect("it is gone");
        by_hand
    }

    /// Boots it. The milliseconds from the start of the hypervisor; its blank disk was made before.
    async fn boot(&self) -> f64 {
        new_disk(&self.dir).await;
        let port = free_port().await;
        let mut command = rt::process::command(&self.program);
        command.args(self.args.iter().map(|a| plainer(a, port))).current_dir(&self.dir);
        let start = rt::clock::now();
        let mut process = Process::start(command, &self.dir.join("log"));
        rt::clock::timeout(LIMIT, "the banner", banner(port))
            .await
            .unwrap_or_else(|e| panic!("{e}: {}", process.log()));
        let took = milliseconds(start);
        process.kill().await;
        took
    }
}

/// The port of SSH from the start, and the console into a file: nobody is there to ask for them later.
fn plainer(argument: &str, port: u16) -> String {
    if argument.starts_with("user,id=") {
        format!("{argument},hostfwd=tcp:127.0.0.1:{port}-:22")
    } else if argument.starts_with("socket,id=serial") {
        "file,id=serial0,path=console".to_owned()
    } else {
        argument.to_owned()
    }
}

async fn new_disk(dir: &Path) {
    let mut command = rt::process::command("qemu-img");
    command.args(["create", "-q", "-f", "qcow2", "disk.qcow2", "2G"]).current_dir(dir);
    rt::process::run(command, LIMIT).await.expect("a disk");
}

async fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    listener.local_addr().expect("an address").port()
}

/// Attempts overtake each other, as the worker's do: one made before the guest listens hangs.
async fn banner(port: u16) {
    let mut attempts = FuturesUnordered::new();
    loop {
        attempts.push(rt::clock::timeout(ATTEMPT, "a banner", attempt(port)));
        let next = rt::clock::sleep(INTERVAL);
        tokio::pin!(next);
        loop {
            tokio::select! {
                () = &mut next => break,
                Some(answer) = attempts.next() => if let Ok(true) = answer { return },
            }
        }
    }
}

async fn attempt(port: u16) -> bool {
    let Ok(mut stream) = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], port))).await else {
        return false;
    };
    let mut start = [0; 8];
    stream.read_exact(&mut start).await.is_ok() && start.starts_with(b"SSH-2.0-")
}
