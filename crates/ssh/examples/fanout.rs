//! What reaching many hosts costs this process: time, processor time and memory for each, on real OpenSSH servers that
//! it starts itself.
//!
//! `cargo run --release -p ssh --example fanout [SERVERS] [CONNECTIONS PER SERVER] [KEX]` (Linux: it reads /proc)
#![allow(clippy::unwrap_used, clippy::disallowed_macros, clippy::disallowed_methods)] // a measurement, not the product

use bytes::Bytes;
use ssh::{
    Connection, DialOptions, Dialer, ExecEvent, ExecRequest, Target,
    config::{Files, Surroundings},
};
use std::time::Duration;
use testkit::sshd::Sshd;

/// Milliseconds of processor time of this process, without its children (proc(5): fields 14 and 15, in 1/100 s).
fn processor() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_ascii_whitespace().collect();
    (fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()) * 10
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|l| l.starts_with("VmRSS:")).unwrap();
    line.split_ascii_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Runs something for all, and says what it cost each.
async fn measure<T>(what: &str, count: u64, work: impl Future<Output = Vec<T>>) -> Vec<T> {
    let (start, used) = (rt::clock::now(), processor());
    let results = work.await;
    #[allow(clippy::cast_precision_loss)]
    let each = (processor() - used) as f64 / count as f64;
    println!("{what:<28} {:>7.3} s  {each:>6.2} ms of processor time each", start.elapsed().as_secs_f64());
    results
}

async fn run(connection: Connection) -> Connection {
    let output = connection.output(ExecRequest::command("hostname"), Bytes::new(), 1 << 16).await.unwrap();
    assert!(output.success());
    connection
}

async fn fan_out(servers: &[Sshd], each: usize, kex: Option<&str>) {
    let options = DialOptions { files: Files::Nothing, ..DialOptions::default() };
    let dialer = Dialer::new(&Surroundings::default(), options).unwrap();
    let target = |server: &Sshd, number: usize| {
        let mut options = vec![("SetEnv".to_owned(), format!("N={number}"))];
        options.extend(kex.map(|kex| ("KexAlgorithms".to_owned(), kex.to_owned())));
        Target {
            address: Some(server.address().ip().to_string()),
            port: Some(server.address().port()),
            user: Some(server.user().to_owned()),
            identity_files: vec![server.identity()],
            host_keys: vec![server.host_key().to_owned()],
            options,
            ..Target::new("node")
        }
    };
    let targets: Vec<Target> = servers.iter().flat_map(|s| (0..each).map(|n| target(s, n))).collect();
    let count = targets.len() as u64;
    let connecting = targets.into_iter().map(|target| {
        let dialer = dialer.clone();
        rt::task::spawn("node", async move { run(dialer.connect(&target).await.unwrap()).await })
    });
    let cold = futures::future::join_all(connecting);
    let before = resident_kib();
    let open = measure("connect and one command", count, cold).await;
    let open: Vec<Connection> = open.into_iter().map(Result::unwrap).collect();
    println!("{:<28} {:>7} KiB each", "memory, open", (resident_kib().saturating_sub(before)) / count);
    let again = open.into_iter().map(|connection| rt::task::spawn("node", run(connection)));
    let open = measure("another command", count, futures::future::join_all(again)).await;
    let open_again: Vec<Connection> = open.into_iter().map(Result::unwrap).collect();
    let waiting = open_again.iter().map(|connection| async {
        let exec = connection.exec(ExecRequest::command("echo up; exec cat")).await.unwrap();
        let (sender, mut receiver) = exec.split();
        assert!(matches!(receiver.next().await, Some(ExecEvent::Stdout(_))));
        (sender, receiver)
    });
    let running = futures::future::join_all(waiting).await;
    println!("{:<28} {:>7} KiB each", "memory, in flight", (resident_kib().saturating_sub(before)) / count);
    drop(running);
    // Nobody reads what these say.
    let flooding = open_again.iter().map(|c| c.exec(ExecRequest::command("exec cat /dev/zero")));
    let flooding = futures::future::join_all(flooding).await;
    rt::clock::sleep(Duration::from_secs(3)).await;
    println!(
        "{:<28} {:>7} KiB each",
        "memory, nobody reads",
        (resident_kib().saturating_sub(before)) / count
    );
    drop(flooding);
    dialer.close().await;
}

#[tokio::main]
async fn main() {
    rt::process::raise_file_limit();
    let args: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, usual: usize| args.get(at).map_or(usual, |text| text.parse().unwrap());
    let (count, each) = (number(0, 50), number(1, 1));
    let servers = futures::future::join_all((0..count).map(|_| Sshd::start(&[]))).await;
    let servers: Vec<Sshd> = servers.into_iter().map(Result::unwrap).collect();
    rt::clock::sleep(Duration::from_secs(1)).await;
    let lists = match args.get(2) {
        Some(kex) => vec![Some(kex.as_str())],
        None => vec![None, Some("curve25519-sha256"), Some("ecdh-sha2-nistp256")],
    };
    for kex in lists {
        println!(
            "--- {} servers, {each} connections each, key exchange: {}",
            count,
            kex.unwrap_or("as usual")
        );
        fan_out(&servers, each, kex).await;
    }
}
