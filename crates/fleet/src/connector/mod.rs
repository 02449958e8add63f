//! How nodes are reached: by what their metadata says.

mod channel;
mod docker;
mod drive;
mod gate;
mod local;
pub mod metadata;
pub mod persist;
mod program;
mod ssh;
#[cfg(test)]
mod tests;

pub use self::ssh::{Login, Ssh};
pub use channel::{Channels, Event, Reader, Started, Writer};
pub(crate) use docker::client as docker_client;
pub use docker::{Container, Docker};
pub use local::Local;
pub use metadata::target;

use crate::session::{Command, Ended, Input, Session, Sink, Transport};
use base::{Error, Result};
use futures::future::{BoxFuture, FutureExt};
use inventory::Node;

/// One way to reach nodes.
pub trait Connector: Send + Sync {
    /// Opens the way to a node that is reached like this; `None` for all others.
    ///
    /// # Errors
    /// Why the node cannot be reached.
    fn connect<'a>(&'a self, node: &'a Node) -> Option<BoxFuture<'a, Result<Session>>>;
}

/// The ways to reach nodes, in the order in which they are asked.
pub struct Connectors(Vec<Box<dyn Connector>>);

impl Connectors {
    /// This host, its containers and these ways.
    pub fn new(others: impl IntoIterator<Item = Box<dyn Connector>>) -> Self {
        let here: [Box<dyn Connector>; 2] = [Box::new(Local), Box::new(Docker)];
        Connectors(here.into_iter().chain(others).collect())
    }

    /// Opens the way to a node.
    ///
    /// # Errors
    /// Why it cannot be reached; [`base::Code::Invalid`] where its metadata does not say how.
    pub async fn connect(&self, node: &Node) -> Result<Session> {
        match self.0.iter().find_map(|way| way.connect(node)) {
            Some(connecting) => connecting.await,
            None if !metadata::is_dialled(node) => {
                Err(Error::unavailable("there is no controller here to reach a VM through").at(&node.name))
            }
            None => Err(Error::invalid(&node.name, "nothing says how this node is reached")
                .hint("give it `host_ip`, `hostname` or `local_node: true` in its metadata")),
        }
    }
}

impl Connector for Local {
    fn connect<'a>(&'a self, node: &'a Node) -> Option<BoxFuture<'a, Result<Session>>> {
        node.flag("local_node").then(|| async { Ok(over(Local)) }.boxed())
    }
}

/// A session whose commands are started by these channels.
pub fn over(channels: impl Channels + 'static) -> Session {
    Session::new(Over(channels))
}

struct Over<C>(C);

impl<C: Channels> Transport for Over<C> {
    fn run<'a>(
        &'a self,
        command: Command,
        input: Option<Input>,
        sink: &'a mut dyn Sink,
    ) -> BoxFuture<'a, Result<Ended>> {
        drive::run(&self.0, command, input, sink).boxed()
    }
}
