//! `hostler report`: the nodes and what is known of them, as the table that Hybrid Platforms Conductor prints.

use super::{directory::FleetDir, selection::SelectionArgs, ssh::SshArgs};
use crate::{Result, app::App, bordered, failure::OK};
use clap::Args;
use inventory::Node;
use serde::Serialize;

/// The nodes of a fleet and what is known of them, as a table; all nodes, unless some are chosen.
#[derive(Args, Debug)]
pub struct Report {
    /// Where the fleet is
    #[command(flatten)]
    dir: FleetDir,
    /// Which nodes
    #[command(flatten)]
    pub selection: SelectionArgs,
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
}

impl Report {
    pub async fn run(self, app: &App) -> Result {
        let mut inventory = self.dir.inventory(app, &SshArgs::default()).await?;
        let mut nodes = self.selection.choose_or_all(&mut inventory).await?;
        inventory.complete(&mut nodes, &["host_ip"]).await?;
        let lines: Vec<Line> = nodes.iter().map(Line::new).collect();
        if app.printer.format.is_data() {
            app.printer.value(&lines)?;
            return Ok(OK);
        }
        let rows: Vec<[String; 8]> = lines.into_iter().map(Line::cells).collect();
        app.printer.line(&bordered::table(&TITLES, &rows));
        Ok(OK)
    }
}

impl Line {
    fn new(node: &Node) -> Self {
        let text = |key: &str| node.text(key).unwrap_or_default().to_owned();
        let mut services = node.services.clone();
        services.sort();
        Line {
            node: node.name.clone(),
            platform: node.platform.clone(),
            hostname: text("hostname"),
            ip: text("host_ip"),
            physical: node.flag("physical"),
            os: text("image"),
            description: text("description"),
            services,
        }
    }

    fn cells(self) -> [String; 8] {
        let physical = if self.physical { "Yes" } else { "No" };
        let services = self.services.join(", ");
        [
            self.node,
            self.platform,
            self.hostname,
            self.ip,
            physical.into(),
            self.os,
            self.description,
            services,
        ]
    }
}
