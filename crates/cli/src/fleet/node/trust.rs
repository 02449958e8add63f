//! `hostler node trust`.

use crate::{
    Failure, Result,
    app::App,
    failure::of_several,
    fleet::{directory::FleetDir, ssh::SshArgs},
};
use base::{Code, Error};
use clap::Args;
use inventory::{Inventory, Node, Selection, Selector};
use serde::Serialize;

/// Believe the host key that a node shows now, as after a reinstall. What was believed before is forgotten.
#[derive(Args, Debug)]
pub struct Trust {
    /// The nodes, by name or host name
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
    /// Believe only a key with this fingerprint, as the node's console shows it
    #[arg(long, value_name = "SHA256:...")]
    fingerprint: Option<String>,
    /// Where the fleet is
    #[command(flatten)]
    dir: FleetDir,
    /// How nodes are reached
    #[command(flatten)]
    ssh: SshArgs,
}

/// What is believed now.
#[derive(Debug, Serialize)]
struct Trusted {
    node: String,
    key: String,
    fingerprint: String,
}

impl Trust {
    pub async fn run(self, app: &App) -> Result {
        let mut inventory = self.dir.inventory(app, &self.ssh).await?;
        let mut nodes = Vec::new();
        for name in &self.names {
            nodes.extend(meant(&mut inventory, name).await?);
        }
        let (mut trusted, mut failures) = (Vec::new(), Vec::new());
        for node in &nodes {
            match self.trust(node).await {
                Ok(now) => {
                    app.printer.note(&format!("{} is believed to be {}", now.node, now.fingerprint));
                    trusted.push(now);
                }
                Err(failure) => {
                    app.printer.failure(&failure);
                    failures.push(failure);
                }
            }
        }
        if app.printer.format.is_data() {
            app.printer.value(&trusted)?;
        }
        of_several(nodes.len(), failures)
    }

    async fn trust(&self, node: &Node) -> Result<Trusted> {
        if let Some(key) =
            ["local_node", "vm", "docker"].into_iter().find(|key| node.metadata.contains_key(*key))
        {
            let e = Error::new(Code::Invalid, format!("{} is not reached by SSH", node.name));
            return Err(e.because(format!("it has {key}")).into());
        }
        let (dialer, target) = self.ssh.way().way(node)?;
        let key = dialer.host_key(&target).await?;
        let fingerprint = ssh::public_fingerprint(&key)?;
        if let Some(wanted) = self.fingerprint.as_ref().filter(|wanted| **wanted != fingerprint) {
            let message = format!("{} shows another host key", node.name);
            return Err(Failure::from(
                Error::new(Code::Forbidden, message)
                    .because(format!("{fingerprint}, not {wanted}"))
                    .hint("find out who answers there; nothing was changed"),
            ));
        }
        if !target.host_keys.is_empty() && target.host_keys.iter().all(|given| !is_same(given, &key)) {
            let message =
                format!("host_keys of {} name another key, and count before what is believed", node.name);
            return Err(Error::conflict(message)
                .because(format!("it shows {key}"))
                .hint(format!("correct it in {}; nothing was changed", node.origin))
                .into());
        }
        dialer.trust(&target, &key).await?;
        Ok(Trusted { node: node.name.clone(), key, fingerprint })
    }
}

/// Whether two lines have the same key, whatever their comments say.
fn is_same(one: &str, other: &str) -> bool {
    one.split_ascii_whitespace().take(2).eq(other.split_ascii_whitespace().take(2))
}

/// The nodes of this name, or else of this host name, as errors of SSH have it.
async fn meant(inventory: &mut Inventory, name: &str) -> Result<Vec<Node>> {
    if !inventory.nodes.contains_key(name) {
        let by_host: Vec<Node> =
            inventory.nodes.values().filter(|n| n.text("hostname") == Some(name)).cloned().collect();
        if !by_host.is_empty() {
            return Ok(by_host);
        }
    }
    let include = vec![Selector::Node(name.to_owned())];
    Ok(inventory.choose(&Selection { include, ..Selection::default() }).await?)
}
