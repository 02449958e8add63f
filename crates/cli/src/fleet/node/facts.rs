//! `hostler node facts`.

use crate::{
    Failure, Result,
    app::App,
    failure::of_several,
    fleet::{
        directory::FleetDir,
        facts::{self, GatherArgs},
        selection::SelectionArgs,
    },
    rows::{self, Row, or_dash},
    table::{Column, col, wide},
    when,
};
use clap::Args;
use fleet::facts::Known;
use serde::Serialize;

/// What nodes say of themselves: their system, its size, what it runs on; all nodes, unless some are chosen. It is kept on
/// this machine, for reports, selections and templates.
#[derive(Args, Debug)]
#[command(after_help = "A node is asked by one script that only reads, as the user of the login.")]
pub struct Facts {
    /// Show what was gathered before; no node is called
    #[arg(long)]
    known: bool,
    /// Where the fleet is
    #[command(flatten)]
    dir: FleetDir,
    /// Which nodes
    #[command(flatten)]
    selection: SelectionArgs,
    #[command(flatten)]
    gather: GatherArgs,
}

/// One row, also as data.
#[derive(Debug, Serialize)]
struct Line {
    node: String,
    #[serde(flatten)]
    known: Known,
}

impl Row for Line {
    const COLUMNS: &'static [Column] = &[
        col("NODE"),
        col("OS"),
        col("KERNEL"),
        col("ARCHITECTURE"),
        col("CPUS"),
        col("MEMORY"),
        col("VIRTUALIZATION"),
        wide("PACKAGES"),
        wide("SUPERVISOR"),
        wide("IP"),
        wide("NODENAME"),
        col("AGE"),
    ];

    fn cells(&self) -> Vec<String> {
        let fact = |name: &str| self.known.facts.get(name).map(super::plain).unwrap_or_default();
        let os = format!("{} {}", fact("os"), fact("os_version"));
        let memory = self.known.facts.get("memory_mib").map(|mib| format!("{mib} MiB")).unwrap_or_default();
        let age = when::age(self.known.gathered, rt::clock::wall());
        let cells = [
            self.node.clone(),
            os.trim().to_owned(),
            fact("kernel"),
            fact("architecture"),
            fact("cpus"),
            memory,
            fact("virtualization"),
            fact("package_manager"),
            fact("supervisor"),
            fact("ip"),
            fact("nodename"),
            age,
        ];
        cells.into_iter().map(or_dash).collect()
    }

    fn name(&self) -> String {
        self.node.clone()
    }
}

impl Facts {
    pub async fn run(self, app: &App) -> Result {
        let mut inventory = self.dir.inventory(app, &self.gather.connect.ssh).await?;
        let nodes = self.selection.choose_or_all(app, &mut inventory).await?;
        let (mut lines, mut failures) = (Vec::new(), Vec::new());
        if self.known {
            let mut known = facts::store(&self.dir.path()?)?.read()?;
            let line = |node: &inventory::Node| {
                Some(Line { known: known.remove(&node.name)?, node: node.name.clone() })
            };
            lines.extend(nodes.iter().filter_map(line));
        } else {
            for done in self.gather.gather(app, &self.dir, &inventory, &nodes).await? {
                let node = done.outcome.node;
                lines.extend(done.value.map(|known| Line { node, known }));
                failures.extend(done.outcome.error.map(Failure::from));
            }
        }
        rows::list(app, &lines, None, "facts")?;
        for failure in &failures {
            app.printer.failure(failure);
        }
        of_several(nodes.len(), failures)
    }
}
