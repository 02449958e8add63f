//! Resources: what should be on a node, compared with what is there, and made so.
//!
//! Each kind says what has to be seen ([`Look`]), and computes from what was seen ([`World`]) what would change
//! ([`Change`]). Planning is pure; a change carries the very lines that do it.

mod address;
mod attributes;
mod change;
mod checkout;
mod container;
mod diff;
mod directory;
mod file;
mod line;
mod link;
mod look;
mod one_or_many;
mod package;
mod service;
mod tree;
mod user;
mod world;

pub use attributes::{Attributes, mode};
pub use change::{Change, Part};
pub use checkout::Checkout;
pub use container::{Container, ContainerPower};
#[cfg(test)]
pub use diff::texts;
pub use directory::Directory;
pub use file::{File, sum};
pub use line::Line;
pub use link::Link;
pub use look::{Content, Look, word};
pub use one_or_many::{FromText, OneOrMany};
pub use package::Package;
pub use service::{Power, Supervised, Unit, supervisor};
pub use tree::Tree;
pub use user::User;
pub use world::{Kind, Seen, World};

use base::{Error, Result};
use serde::{Deserialize, Serialize};

/// The functions that changes call.
pub const APPLY: &str = include_str!("resource/apply.sh");

/// Whether something must be there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Presence {
    /// It must be there.
    #[default]
    Present,
    /// It must not be there.
    Absent,
}

/// Something that should be on a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Resource {
    /// A file.
    File(File),
    /// A directory.
    Directory(Directory),
    /// A symbolic link.
    Link(Link<String>),
    /// A line of a file.
    Line(Line<String>),
    /// Packages.
    Package(Package<String>),
    /// A service.
    Service(Supervised<String>),
    /// A unit of systemd.
    Unit(Unit),
    /// An account.
    User(User<String>),
    /// A working tree of git.
    Checkout(Checkout<String>),
    /// A container.
    Container(Container<String>),
    /// A copy of a directory.
    Tree(Tree),
}

impl Resource {
    /// Says what has to be seen. `key` is of this step alone.
    pub fn look(&self, look: &mut Look, key: usize) {
        match self {
            Resource::File(r) => r.look(look),
            Resource::Directory(r) => r.look(look),
            Resource::Link(r) => r.look(look),
            Resource::Line(r) => r.look(look),
            Resource::Package(r) => r.look(look, key),
            Resource::Service(r) => r.look(look),
            Resource::Unit(r) => r.look(look),
            Resource::User(r) => r.look(look),
            Resource::Checkout(r) => r.look(look, key),
            Resource::Container(r) => r.look(look, key),
            Resource::Tree(r) => r.look(look, key),
        }
    }

    /// What would change, with `key` as in [`Self::look`]; `None` where all is as it should be. The world then is as after
    /// the change.
    ///
    /// # Errors
    /// Where it cannot become so.
    pub fn plan(&self, world: &mut World, key: usize) -> Result<Option<Change>> {
        match self {
            Resource::File(r) => r.plan(world),
            Resource::Directory(r) => r.plan(world),
            Resource::Link(r) => r.plan(world),
            Resource::Line(r) => r.plan(world),
            Resource::Package(r) => r.plan(world, key),
            Resource::Service(r) => r.plan(world),
            Resource::Unit(r) => r.plan(world),
            Resource::User(r) => r.plan(world),
            Resource::Checkout(r) => r.plan(world, key),
            Resource::Container(r) => r.plan(world, key),
            Resource::Tree(r) => r.plan(world, key),
        }
    }

    /// The paths that it decides over alone.
    pub fn paths(&self) -> Vec<&str> {
        match self {
            Resource::File(r) => vec![&r.path],
            Resource::Directory(r) => vec![&r.path],
            Resource::Link(r) => vec![&r.path],
            Resource::Unit(r) => vec![&r.file.path],
            Resource::Checkout(r) => vec![&r.path],
            Resource::Tree(r) => r.0.iter().flat_map(Resource::paths).collect(),
            _ => Vec::new(),
        }
    }
}

/// The directory that a path is in.
fn parent(path: &str) -> Option<&str> {
    let (parent, _) = path.rsplit_once('/')?;
    (!parent.is_empty() && parent != "~").then_some(parent)
}

/// A path can only be made in a directory that is there or will be.
fn parent_exists(world: &World, path: &str) -> Result<()> {
    let Some(parent) = parent(path).map(|p| world.absolute(p)) else { return Ok(()) };
    match world.paths.get(&parent).map(|s| &s.kind) {
        Some(Kind::Directory | Kind::Link(_)) => Ok(()),
        Some(other) => Err(in_the_way(&parent, other.noun(), "directory")),
        None if world.may_have(&parent) => Ok(()),
        None => Err(Error::not_found(format!("there is no directory {parent}"))
            .hint("add a directory step before this one")),
    }
}

fn in_the_way(path: &str, is: &str, wanted: &str) -> Error {
    Error::conflict(format!("{path} is a {is}, not a {wanted}")).hint("move it away, or choose another path")
}
