//! What is done for one node: all tests that were chosen and have a meaning there.

use super::{
    Chosen, Kind, Outcome, Script, Subject,
    checks::{self, Orphans},
    declared::On,
    outcome::Found,
    ports,
    probe::Probe,
    wanted::{Both, Wanted},
};
use base::Error;
use inventory::Node;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// What is done for one node.
pub struct Plan<'a> {
    pub probes: Vec<(Kind, Box<dyn Probe>)>,
    pub orphans: Option<Orphans>,
    pub dial: Option<(String, Both<u16>)>,
    pub scripts: Vec<&'a Script>,
    /// The tests that a check answers.
    pub by_check: Vec<Kind>,
    /// What is tried on a container.
    pub trial: Option<Trial>,
}

/// What is tried on a container that stands for a node.
pub struct Trial {
    pub kinds: Vec<Kind>,
    /// None is declared for a node whose trial was asked for by name.
    pub image: Option<String>,
}

impl<'a> Plan<'a> {
    pub fn new(node: &Node, wanted: &Wanted, chosen: &Chosen, scripts: &'a [Script]) -> Self {
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
            by_check: of_services(node, chosen, Kind::BY_CHECK),
            trial: Trial::new(node, wanted, chosen),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.dial.is_none() && self.trial.is_none() && !self.needs_session() && self.scripts.is_empty()
    }

    pub fn needs_session(&self) -> bool {
        !self.probes.is_empty()
            || self.orphans.is_some()
            || !self.by_check.is_empty()
            || self.scripts.iter().any(|s| s.on() == On::Node)
    }

    /// Whether the services of the node are looked at.
    pub fn needs_services(&self) -> bool {
        !self.by_check.is_empty() || self.trial.is_some()
    }

    /// The tests that need a session.
    pub fn in_session(&self) -> Vec<String> {
        let probes = self.probes.iter().map(|(kind, _)| kind.to_string());
        let orphans = self.orphans.iter().map(|_| Kind::OrphanFiles.to_string());
        let scripts = self.scripts.iter().filter(|s| s.on() == On::Node).map(|s| s.name.clone());
        let by_check = self.by_check.iter().map(ToString::to_string);
        probes.chain(orphans).chain(scripts).chain(by_check).collect()
    }

    /// The run ended before this node had its turn.
    pub fn not_run(&self, node: &str, error: Option<&Error>) -> Vec<Outcome> {
        let reason = error.map_or_else(|| "not run".to_owned(), ToString::to_string);
        let ports = self.dial.iter().map(|_| Kind::Ports.to_string());
        let local = self.scripts.iter().filter(|s| s.on() == On::Controller).map(|s| s.name.clone());
        let trial = self.trial.iter().flat_map(|t| &t.kinds).map(ToString::to_string);
        let tests = self.in_session().into_iter().chain(ports).chain(local).chain(trial);
        let skipped = |test| {
            Outcome::new(test, Subject::Node(node.into()), Found::Unclear(reason.clone()), Duration::ZERO)
        };
        tests.map(skipped).collect()
    }
}

impl Trial {
    fn new(node: &Node, wanted: &Wanted, chosen: &Chosen) -> Option<Self> {
        let kinds = of_services(node, chosen, Kind::ON_CONTAINER);
        let meant = !kinds.is_empty() && (wanted.image.is_some() || *chosen != Chosen::All);
        meant.then(|| Trial { kinds, image: wanted.image.clone() })
    }

    pub fn has(&self, kind: Kind) -> bool {
        self.kinds.contains(&kind)
    }
}

/// Those of these tests that are chosen, for a node with services.
fn of_services(node: &Node, chosen: &Chosen, kinds: [Kind; 2]) -> Vec<Kind> {
    let meant = |kind: &Kind| !node.services.is_empty() && chosen.has(kind.as_str());
    kinds.into_iter().filter(meant).collect()
}

/// Leaves the trial of each set of services on each image to the first node that has it: the others would say the same,
/// as far as their metadata does not matter.
pub fn share_trials(plans: &mut BTreeMap<&str, Plan<'_>>, nodes: &[Node]) {
    let mut tried = BTreeSet::new();
    for node in nodes {
        let Some(plan) = plans.get_mut(node.name.as_str()) else { continue };
        let services: BTreeSet<&String> = node.services.iter().collect();
        plan.trial = plan.trial.take().filter(|trial| tried.insert((services, trial.image.clone())));
    }
}
