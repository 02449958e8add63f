//! Commands on nodes.

mod last;
mod report;

pub use last::Last;
pub use report::junit;

use crate::{
    connector::{Connectors, metadata},
    engine::{Failure, Job, Out, Progress},
    session::{Become, Command, Ended},
};
use base::Secret;
use inventory::Node;

/// One command of a run.
#[derive(Clone, Debug)]
pub struct Step {
    /// What messages call it.
    pub name: String,
    /// What runs on each node.
    pub command: Command,
}

/// Runs commands one after the other on each node. The first that fails is the last.
pub struct Commands<'a> {
    /// How nodes are reached.
    pub connectors: &'a Connectors,
    /// In this order.
    pub steps: &'a [Step],
    /// As whom.
    pub identity: Identity,
}

/// As whom commands run.
#[derive(Clone, Debug, Default)]
pub struct Identity {
    /// Another user, whatever a node says; `None` leaves it to the node.
    pub other: Option<Become>,
    /// The password for whatever changes the user.
    pub password: Option<Secret>,
}

impl Identity {
    /// As whom the commands of a node run.
    ///
    /// # Errors
    /// As [`metadata::other_user`].
    pub fn on(&self, node: &Node) -> base::Result<Option<Become>> {
        let other = match &self.other {
            Some(other) => Some(other.clone()),
            None => metadata::other_user(node)?,
        };
        let password = self.password.clone().or_else(|| node.passwords.other_user.clone());
        Ok(other.map(|other| Become { password: other.password.or(password), ..other }))
    }
}

impl Job for Commands<'_> {
    type Value = ();

    async fn run<'a>(&'a self, node: &'a Node, mut out: Out<'a>) -> Result<(), Failure> {
        let other = self.identity.on(node).map_err(Failure::midway)?;
        let session = self.connectors.connect(node).await.map_err(Failure::unreachable)?;
        for step in self.steps {
            let command = Command { r#become: other.clone(), ..step.command.clone() };
            out.step(Progress::started(None, &step.name)).await;
            let ended = session.run(command, &mut out).await;
            let well = ended.as_ref().is_ok_and(Ended::success);
            out.step(Progress::ended(None, &step.name, well)).await;
            if let Some(failure) = Failure::of_command(&step.name, &ended.map_err(Failure::midway)?) {
                return Err(failure);
            }
        }
        Ok(())
    }
}
