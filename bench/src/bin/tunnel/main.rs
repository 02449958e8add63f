//! One bulk stream through `hostler vm port-forward`, beside `ssh -L` through a jump host and beside three relays with
//! TLS between them: in the same run, on the same machine, in turns. Everything is a process of its own.
//!
//! `bench/tunnel/run [--quick]`
#![allow(clippy::expect_used)] // what is not as it must be ends the benchmark

mod ends;
mod forward;
mod relays;
mod ssh;

use bench::{Latencies, Row, argument, flag, median, note};
use ends::{Ends, Server, download, echo_times, upload};
use std::time::Duration;

const ROUNDS: usize = 5;
const MIB: u64 = 1 << 20;

/// The rates of one way through, in Gbit/s.
#[derive(Default)]
struct Rates {
    down: Vec<f64>,
    up: Vec<f64>,
}

impl Rates {
    async fn measure(&mut self, ends: &Ends, bytes: u64) {
        self.down.push(download(ends.source, bytes).await);
        self.up.push(upload(ends.sink, bytes).await);
    }

    fn last(&self) -> String {
        format!("{:.2} down, {:.2} up", self.down.last().unwrap_or(&0.0), self.up.last().unwrap_or(&0.0))
    }
}

#[tokio::main]
async fn main() -> base::Result<()> {
    if flag("--relay") {
        let place: usize = argument(1).and_then(|n| n.parse().ok()).expect("a place");
        return relays::relay(place, &argument(2).expect("a directory"), &argument(3).expect("an address"))
            .await;
    }
    let (rounds, bytes) = if flag("--quick") { (1, 32 * MIB) } else { (ROUNDS, 1024 * MIB) };
    let server = Server::start().await;
    let forward = forward::Forward::start().await;
    let ssh = ssh::Jump::start(server.ends).await?;
    let relays = relays::Relays::start(server.ends).await;
    let (mut ours, mut theirs, mut floor) = (Rates::default(), Rates::default(), Rates::default());
    for round in 1..=rounds {
        ours.measure(&forward.ends, bytes).await;
        theirs.measure(&ssh.ends, bytes).await;
        floor.measure(&relays.ends, bytes).await;
        note(format!(
            "round {round}: hostler {}; ssh -L {}; relays {}",
            ours.last(),
            theirs.last(),
            floor.last()
        ));
    }
    report("from the VM", &ours.down, &theirs.down, &floor.down);
    report("into the VM", &ours.up, &theirs.up, &floor.up);
    let load = rt::task::spawn("load", ends::load(forward.ends.source));
    let span = Duration::from_secs(if flag("--quick") { 2 } else { 15 });
    let mut terminal = forward.console();
    let typing = echo_times(terminal.stream(), span).await;
    let sharing = echo_times(ends::connect(forward.echo).await, span).await;
    drop(load);
    keystrokes(&typing, &sharing);
    Ok(())
}

fn report(direction: &str, ours: &[f64], theirs: &[f64], floor: &[f64]) {
    let [ours, theirs, floor] = [ours, theirs, floor].map(median);
    let row = || Row::new(format!("tunnel, one bulk stream {direction}"), format!("{ours:.2} Gbit/s"));
    let beside = |what: &str, rate: f64| format!("{what} {rate:.2} Gbit/s");
    row()
        .target("1.5x ssh -L", ours >= 1.5 * theirs)
        .beside(beside("`ssh -L` through a jump host", theirs), Some(ours / theirs))
        .print();
    row()
        .target("0.5x three TLS relays", ours >= 0.5 * floor)
        .beside(beside("three relays, TLS on both legs", floor), Some(ours / floor))
        .print();
}

fn keystrokes(typing: &Latencies, sharing: &Latencies) {
    let p99 = typing.quantile(990);
    Row::new("`vm console`, keystroke echo beside a bulk stream", typing.summary())
        .target("p99 20 ms", p99 < Duration::from_millis(20))
        .print();
    Row::new("a forwarded port, one byte and back beside a bulk stream", sharing.summary()).print();
}
