//! Runs tests on nodes and platforms.

use super::{
    Declared, Kind, Outcome, Report, Script, Subject,
    checks::{self, Orphans},
    declared::On,
    expected,
    outcome::Found,
    platform, ports,
    probe::{self, Answer, Probe},
    wanted::{self, Both, Wanted},
};
use crate::{
    connector::{Connectors, Local, over},
    engine::{Engine, Failure, Interrupt, Job, Limits, Observer, Out},
    run::Identity,
    session::{Become, Command, Ended, Output, Session},
};
use base::{Error, Result, Secret};
use futures::future::join_all;
use inventory::{Inventory, Node};
use rt::clock;
use secrets::{Lazy, Redactor, Secrets};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    time::Duration,
};

/// How long the look for orphan files may take.
const FIND: Duration = Duration::from_mins(5);

/// Which tests are run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Chosen {
    /// All that have a meaning.
    #[default]
    All,
    /// Those of these names.
    Named(BTreeSet<String>),
}

impl Chosen {
    /// Those of these names, of which each must exist; none means all.
    ///
    /// # Errors
    /// [`base::Code::NotFound`] for a name that no test has.
    pub fn named(names: &[String], scripts: &[Script]) -> Result<Self> {
        if names.is_empty() {
            return Ok(Chosen::All);
        }
        let known = |name: &String| match name.parse::<Kind>() {
            Ok(kind) => Ok(kind.to_string()),
            Err(_) if scripts.iter().any(|s| s.name == *name) => Ok(name.clone()),
            Err(e) => Err(e.hint("see: hostler test --list")),
        };
        names.iter().map(known).collect::<Result<_>>().map(Chosen::Named)
    }

    fn has(&self, name: &str) -> bool {
        match self {
            Chosen::All => true,
            Chosen::Named(names) => names.contains(name),
        }
    }
}

/// What tests need.
pub struct Runner<'a> {
    /// The fleet directory.
    pub dir: &'a Path,
    /// All nodes and platforms.
    pub inventory: &'a Inventory,
    /// The nodes to test.
    pub nodes: &'a [Node],
    /// What they should be like.
    pub declared: &'a Declared,
    /// Tests of one's own.
    pub scripts: &'a [Script],
    /// How nodes are reached.
    pub connectors: &'a Connectors,
    /// Read where a script needs one.
    pub secrets: &'a Lazy,
    /// Passwords that were given: no result shows them.
    pub passwords: Vec<Secret>,
    /// As whom what is run on nodes is run.
    pub identity: &'a Identity,
    /// How many nodes at once.
    pub limits: &'a Limits,
    /// Who may end it early.
    pub interrupt: &'a Interrupt,
    /// Who watches.
    pub observer: &'a dyn Observer,
}

impl Runner<'_> {
    /// Runs tests and judges their outcomes.
    ///
    /// # Errors
    /// What is declared cannot be understood, or secrets cannot be read. Tests that fail are no error.
    pub async fn run(&self, chosen: &Chosen) -> Result<Report> {
        let wanted = wanted::of_all(self.declared, self.inventory).await?;
        let expectations = expected::expectations(&self.declared.expected_failures, self.inventory).await?;
        let plans = self.plans(chosen, &wanted);
        let needed = plans.values().flat_map(|p| &p.scripts).any(|s| s.needs_secrets());
        let secrets = if needed { Some(self.secrets.get().await?) } else { None };
        let mut outcomes = self.on_nodes(chosen, plans, secrets).await;
        outcomes.extend(self.on_platforms(chosen).await);
        let all = *chosen == Chosen::All && self.nodes.len() == self.inventory.nodes.len();
        expected::judge(&mut outcomes, &expectations, all && !self.interrupt.is_stopping());
        let redactor = self.redactor()?;
        for outcome in &mut outcomes {
            outcome.redact(&redactor);
        }
        outcomes.sort_by_cached_key(|o| (o.subject.clone(), rank(&o.test), o.test.clone()));
        Ok(Report::new(outcomes))
    }

    fn redactor(&self) -> Result<Redactor> {
        let of_inventory = self.inventory.secrets();
        let others = self.passwords.iter().chain(&of_inventory);
        match self.secrets.if_read() {
            Some(secrets) => secrets.redactor(others),
            None => Redactor::new(others),
        }
    }

    fn plans<'s>(
        &'s self,
        chosen: &Chosen,
        wanted: &BTreeMap<String, Wanted>,
    ) -> BTreeMap<&'s str, Plan<'s>> {
        let plan = |node: &'s Node| {
            let wanted = wanted.get(&node.name).cloned().unwrap_or_default();
            (node.name.as_str(), Plan::new(node, &wanted, chosen, self.scripts))
        };
        self.nodes.iter().map(plan).collect()
    }

    async fn on_nodes(
        &self,
        chosen: &Chosen,
        plans: BTreeMap<&str, Plan<'_>>,
        secrets: Option<&Secrets>,
    ) -> Vec<Outcome> {
        let job =
            NodeTests { runner: self, plans, secrets, connection: chosen.has(Kind::Connection.as_str()) };
        let tested: Vec<Node> =
            self.nodes.iter().filter(|n| !job.plans[n.name.as_str()].is_empty()).cloned().collect();
        // Results are redacted at the end; no output is shown on the way.
        let redactor = &Redactor::default();
        let engine =
            Engine { limits: self.limits, interrupt: self.interrupt, observer: self.observer, redactor };
        let done = engine.run(&tested, &job).await;
        let outcomes = done.into_iter().map(|done| match done.value {
            Some(outcomes) => outcomes,
            None => {
                job.plans[done.outcome.node.as_str()].not_run(&done.outcome.node, done.outcome.error.as_ref())
            }
        });
        outcomes.flatten().collect()
    }

    /// Platforms of which a node is tested.
    async fn on_platforms(&self, chosen: &Chosen) -> Vec<Outcome> {
        let names: BTreeSet<&str> = self.nodes.iter().map(|n| n.platform.as_str()).collect();
        let mut outcomes = Vec::new();
        for platform in self.inventory.platforms.values().filter(|p| names.contains(p.name.as_str())) {
            let mut add = |kind: Kind, found, begin: clock::Instant| {
                let subject = Subject::Platform(platform.name.clone());
                outcomes.push(Outcome::new(kind.as_str(), subject, found, begin.elapsed()));
            };
            let begin = clock::now();
            if chosen.has(Kind::LinearHistory.as_str()) {
                add(Kind::LinearHistory, platform::linear_history(platform).await, begin);
            }
            let begin = clock::now();
            if chosen.has(Kind::UniqueAddresses.as_str()) {
                add(Kind::UniqueAddresses, platform::unique_addresses(platform, self.inventory), begin);
            }
        }
        outcomes
    }
}

/// Tests that are built in come first, in their own order.
fn rank(test: &str) -> usize {
    Kind::ALL.iter().position(|kind| kind.as_str() == test).unwrap_or(Kind::ALL.len())
}

/// An open way to where something is run, and as whom.
pub(super) struct Way {
    session: Session,
    user: Option<Become>,
}

impl Way {
    /// As [`Session::output`].
    pub(super) async fn output(&self, command: Command, most: usize) -> Result<Output> {
        self.session.output(Command { r#become: self.user.clone(), ..command }, most).await
    }
}

/// What is done for one node.
struct Plan<'a> {
    probes: Vec<(Kind, Box<dyn Probe>)>,
    orphans: Option<Orphans>,
    dial: Option<(String, Both<u16>)>,
    scripts: Vec<&'a Script>,
}

impl<'a> Plan<'a> {
    fn new(node: &Node, wanted: &Wanted, chosen: &Chosen, scripts: &'a [Script]) -> Self {
        let kinds = Kind::ALL.into_iter().filter(|kind| chosen.has(kind.as_str()));
        let probes = kinds.filter_map(|kind| checks::probe(kind, node, wanted).map(|probe| (kind, probe)));
        let orphans = chosen.has(Kind::OrphanFiles.as_str()) && !node.flag("local_node");
        let dials = chosen.has(Kind::Ports.as_str()) && !wanted.ports.is_empty();
        Plan {
            probes: probes.collect(),
            orphans: orphans.then(|| Orphans { ignored: wanted.ignore_orphans.clone() }),
            dial: ports::address(node)
                .filter(|_| dials)
                .map(|address| (address.to_owned(), wanted.ports.clone())),
            scripts: scripts.iter().filter(|s| s.is_for(node) && chosen.has(&s.name)).collect(),
        }
    }

    fn is_empty(&self) -> bool {
        self.dial.is_none() && !self.needs_session() && self.scripts.is_empty()
    }

    fn needs_session(&self) -> bool {
        !self.probes.is_empty() || self.orphans.is_some() || self.scripts.iter().any(|s| s.on() == On::Node)
    }

    /// The tests that need a session.
    fn in_session(&self) -> Vec<String> {
        let probes = self.probes.iter().map(|(kind, _)| kind.to_string());
        let orphans = self.orphans.iter().map(|_| Kind::OrphanFiles.to_string());
        let scripts = self.scripts.iter().filter(|s| s.on() == On::Node).map(|s| s.name.clone());
        probes.chain(orphans).chain(scripts).collect()
    }

    /// The run ended before this node had its turn.
    fn not_run(&self, node: &str, error: Option<&Error>) -> Vec<Outcome> {
        let reason = error.map_or_else(|| "not run".to_owned(), ToString::to_string);
        let ports = self.dial.iter().map(|_| Kind::Ports.to_string());
        let local = self.scripts.iter().filter(|s| s.on() == On::Controller).map(|s| s.name.clone());
        let tests = self.in_session().into_iter().chain(ports).chain(local);
        let skipped = |test| {
            Outcome::new(test, Subject::Node(node.into()), Found::Unclear(reason.clone()), Duration::ZERO)
        };
        tests.map(skipped).collect()
    }
}

struct NodeTests<'a> {
    runner: &'a Runner<'a>,
    plans: BTreeMap<&'a str, Plan<'a>>,
    secrets: Option<&'a Secrets>,
    /// Whether `connection` is among the tests, which then says alone that a node cannot be reached.
    connection: bool,
}

impl Job for NodeTests<'_> {
    type Value = Vec<Outcome>;

    async fn run<'a>(&'a self, node: &'a Node, _out: Out<'a>) -> Result<Vec<Outcome>, Failure> {
        let plan = &self.plans[node.name.as_str()];
        let (mut outcomes, dialled, local) =
            tokio::join!(self.in_session(node, plan), dial(node, plan), self.local(node, plan));
        outcomes.extend(dialled.into_iter().chain(local));
        Ok(outcomes)
    }
}

impl NodeTests<'_> {
    async fn in_session(&self, node: &Node, plan: &Plan<'_>) -> Vec<Outcome> {
        if !plan.needs_session() {
            return Vec::new();
        }
        let begin = clock::now();
        let way = match self.connect(node).await {
            Ok(way) => way,
            Err(e) => return self.unreachable(node, plan, &e, begin.elapsed()),
        };
        let scripts = plan.scripts.iter().filter(|s| s.on() == On::Node);
        let scripts = join_all(scripts.map(|script| self.script(script, &way, node)));
        let (mut outcomes, orphans, scripts) =
            tokio::join!(probes(&way, node, plan), orphans(&way, node, plan), scripts);
        outcomes.extend(orphans.into_iter().chain(scripts));
        outcomes
    }

    async fn connect(&self, node: &Node) -> Result<Way> {
        let user = self.runner.identity.on(node)?;
        Ok(Way { session: self.runner.connectors.connect(node).await?, user })
    }

    fn unreachable(&self, node: &Node, plan: &Plan<'_>, error: &Error, duration: Duration) -> Vec<Outcome> {
        let outcome = |test: String| {
            let found = match test.as_str() {
                "connection" => error.clone().into(),
                _ if self.connection => Found::Unclear("the node cannot be reached".into()),
                _ => error.clone().into(),
            };
            Outcome::new(test, Subject::Node(node.name.clone()), found, duration)
        };
        plan.in_session().into_iter().map(outcome).collect()
    }

    async fn local(&self, node: &Node, plan: &Plan<'_>) -> Vec<Outcome> {
        let here = Way { session: over(Local), user: None };
        let scripts = plan.scripts.iter().filter(|s| s.on() == On::Controller);
        join_all(scripts.map(|script| self.script(script, &here, node))).await
    }

    async fn script(&self, script: &Script, way: &Way, node: &Node) -> Outcome {
        let begin = clock::now();
        let found = script.run(way, self.runner.dir, node, self.secrets).await;
        Outcome::new(&script.name, Subject::Node(node.name.clone()), found, begin.elapsed())
    }
}

async fn probes(way: &Way, node: &Node, plan: &Plan<'_>) -> Vec<Outcome> {
    if plan.probes.is_empty() {
        return Vec::new();
    }
    let begin = clock::now();
    let found = match probe::ask(way, &plan.probes).await {
        Ok(found) => found,
        Err(e) => vec![e.into(); plan.probes.len()],
    };
    let outcome = |((kind, _), found): (&(Kind, _), Found)| {
        Outcome::new(kind.as_str(), Subject::Node(node.name.clone()), found, begin.elapsed())
    };
    plan.probes.iter().zip(found).map(outcome).collect()
}

async fn orphans(way: &Way, node: &Node, plan: &Plan<'_>) -> Option<Outcome> {
    let orphans = plan.orphans.as_ref()?;
    let begin = clock::now();
    let command = Command { timeout: Some(FIND), ..Command::sh(orphans.script()) };
    let found = match way.output(command, 1 << 20).await {
        Ok(output) => match output.ended {
            Ended::Code(code) => {
                orphans.judge(&Answer { code, text: &String::from_utf8_lossy(&output.stdout) })
            }
            Ended::Timeout => {
                Found::wrong(format!("the look for them took longer than {} s", FIND.as_secs()))
            }
            Ended::Signal(name) => Found::wrong(format!("the look for them was ended by signal {name}")),
        },
        Err(e) => e.into(),
    };
    Some(Outcome::new(Kind::OrphanFiles.as_str(), Subject::Node(node.name.clone()), found, begin.elapsed()))
}

async fn dial(node: &Node, plan: &Plan<'_>) -> Option<Outcome> {
    let (address, ports) = plan.dial.as_ref()?;
    let begin = clock::now();
    let found = ports::dial(address, ports).await;
    Some(Outcome::new(Kind::Ports.as_str(), Subject::Node(node.name.clone()), found, begin.elapsed()))
}
