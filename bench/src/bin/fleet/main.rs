//! Commands, checks and deployments on fifty real SSH servers, beside the tools that others use: in the same run, on the same
//! machine, in turns. All machines of the fleet and the controller share it, so that the nodes' own work is in every time.
//!
//! `bench/fleet/run [cold] [warm] [check] [deploy] [memory] [--quick]`
#![allow(clippy::expect_used)] // what is not as it must be ends the benchmark

mod lab;
mod many;
mod peers;
mod tool;

use bench::{Row, argument, cpu_time, flag};
use lab::Lab;
use tool::{COMMAND, Expected, Tool};

/// How often each tool is called; Ansible's playbooks, which take half a minute, a quarter as often.
const ROUNDS: usize = 7;

#[tokio::main]
async fn main() {
    let wanted = |part: &str| argument(1).is_none() || (1..6).any(|n| argument(n).as_deref() == Some(part));
    let (nodes, rounds) = if flag("--quick") { (5, 1) } else { (50, ROUNDS) };
    let lab = Lab::start(nodes, nodes).await;
    if wanted("cold") {
        cold(&lab, rounds).await;
    }
    if wanted("warm") {
        warm(&lab, rounds).await;
    }
    if wanted("check") {
        let ours = hostler(&lab, Expected::Success, &["check"]);
        service(&lab, rounds, "check", ours, peers::checks(&lab)).await;
    }
    if wanted("deploy") {
        let ours = hostler(&lab, Expected::Deployed, &["deploy", "--yes"]);
        service(&lab, rounds, "deployment", ours, peers::deployments(&lab)).await;
    }
    if wanted("memory") {
        many::measure(nodes, nodes * 20).await;
    }
}

/// Our call with these words.
fn hostler(lab: &Lab, expected: Expected, args: &[&'static str]) -> Tool {
    let (dir, args, forks) = (lab.path(""), args.to_vec(), lab.len().to_string());
    Tool::new("hostler", expected, move || {
        lab::hostler(&dir, &[args.as_slice(), &["--all", "--forks", &forks]].concat())
    })
}

async fn cold(lab: &Lab, rounds: usize) {
    let mut ours = hostler(lab, Expected::Answers, &["run", "--command", COMMAND]);
    let mut others = peers::cold(lab);
    for _ in 0..rounds {
        ours.run(lab).await;
        for tool in &mut others {
            tool.run(lab).await;
        }
    }
    let (what, wall) = (format!("one command on {} nodes, new connections", lab.len()), ours.wall());
    let alone = ours.nodes() / f64::from(rt::host::cpus());
    Row::new(&what, format!("{wall:.2} s"))
        .target("1.3x the servers' own work", wall <= 1.3 * alone)
        .beside(format!("the servers' processor time over the cores {alone:.2} s"), Some(wall / alone))
        .print();
    for (place, tool) in others.iter().enumerate() {
        let (target, most) = if place == 0 { ("1.3x plain ssh", 1.3) } else { ("ahead", 1.0) };
        Row::new(&what, format!("{wall:.2} s"))
            .target(target, wall <= most * tool.wall())
            .beside(tool.beside(), Some(wall / tool.wall()))
            .print();
    }
    let cpu = ours.cpu(lab);
    let beside: Vec<String> = others.iter().map(|t| format!("{} {:.1}", t.name, t.cpu(lab))).collect();
    Row::new("processor time of the controller for it", format!("{cpu:.1} ms per node"))
        .target("4 ms", cpu <= 4.0)
        .beside(beside.join(", "), None)
        .print();
}

/// With connections that are open, all but the first run. What keeps them is on our side, and its work is ours.
async fn warm(lab: &Lab, rounds: usize) {
    let mut ours = hostler(lab, Expected::Answers, &["run", "--persist", "--command", COMMAND]);
    let mut others = peers::warm(lab);
    for tool in std::iter::once(&mut ours).chain(&mut others) {
        tool.rehearse(lab).await;
    }
    let keeper = lab.keeper();
    let used = cpu_time(keeper);
    for _ in 0..rounds {
        ours.run(lab).await;
        for tool in &mut others {
            tool.run(lab).await;
        }
    }
    let kept = (cpu_time(keeper).saturating_sub(used) / u32::try_from(rounds).unwrap_or(1)).as_secs_f64();
    rt::process::signal(keeper, rt::process::Signal::KILL).expect("it can be ended");
    let (what, wall) = (format!("one command on {} nodes, open connections", lab.len()), ours.wall());
    for tool in &others {
        Row::new(&what, format!("{wall:.3} s"))
            .target("0.15 s", wall <= 0.15)
            .beside(tool.beside(), Some(wall / tool.wall()))
            .print();
    }
    let nodes = f64::from(u32::try_from(lab.len()).unwrap_or(1));
    let cpu = ours.cpu(lab) + kept * 1000.0 / nodes;
    Row::new("processor time of the controller for it", format!("{cpu:.1} ms per node"))
        .target("4 ms", cpu <= 4.0)
        .beside(format!("the nodes' own {:.1}", ours.nodes() * 1000.0 / nodes), None)
        .print();
}

/// A service of two steps, beside pyinfra and Ansible's playbook.
async fn service(lab: &Lab, rounds: usize, what: &str, mut ours: Tool, others: [Option<Tool>; 2]) {
    let [mut pyinfra, mut playbook] = others;
    for round in 0..rounds {
        ours.run(lab).await;
        if let Some(tool) = &mut pyinfra {
            tool.run(lab).await;
        }
        if let Some(tool) = playbook.as_mut().filter(|_| round % 4 == 0) {
            tool.run(lab).await;
        }
    }
    let wall = ours.wall();
    for (tool, factor) in [(pyinfra, 2.0), (playbook, 20.0)] {
        let Some(tool) = tool else { continue };
        Row::new(format!("{what} of a template and a command, {} nodes", lab.len()), format!("{wall:.2} s"))
            .target(format!("{factor:.0} times as fast"), wall * factor <= tool.wall())
            .beside(tool.beside(), Some(wall / tool.wall()))
            .print();
    }
}
