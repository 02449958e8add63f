//! `hostler node`.

mod facts;
mod host_keys;
mod trust;

use super::{directory::FleetDir, selection::SelectionArgs, ssh::SshArgs};
use crate::{
    Result,
    app::App,
    failure::OK,
    rows::{self, Row, or_dash},
    table::{Column, col, wide},
};
use clap::Subcommand;
use inventory::Node;
use serde_json::Value;

/// Nodes of a fleet.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List nodes; all, unless some are chosen
    #[command(visible_alias = "ls")]
    List {
        /// Where the fleet is
        #[command(flatten)]
        dir: FleetDir,
        /// Which of them
        #[command(flatten)]
        selection: SelectionArgs,
    },
    /// Show all that is known of some nodes
    #[command(visible_alias = "get")]
    Show {
        /// Their names
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,
        /// Where the fleet is
        #[command(flatten)]
        dir: FleetDir,
    },
    /// What nodes say of themselves, kept for reports, selections and templates
    Facts(Box<facts::Facts>),
    /// Which host keys are believed, and with --scan what nodes show now
    HostKeys(host_keys::HostKeys),
    /// Believe the host key that a node shows now, as after a reinstall
    Trust(trust::Trust),
}

impl Row for Node {
    const COLUMNS: &'static [Column] = &[
        col("NAME"),
        col("PLATFORM"),
        col("ADDRESS"),
        col("SERVICES"),
        wide("GROUPS"),
        wide("ORIGIN"),
        col("DESCRIPTION"),
    ];

    fn cells(&self) -> Vec<String> {
        let address = ["host_ip", "hostname"].into_iter().find_map(|key| self.text(key)).unwrap_or_default();
        let groups: Vec<&str> = self.groups.iter().map(String::as_str).collect();
        vec![
            self.name.clone(),
            self.platform.clone(),
            or_dash(address),
            or_dash(self.services.join(",")),
            or_dash(groups.join(",")),
            self.origin.clone(),
            or_dash(self.text("description").unwrap_or_default()),
        ]
    }

    fn name(&self) -> String {
        self.name.clone()
    }
}

impl Command {
    pub async fn run(self, app: &App) -> Result {
        match self {
            Command::List { dir, selection } => {
                let mut inventory = dir.inventory(app, &SshArgs::default()).await?;
                let nodes = selection.choose_or_all(app, &mut inventory).await?;
                rows::list(app, &nodes, None, "nodes")?;
            }
            Command::Show { names, dir } => {
                let mut inventory = dir.inventory(app, &SshArgs::default()).await?;
                let nodes = names.into_iter().map(inventory::Selector::Node).collect();
                let selection = SelectionArgs { nodes, ..SelectionArgs::default() };
                show(app, &selection.choose(app, &mut inventory).await?)?;
            }
            Command::Facts(facts) => return facts.run(app).await,
            Command::HostKeys(keys) => return keys.run(app).await,
            Command::Trust(trust) => return trust.run(app).await,
        }
        Ok(OK)
    }
}

/// One node as it is, several as a list; for people line by line.
fn show(app: &App, nodes: &[Node]) -> Result<()> {
    if app.printer.format.is_data() {
        return match nodes {
            [node] => app.printer.value(node),
            _ => rows::list(app, nodes, None, "nodes"),
        };
    }
    for (i, node) in nodes.iter().enumerate() {
        if i > 0 {
            app.printer.line("");
        }
        let groups: Vec<&str> = node.groups.iter().map(String::as_str).collect();
        let mut lines = vec![
            ("name", node.name.clone()),
            ("platform", node.platform.clone()),
            ("origin", node.origin.clone()),
            ("services", node.services.join(", ")),
            ("groups", groups.join(", ")),
        ];
        lines.extend(node.metadata.iter().map(|(key, value)| (key.as_str(), plain(value))));
        let width = lines.iter().map(|(key, _)| key.chars().count()).max().unwrap_or(0);
        for (key, value) in lines {
            app.printer.line(format!("{key:width$}   {}", or_dash(value)).trim_end());
        }
    }
    Ok(())
}

/// A value as people write it.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
