//! `hostler report`: the nodes and what is known of them, as the table that Hybrid Platforms Conductor prints.

use super::{directory::FleetDir, facts::GatherArgs, selection::SelectionArgs};
use crate::{Failure, Result, app::App, bordered, failure::of_several};
use base::Error;
use clap::Args;
use inventory::Node;
use serde::Serialize;
use std::collections::BTreeMap;

/// The nodes of a fleet and what is known of them, as a table; all nodes, unless some are chosen.
#[derive(Args, Debug)]
pub struct Report {
    /// Where the fleet is
    #[command(flatten)]
    dir: FleetDir,
    /// Which nodes
    #[command(flatten)]
    pub selection: SelectionArgs,
    /// Ask the nodes first what they are, instead of showing what they said before
    #[arg(long)]
    facts: bool,
    #[command(flatten)]
    gather: GatherArgs,
}

const TITLES: [&str; 8] =
    ["Node", "Platform", "Host name", "IP", "Physical?", "OS", "Description", "Services"];

/// One row, also as data.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    node: String,
    platform: String,
    hostname: String,
    ip: String,
    physical: bool,
    os: String,
    description: String,
    services: Vec<String>,
    /// Why it could not say what it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Error>,
}

impl Report {
    pub async fn run(self, app: &App) -> Result {
        let mut inventory = self.dir.inventory(app, &self.gather.connect.ssh).await?;
        let mut nodes = self.selection.choose_or_all(app, &mut inventory).await?;
        let mut failed = BTreeMap::new();
        if self.facts {
            let done = self.gather.gather(app, &self.dir, &inventory, &nodes).await?;
            failed.extend(done.into_iter().filter_map(|done| Some((done.outcome.node, done.outcome.error?))));
            // What was known for the selection is older.
            inventory = self.dir.inventory(app, &self.gather.connect.ssh).await?;
        }
        inventory.complete(&mut nodes, &["host_ip", "physical"]).await?;
        // What the inventory has nothing for.
        for (written, facts) in [("image", &["os", "os_version"][..]), ("host_ip", &["ip"])] {
            let open: Vec<&Node> = nodes.iter().filter(|node| !node.metadata.contains_key(written)).collect();
            for fact in facts {
                inventory.fetch(fact, open.iter().map(|node| node.name.as_str())).await?;
            }
        }
        inventory.complete(&mut nodes, &[]).await?;
        let line = |node: &Node| Line { error: failed.get(&node.name).cloned(), ..Line::new(node) };
        let lines: Vec<Line> = nodes.iter().map(line).collect();
        if app.printer.format.is_data() {
            app.printer.value(&lines)?;
        } else {
            let rows: Vec<[String; 8]> = lines.into_iter().map(Line::cells).collect();
            app.printer.line(&bordered::table(&TITLES, &rows));
        }
        let failures: Vec<Failure> = failed.into_values().map(Failure::from).collect();
        for failure in &failures {
            app.printer.failure(failure);
        }
        of_several(nodes.len(), failures)
    }
}

impl Line {
    fn new(node: &Node) -> Self {
        let text = |key: &str| node.text(key).unwrap_or_default().to_owned();
        let first = |keys: &[&str]| keys.iter().find_map(|key| node.text(key)).unwrap_or_default().to_owned();
        let mut services = node.services.clone();
        services.sort();
        Line {
            node: node.name.clone(),
            platform: node.platform.clone(),
            hostname: text("hostname"),
            ip: first(&["host_ip", "ip"]),
            physical: node.flag("physical"),
            os: node.text("image").map_or_else(|| system(node), str::to_owned),
            description: text("description"),
            services,
            error: None,
        }
    }

    fn cells(self) -> [String; 8] {
        let physical = if self.physical { "Yes" } else { "No" };
        let services = self.services.join(", ");
        let node = if self.error.is_some() { format!("{} (no answer)", self.node) } else { self.node };
        [node, self.platform, self.hostname, self.ip, physical.into(), self.os, self.description, services]
    }
}

/// The system of a node, as facts have it: `debian 12`.
fn system(node: &Node) -> String {
    let words = ["os", "os_version"].map(|key| node.text(key).unwrap_or_default());
    words.join(" ").trim().to_owned()
}
