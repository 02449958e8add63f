//! Runs tests on nodes and platforms.

use super::{
    Declared, Kind, Outcome, Report, Script, Subject, expected,
    plan::{Plan, share_trials},
    platform,
    rollout::Rollout,
    visit::NodeTests,
    wanted::{self, Wanted},
};
use crate::{
    connector::Connectors,
    deploy::{Fleet, Operator, Section},
    engine::{Engine, Interrupt, Limits, Observer},
    run::Identity,
};
use base::{Result, Secret};
use inventory::{FleetFile, Inventory, Node};
use rt::clock;
use secrets::{Lazy, Redactor, Secrets};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};
use tokio::sync::Semaphore;

/// How many containers there may be at once.
const CONTAINERS: usize = 4;

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

    pub(super) fn has(&self, name: &str) -> bool {
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
    /// Its `hostler.yaml`.
    pub file: &'a FleetFile,
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
    /// Who runs the parts of services that do not run on nodes.
    pub operator: Operator<'a>,
    /// Who tests, for those who find a node locked.
    pub author: &'a str,
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
        let mut wanted = wanted::of_all(self.declared, self.inventory).await?;
        if chosen.has(Kind::DeployFreshness.as_str()) {
            self.find_logs(&mut wanted).await?;
        }
        let expectations = expected::expectations(&self.declared.expected_failures, self.inventory).await?;
        let plans = self.plans(chosen, &wanted);
        let mut outcomes = self.on_nodes(chosen, plans).await?;
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

    /// Where nodes keep their logs, where the fleet says it.
    async fn find_logs(&self, wanted: &mut BTreeMap<String, Wanted>) -> Result<()> {
        let section: Section = self.file.section("deploy")?;
        if section.log_dir.is_none() {
            return Ok(());
        }
        let secrets = self.secrets.get().await?;
        for (name, dir) in self.fleet(secrets).log_dirs(self.nodes)? {
            if let Some(wanted) = wanted.get_mut(&name) {
                wanted.log_dir = Some(dir);
            }
        }
        Ok(())
    }

    fn fleet<'s>(&'s self, secrets: &'s Secrets) -> Fleet<'s> {
        Fleet { dir: self.dir, file: self.file, inventory: self.inventory, secrets }
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
        let mut plans = self.nodes.iter().map(plan).collect();
        share_trials(&mut plans, self.nodes);
        plans
    }

    async fn on_nodes(&self, chosen: &Chosen, plans: BTreeMap<&str, Plan<'_>>) -> Result<Vec<Outcome>> {
        let secrets = if plans.values().flat_map(|p| &p.scripts).any(|s| s.needs_secrets()) {
            Some(self.secrets.get().await?)
        } else {
            None
        };
        let rollout = self.rollout(&plans).await?;
        let connection = chosen.has(Kind::Connection.as_str());
        let room = Semaphore::new(CONTAINERS);
        let job = NodeTests { runner: self, plans, secrets, rollout, connection, room };
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
        Ok(outcomes.flatten().collect())
    }

    /// What is needed to check nodes, and to deploy what stands for them.
    async fn rollout(&self, plans: &BTreeMap<&str, Plan<'_>>) -> Result<Rollout<'_>> {
        let meant = self.nodes.iter().filter(|n| plans[n.name.as_str()].needs_services());
        let nodes: Vec<Node> = meant.cloned().collect();
        let work = if nodes.is_empty() {
            BTreeMap::new()
        } else {
            match self.secrets.get().await {
                Ok(secrets) => Rollout::prepare(self.fleet(secrets), &nodes).await,
                Err(e) => nodes.iter().map(|n| (n.name.clone(), Err(e.clone()))).collect(),
            }
        };
        Ok(Rollout::new(work, self.operator, self.author, self.redactor()?))
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
