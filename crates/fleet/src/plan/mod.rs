//! What a deployment would do on a node: computed from what should be and what was seen, before anything changes.
//!
//! Planning is pure. The executor carries out the very changes of a plan, and nothing else.

mod document;

pub use document::{Document, NodeDocument, Prediction, StepDocument, VERSION, shown};

use crate::{
    resource::{Change, Content, Look, Resource, World, supervisor},
    service::{Action, Step, Work},
};
use base::{Code, Error, Result};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};

/// What a step would do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Foretold {
    /// Nothing: all is as it should be.
    Same,
    /// Exactly this.
    Change(Change),
    /// It runs code of the user, which may do anything.
    Unknown,
}

/// A step and what it would do.
#[derive(Clone, Debug)]
pub struct Planned<'w> {
    /// Its number on this node.
    pub key: usize,
    /// Its service.
    pub service: &'w str,
    /// The step.
    pub step: &'w Step,
    /// What it would do.
    pub foretold: Foretold,
}

impl Planned<'_> {
    /// Whether it would do anything.
    pub fn acts(&self) -> bool {
        self.foretold != Foretold::Same
    }
}

/// What would be done on one node, in this order: the steps, then the handlers.
#[derive(Clone, Debug)]
pub struct Plan<'w> {
    /// All steps.
    pub steps: Vec<Planned<'w>>,
    /// The handlers that would run.
    pub handlers: Vec<Planned<'w>>,
    /// The digest of all that should be.
    pub inputs: String,
    /// The digest of all that was seen.
    pub observed: String,
}

impl Plan<'_> {
    /// How many steps would change something.
    pub fn changes(&self) -> usize {
        self.steps.iter().filter(|s| matches!(s.foretold, Foretold::Change(_))).count()
    }

    /// How many steps run code whose effects nobody knows.
    pub fn unknown(&self) -> usize {
        self.steps.iter().filter(|s| s.foretold == Foretold::Unknown).count()
    }

    /// Whether nothing would be done.
    pub fn is_empty(&self) -> bool {
        self.handlers.is_empty() && !self.steps.iter().any(Planned::acts)
    }
}

/// All steps with their services and numbers; the handlers come last.
fn numbered(work: &Work) -> impl Iterator<Item = (usize, &str, &Step)> {
    let steps = work.services.iter().flat_map(|s| s.steps.iter().map(|step| (s.name.as_str(), step)));
    let handlers = work.handlers.iter().map(|step| (step.name.split('/').next().unwrap_or_default(), step));
    steps.chain(handlers).enumerate().map(|(key, (service, step))| (key, service, step))
}

/// What has to be seen of a node to plan its work.
pub fn look(work: &Work) -> Look {
    let mut look = Look::default();
    for (key, _, step) in numbered(work) {
        match &step.action {
            Action::Resource(resource) => resource.look(&mut look, key),
            Action::Script(script) => {
                script.creates.iter().for_each(|path| look.path(path, Content::Sum));
            }
            Action::Supervise { service, .. } => look.service(service),
            _ => {}
        }
    }
    work.services.iter().flat_map(|s| &s.tools).for_each(|tool| look.tool(tool));
    work.handlers.iter().for_each(|handler| look.pending(&owed_name(&handler.name)));
    look
}

/// The name of the file by which a handler is owed.
pub fn owed_name(handler: &str) -> String {
    let plain = handler.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' });
    let sum = hex::encode(Sha256::digest(handler));
    format!("{}-{}", plain.collect::<String>(), &sum[..8])
}

/// What would be done, seen what [`look`] asked for. `observed` are the bytes that the world was read from.
///
/// # Errors
/// Where something cannot become as it should be, at the place of its step.
pub fn plan<'w>(work: &'w Work, mut world: World, observed: &[u8]) -> Result<Plan<'w>> {
    let inputs = inputs(work)?;
    tools(work, &world)?;
    let total: usize = work.services.iter().map(|s| s.steps.len()).sum();
    let (mut steps, mut notified) = (Vec::with_capacity(total), BTreeSet::new());
    let mut handlers = Vec::new();
    for (key, service, step) in numbered(work) {
        if key >= total {
            let owed = world.pending.contains(&owed_name(&step.name));
            if !notified.contains(&step.name) && !owed {
                continue;
            }
        }
        let foretold = foretell(step, key, &mut world).map_err(|e| explain(e, service, step))?;
        let planned = Planned { key, service, step, foretold };
        if key >= total {
            handlers.push(planned);
            continue;
        }
        if planned.acts() {
            notified.extend(step.notify.iter().cloned());
        }
        steps.push(planned);
    }
    undone(work, &world)?;
    Ok(Plan { steps, handlers, inputs, observed: hex::encode(Sha256::digest(observed)) })
}

/// Makes sure that no step about a line undoes what another one about the same file does: else the file would never be as
/// both say.
fn undone(work: &Work, world: &World) -> Result<()> {
    let mut of_path: BTreeMap<String, Vec<(&str, &Step, &Resource)>> = BTreeMap::new();
    for (service, step) in work.services.iter().flat_map(|s| s.steps.iter().map(move |step| (s, step))) {
        let Action::Resource(resource) = &step.action else { continue };
        let path = match resource {
            Resource::Line(line) => &line.path,
            Resource::File(file) => &file.path,
            _ => continue,
        };
        of_path.entry(world.absolute(path)).or_default().push((&service.name, step, resource));
    }
    let several = of_path.iter().filter(|(path, steps)| steps.len() > 1 && world.paths.contains_key(*path));
    for (service, step, resource) in several.flat_map(|(_, steps)| steps) {
        if resource.plan(&mut world.clone(), 0).is_ok_and(|change| change.is_some()) {
            let error = Error::conflict("a step after it changes the same file back");
            return Err(explain(error.hint("let one of the two say all of it"), service, step));
        }
    }
    Ok(())
}

/// The digest of all that should be.
pub fn inputs(work: &Work) -> Result<String> {
    let text =
        serde_json::to_vec(work).map_err(|e| Error::internal("cannot write down the work").because(e))?;
    Ok(hex::encode(Sha256::digest(text)))
}

fn explain(error: Error, service: &str, step: &Step) -> Error {
    let error = if error.field.is_some() || step.place.is_empty() { error } else { error.at(&step.place) };
    let of = format!("{} of {service}", step.name);
    Error { message: format!("{of}: {}", error.message), ..error }
}

fn foretell(step: &Step, key: usize, world: &mut World) -> Result<Foretold> {
    match &step.action {
        Action::Resource(resource) => {
            let mut own = Look::default();
            resource.look(&mut own, key);
            if let Some(tool) = own.needs().find(|tool| world.missing.contains(*tool)) {
                // A package of an earlier step may bring it, but not what looking takes.
                if !world.loose || Look::BASE.contains(&tool) {
                    return Err(missing(tool));
                }
            }
            Ok(resource.plan(world, key)?.map_or(Foretold::Same, Foretold::Change))
        }
        Action::Script(script) => {
            let path = script.creates.as_ref().map(|p| world.absolute(p));
            if path.is_some_and(|p| world.paths.contains_key(&p)) {
                return Ok(Foretold::Same);
            }
            world.loose = true;
            Ok(Foretold::Unknown)
        }
        Action::Local(_) | Action::Upload(_) | Action::Ansible(_) | Action::Ruby(_) => {
            world.loose = true;
            Ok(Foretold::Unknown)
        }
        Action::Supervise { verb, service } => {
            supervisor(world)?;
            let mut title = format!("{verb} service {service}");
            title[..1].make_ascii_uppercase();
            let script = format!("supervised {verb} {}", ssh::quote(service));
            Ok(Foretold::Change(Change::new(title, Vec::new(), script)))
        }
    }
}

/// Tools that services declare must be there from the start, unless something is installed on the way.
fn tools(work: &Work, world: &World) -> Result<()> {
    let installs = work.services.iter().flat_map(|s| &s.steps).any(|step| {
        matches!(step.action, Action::Resource(crate::resource::Resource::Package(_)))
            || step.action.is_code()
    });
    let wanted = work.services.iter().flat_map(|s| s.tools.iter().map(move |tool| (&s.name, tool)));
    for (service, tool) in wanted.filter(|(_, tool)| world.missing.contains(*tool)) {
        if !installs {
            let error = missing(tool);
            return Err(Error { message: format!("{service}: {}", error.message), ..error });
        }
    }
    Ok(())
}

fn missing(tool: &str) -> Error {
    Error::new(Code::NotFound, format!("the node has no {tool}"))
        .hint(format!("install what has {tool}, or add a package step before this one"))
}
