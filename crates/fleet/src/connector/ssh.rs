//! Nodes behind an SSH server: one connection for everything that is done there.

use super::{
    Connector,
    channel::{Channels, Event, Reader, Started, Writer},
    metadata, over,
};
use crate::session::{Chunk, Ended, Session};
use base::{Code, Error, Result, Secret};
use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt};
use inventory::Node;
use parking_lot::Mutex;
use ssh::{
    Connection, DialOptions, Dialer, ExecEvent, ExecReceiver, ExecRequest, ExecSender, Pool, Target,
    config::{Files, Surroundings},
};
use std::{collections::HashMap, path::PathBuf};

/// Reaches every node that nothing else reaches. Its connections end with it and its pool.
#[derive(Debug)]
pub struct Ssh {
    me: Surroundings,
    options: DialOptions,
    login: Login,
    pool: Pool,
    /// One for each configuration, by the file that a node names.
    dialers: Mutex<HashMap<Option<PathBuf>, Dialer>>,
}

/// How to log in, for all nodes.
#[derive(Clone, Debug, Default)]
pub struct Login {
    /// The user, before that of the metadata and of the configuration.
    pub user: Option<String>,
    /// The password.
    pub password: Option<Secret>,
}

impl Ssh {
    /// Nothing is read and nobody is called yet.
    pub fn new(me: Surroundings, options: DialOptions, login: Login) -> Self {
        Ssh { me, options, login, pool: Pool::default(), dialers: Mutex::default() }
    }

    /// With connections of this pool, which outlive it.
    #[must_use]
    pub fn keeping(self, pool: Pool) -> Self {
        Ssh { pool, ..self }
    }

    /// A connection to a node.
    ///
    /// # Errors
    /// Why it cannot be reached.
    pub(super) async fn open(&self, node: &Node) -> Result<Connected> {
        let (dialer, target) = self.way(node)?;
        Ok(Connected(dialer.connect(&target).await.map_err(|e| placed(node, e))?))
    }

    /// Who reaches a node, and where.
    ///
    /// # Errors
    /// As [`metadata::target`], and for a configuration that cannot be read.
    pub fn way(&self, node: &Node) -> Result<(Dialer, Target)> {
        let target = metadata::target(node, &self.login)?;
        let file = node.text("ssh_config").map(PathBuf::from);
        let mut dialers = self.dialers.lock();
        if let Some(dialer) = dialers.get(&file) {
            return Ok((dialer.clone(), target));
        }
        let files = file.clone().map_or_else(|| self.options.files.clone(), Files::Only);
        let dialer =
            Dialer::sharing(self.pool.clone(), &self.me, DialOptions { files, ..self.options.clone() })?;
        dialers.insert(file, dialer.clone());
        Ok((dialer, target))
    }
}

impl Connector for Ssh {
    fn connect<'a>(&'a self, node: &'a Node) -> Option<BoxFuture<'a, Result<Session>>> {
        metadata::is_dialled(node).then(|| async { Ok(over(self.open(node).await?)) }.boxed())
    }
}

/// Says where the key is from that the node does not show.
fn placed(node: &Node, e: Error) -> Error {
    let is_given = e.code == Code::Forbidden && node.metadata.contains_key("host_keys");
    if !is_given || node.origin.is_empty() {
        return e;
    }
    let place = &node.origin;
    e.hint(format!(
        "find out who answers there; if the machine was installed anew, correct its host_keys: {place}"
    ))
}

/// An open connection.
pub(super) struct Connected(Connection);

impl Channels for Connected {
    fn start<'a>(&'a self, line: &'a str) -> BoxFuture<'a, Result<Started>> {
        async move {
            let (sender, receiver) = self.0.exec(ExecRequest::command(line)).await?.split();
            Ok(Started { input: Box::new(sender), output: Box::new(receiver) })
        }
        .boxed()
    }
}

impl Writer for ExecSender {
    fn write(&mut self, bytes: Bytes) -> BoxFuture<'_, Result<()>> {
        self.stdin(bytes).boxed()
    }
}

impl Reader for ExecReceiver {
    fn next(&mut self) -> BoxFuture<'_, Result<Event>> {
        async {
            let event = ExecReceiver::next(self).await.ok_or_else(|| self.lost())?;
            Ok(match event {
                ExecEvent::Stdout(bytes) => Event::Chunk(Chunk::Stdout(bytes)),
                ExecEvent::Stderr(bytes) => Event::Chunk(Chunk::Stderr(bytes)),
                ExecEvent::Exit { code: Some(code), .. } => Event::Ended(Ended::Code(code)),
                ExecEvent::Exit { signal: Some(name), .. } => Event::Ended(Ended::Signal(name)),
                // The channel closed and nothing said how it ended: as with ssh, that is a loss.
                ExecEvent::Exit { .. } => return Err(self.lost()),
            })
        }
        .boxed()
    }
}
