//! `hostler last-deploys`: the newest deployment of each node, as the table that Hybrid Platforms Conductor prints.

use super::deployment::DeploymentArgs;
use crate::{Result, app::App, bordered, failure::OK};
use base::Code;
use clap::{Args, ValueEnum};
use fleet::{engine::Done, log::Entry};
use serde::Serialize;

/// The newest deployment of each node; all nodes, unless some are chosen.
#[derive(Args, Debug)]
pub struct LastDeploys {
    /// In which order
    #[arg(long, value_name = "ORDER", value_enum, default_value = "node")]
    sort_by: Order,
    #[command(flatten)]
    args: DeploymentArgs,
}

/// In which order nodes are listed. Those without a log come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
enum Order {
    Node,
    NodeDesc,
    Date,
    DateDesc,
    User,
    UserDesc,
}

const TITLES: [&str; 5] = ["Node", "Date", "Admin", "Services", "Error"];

/// One row, also as data.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    node: String,
    date: String,
    admin: String,
    services: Vec<String>,
    exit_status: String,
    error: String,
}

impl LastDeploys {
    pub async fn run(self, app: &App) -> Result {
        let chosen = self.args.choose_or_all(app).await?;
        let done = self.args.last_logs(&chosen).await?;
        let mut lines: Vec<Line> = done.into_iter().map(Line::new).collect();
        self.sort(&mut lines);
        if app.printer.format.is_data() {
            app.printer.value(&lines)?;
            return Ok(OK);
        }
        let rows: Vec<[String; 5]> = lines.into_iter().map(Line::cells).collect();
        app.printer.line(&bordered::table(&TITLES, &rows));
        Ok(OK)
    }

    fn sort(&self, lines: &mut [Line]) {
        lines.sort_by(|a, b| {
            let order = match self.sort_by {
                Order::Node => a.node.cmp(&b.node),
                Order::NodeDesc => b.node.cmp(&a.node),
                Order::Date => a.date.cmp(&b.date),
                Order::DateDesc => b.date.cmp(&a.date),
                Order::User => a.admin.cmp(&b.admin),
                Order::UserDesc => b.admin.cmp(&a.admin),
            };
            a.date.is_empty().cmp(&b.date.is_empty()).reverse().then(order).then(a.node.cmp(&b.node))
        });
    }
}

impl Line {
    fn new(done: Done<Option<Entry>>) -> Self {
        let mut line = Line {
            node: done.outcome.node,
            date: String::new(),
            admin: String::new(),
            services: Vec::new(),
            exit_status: String::new(),
            error: String::new(),
        };
        match (done.value.flatten(), done.outcome.error) {
            (Some(entry), _) => {
                line.date = entry.date_text();
                line.error =
                    if entry.succeeded() { String::new() } else { format!("Failed: {}", entry.exit_status) };
                (line.admin, line.services, line.exit_status) =
                    (entry.user, entry.services, entry.exit_status);
            }
            (None, Some(error)) if error.code == Code::Unavailable => {
                line.error = format!("Not reached: {error}");
            }
            (None, Some(error)) => line.error = error.to_string(),
            (None, None) => line.error = "Never deployed: the node has no log".into(),
        }
        line
    }

    fn cells(self) -> [String; 5] {
        [self.node, self.date, self.admin, self.services.join(", "), self.error]
    }
}
