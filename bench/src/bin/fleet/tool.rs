//! The tools, each as its users would call it for speed: as many nodes at once as there are, nothing that is not asked for.

use crate::lab::Lab;
use bench::{cpu_time_of_children, median, note};
use std::{path::PathBuf, process::Stdio, time::Duration};
use tokio::process::Command;

/// Longer than anything takes.
const LIMIT: Duration = Duration::from_mins(3);
/// Until the servers have buried the sessions of a call.
const SETTLED: Duration = Duration::from_millis(300);

/// The command that all run; what it says is not in its own text.
pub const COMMAND: &str = "echo up-$((40+2))";
/// What it says.
const ANSWER: &str = "up-42";

/// What a call must have done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Shown the answer of each node.
    Answers,
    /// Ended well.
    Success,
    /// Done both steps on each node.
    Deployed,
}

/// The call of a tool, and what it took so far.
pub struct Tool {
    /// As its users know it.
    pub name: &'static str,
    call: Box<dyn Fn() -> Command>,
    expected: Expected,
    wall: Vec<f64>,
    cpu: Vec<f64>,
    nodes: Vec<f64>,
}

impl Tool {
    /// A tool that is there; a note where it is not.
    pub fn find(
        name: &'static str,
        program: &str,
        expected: Expected,
        call: impl Fn(PathBuf) -> Command + 'static,
    ) -> Option<Self> {
        let path = find(program);
        if path.is_none() {
            note(format!("missing: {name} (no program {program})"));
        }
        Some(Self::new(name, expected, {
            let path = path?;
            move || call(path.clone())
        }))
    }

    /// A call.
    pub fn new(name: &'static str, expected: Expected, call: impl Fn() -> Command + 'static) -> Self {
        Tool { name, call: Box::new(call), expected, wall: Vec::new(), cpu: Vec::new(), nodes: Vec::new() }
    }

    /// Calls it once; what that took is forgotten.
    pub async fn rehearse(&mut self, lab: &Lab) {
        self.run(lab).await;
        for taken in [&mut self.wall, &mut self.cpu, &mut self.nodes] {
            taken.clear();
        }
    }

    /// Calls it once, and sees to it that it did what it should.
    pub async fn run(&mut self, lab: &Lab) {
        lab.clean();
        let mut command = (self.call)();
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let (used, served, start) = (cpu_time_of_children(), lab.cpu_time(), rt::clock::now());
        let output = rt::clock::timeout(LIMIT, self.name, command.output()).await;
        let wall = start.elapsed().as_secs_f64();
        let cpu = cpu_time_of_children().saturating_sub(used).as_secs_f64();
        rt::clock::sleep(SETTLED).await;
        let nodes = lab.cpu_time().saturating_sub(served).as_secs_f64();
        let output = output.expect("it ends").expect("it starts");
        let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        let right = match self.expected {
            Expected::Answers => said.matches(ANSWER).count() == lab.len(),
            Expected::Success => true,
            Expected::Deployed => lab.deployed() == lab.len(),
        };
        assert!(output.status.success() && right, "{} ({}): {said}", self.name, output.status);
        note(format!("{}: {wall:.3} s, {cpu:.2} s of processor time, {nodes:.2} s of the nodes", self.name));
        self.wall.push(wall);
        self.cpu.push(cpu);
        self.nodes.push(nodes);
    }

    /// Seconds until it had ended, the median.
    pub fn wall(&self) -> f64 {
        median(&self.wall)
    }

    /// Milliseconds of processor time for each node, without what the nodes need, the median.
    pub fn cpu(&self, lab: &Lab) -> f64 {
        median(&self.cpu) * 1000.0 / per(lab)
    }

    /// Seconds of processor time of all nodes, the median.
    pub fn nodes(&self) -> f64 {
        median(&self.nodes)
    }

    /// `clush 0.95 s`
    pub fn beside(&self) -> String {
        format!("{} {:.2} s", self.name, self.wall())
    }
}

#[allow(clippy::cast_precision_loss)] // few
fn per(lab: &Lab) -> f64 {
    lab.len() as f64
}

/// Where a program is: among the peers of this benchmark, or on the path.
#[allow(clippy::disallowed_methods)] // a tool of its own: it reads the environment
fn find(program: &str) -> Option<PathBuf> {
    let peers = std::env::var_os("HOSTLER_BENCH_PEERS").map(|p| PathBuf::from(p).join("bin"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    peers.into_iter().chain(std::env::split_paths(&path)).map(|dir| dir.join(program)).find(|p| p.is_file())
}
