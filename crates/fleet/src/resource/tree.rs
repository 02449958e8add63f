//! Directories of the fleet that are copied as they are: one file, directory or link for each of theirs.

use super::{Change, Look, Resource, World};
use base::Result;
use serde::Serialize;

/// Copies of several paths.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Tree(pub Vec<Resource>);

impl Tree {
    /// What has to be seen.
    pub fn look(&self, look: &mut Look, key: usize) {
        self.0.iter().for_each(|r| r.look(look, key));
    }

    /// What would change.
    pub fn plan(&self, world: &mut World, key: usize) -> Result<Option<Change>> {
        let mut change = Change::default();
        for resource in &self.0 {
            change.push(resource.plan(world, key)?.unwrap_or_default());
        }
        Ok(change.some())
    }
}
