//! `hostler node host-keys`.

use crate::{
    Failure, Result,
    app::App,
    failure::of_several,
    fleet::{directory::FleetDir, limits::Forks, selection::SelectionArgs, ssh::SshArgs},
    rows::{self, Row, or_dash},
    table::{Column, col},
};
use base::{Code, Error};
use clap::Args;
use fleet::{
    connector::{Ssh, metadata},
    sources::KnownHosts,
};
use futures::{StreamExt, stream};
use inventory::Node;
use serde::Serialize;

/// Which host keys are believed, of all nodes that are reached by SSH, unless some are chosen. Believing is for `node trust`.
#[derive(Args, Debug)]
pub struct HostKeys {
    /// Ask the nodes which key they show now. None is believed by that
    #[arg(long)]
    scan: bool,
    /// Where the fleet is
    #[command(flatten)]
    dir: FleetDir,
    /// Which nodes
    #[command(flatten)]
    selection: SelectionArgs,
    /// How many at once
    #[command(flatten)]
    forks: Forks,
    /// How nodes are reached
    #[command(flatten)]
    ssh: SshArgs,
}

/// One key of a node.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Key {
    node: String,
    r#type: String,
    fingerprint: String,
    /// The source that believes it.
    believed: Option<&'static str>,
    /// Whether the node showed it just now.
    shown: bool,
}

impl Key {
    fn new(node: &Node, line: &str) -> base::Result<Self> {
        let r#type = line.split(' ').next().unwrap_or_default().to_owned();
        let fingerprint = ssh::public_fingerprint(line)?;
        Ok(Key { node: node.name.clone(), r#type, fingerprint, believed: None, shown: false })
    }
}

impl Row for Key {
    const COLUMNS: &'static [Column] =
        &[col("NODE"), col("TYPE"), col("FINGERPRINT"), col("BELIEVED"), col("SHOWN")];

    fn cells(&self) -> Vec<String> {
        let shown = if self.shown { "yes" } else { "-" };
        let believed = or_dash(self.believed.unwrap_or_default());
        vec![self.node.clone(), self.r#type.clone(), self.fingerprint.clone(), believed, shown.into()]
    }

    fn name(&self) -> String {
        self.fingerprint.clone()
    }
}

impl HostKeys {
    pub async fn run(self, app: &App) -> Result {
        let mut inventory = self.dir.inventory(app, &self.ssh).await?;
        let mut nodes = self.selection.choose_or_all(app, &mut inventory).await?;
        nodes.retain(metadata::is_by_ssh);
        let way = self.ssh.way();
        let written: Vec<Vec<String>> =
            nodes.iter().map(|n| fingerprints(&way, n)).collect::<base::Result<_>>()?;
        inventory.complete(&mut nodes, &["host_keys"]).await?;
        let looking = nodes.iter().zip(&written).map(async |(node, written): (&Node, &Vec<String>)| {
            let mut keys = believed(&way, node, written)?;
            let shown = if self.scan { show(&way, node, &mut keys).await } else { Ok(()) };
            Ok::<_, Error>((keys, shown))
        });
        let looked: Vec<_> = stream::iter(looking).buffered(self.forks.number()).collect().await;
        let (mut keys, mut failures) = (Vec::new(), Vec::new());
        for looked in looked {
            let (of_node, shown) = looked?;
            keys.extend(of_node);
            failures.extend(shown.err().map(Failure::from));
        }
        rows::list(app, &keys, None, "host keys")?;
        for failure in &failures {
            app.printer.failure(failure);
        }
        of_several(nodes.len(), failures)
    }
}

/// The fingerprints of the keys that a node's metadata names.
fn fingerprints(way: &Ssh, node: &Node) -> base::Result<Vec<String>> {
    let (_, target) = way.way(node)?;
    target.host_keys.iter().map(|line| ssh::public_fingerprint(line)).collect()
}

/// The keys of a node that are believed, because the inventory has them written or else by files.
fn believed(way: &Ssh, node: &Node, written: &[String]) -> base::Result<Vec<Key>> {
    let (_, target) = way.way(node)?;
    let key = |line: &String| {
        let mut key = Key::new(node, line)?;
        let by = if written.contains(&key.fingerprint) { inventory::INVENTORY } else { KnownHosts::NAME };
        key.believed = Some(by);
        Ok(key)
    };
    target.host_keys.iter().map(key).collect()
}

/// Asks the node for its key, and marks it among the others.
///
/// # Errors
/// Where it cannot be reached, and for a key that has changed.
async fn show(way: &Ssh, node: &Node, keys: &mut Vec<Key>) -> base::Result<()> {
    let (dialer, target) = way.way(node)?;
    let line = dialer.host_key(&target).await.map_err(|e| e.at(&node.name))?;
    let shown = Key { shown: true, ..Key::new(node, &line)? };
    if let Some(key) = keys.iter_mut().find(|key| key.fingerprint == shown.fingerprint) {
        key.shown = true;
        return Ok(());
    }
    let changed = changed(node, keys, &shown);
    keys.push(shown);
    changed.map_or(Ok(()), Err)
}

/// A key that is another than the one of its type that is believed.
fn changed(node: &Node, keys: &[Key], shown: &Key) -> Option<Error> {
    let other = keys.iter().find(|key| key.r#type == shown.r#type)?;
    let hint = "if the machine was installed anew: hostler node trust";
    Some(
        Error::new(Code::Forbidden, format!("THE HOST KEY OF {} HAS CHANGED", node.name))
            .because(format!("{} is believed, but {} came", other.fingerprint, shown.fingerprint))
            .hint(format!("{hint} {}; else find out who answers there", node.name)),
    )
}
