//! `hostler nodes-to-deploy`: which nodes a deployment would be for, and why.

use super::deployment::{Chosen, DeploymentArgs};
use crate::{
    Result,
    app::App,
    failure::OK,
    rows::{self, Row},
    table::{Column, col},
};
use base::Error;
use clap::Args;
use fleet::{
    deploy::Schedule,
    engine::Done,
    log::{Entry, Repository},
};
use inventory::{GitChange, Selection, Selector};
use jiff::{Timestamp, civil::DateTime, tz::TimeZone};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// Nodes that were never deployed, where the last deployment failed, or that a change in git since then concerns; of all
/// nodes, unless some are chosen.
#[derive(Args, Debug)]
pub struct NodesToDeploy {
    /// As if it was this time: 2026-11-20T04:10:00Z, or in UTC 2026-11-20 04:10:00
    #[arg(long, value_name = "TIME", value_parser = time)]
    deployment_time: Option<Timestamp>,
    /// Whatever was deployed before
    #[arg(long)]
    ignore_deployed_info: bool,
    /// Whatever the schedules say
    #[arg(long)]
    ignore_schedule: bool,
    #[command(flatten)]
    args: DeploymentArgs,
}

/// One row, also as data.
#[derive(Debug, Serialize)]
struct Line {
    node: String,
    why: String,
}

impl Row for Line {
    const COLUMNS: &'static [Column] = &[col("NODE"), col("WHY")];

    fn cells(&self) -> Vec<String> {
        vec![self.node.clone(), self.why.clone()]
    }

    fn name(&self) -> String {
        self.node.clone()
    }
}

/// Nodes that a change since a commit concerns, by platform and commit; `None` where that cannot be told.
type Impacts = BTreeMap<(String, String), Option<BTreeSet<String>>>;

impl NodesToDeploy {
    pub async fn run(self, app: &App) -> Result {
        let mut chosen = self.args.choose_or_all(app).await?;
        if !self.ignore_schedule {
            self.keep_scheduled(&mut chosen).await?;
        }
        let lines = if self.ignore_deployed_info {
            let why = || "asked for, whatever was deployed".to_owned();
            chosen.nodes().iter().map(|n| Line { node: n.name.clone(), why: why() }).collect()
        } else {
            let done = self.args.last_logs(&chosen).await?;
            due(&chosen, done).await
        };
        rows::list(app, &lines, None, "nodes to deploy")?;
        Ok(OK)
    }

    /// Nodes without a schedule may always be deployed.
    async fn keep_scheduled(&self, chosen: &mut Chosen) -> Result<()> {
        let schedules: Vec<Schedule> = self.args.dir.file()?.section("schedules")?;
        let now = self.deployment_time.unwrap_or_else(rt::clock::wall);
        let (mut bound, mut open) = (BTreeSet::new(), BTreeSet::new());
        for schedule in &schedules {
            let include =
                schedule.nodes.iter().map(|s| s.parse()).collect::<Result<Vec<Selector>, Error>>()?;
            let selection = Selection { include, allow_empty: true, ..Selection::default() };
            let nodes = chosen.inventory_mut().choose(&selection).await?;
            let names = nodes.into_iter().map(|n| n.name);
            if schedule.is_open(now) {
                open.extend(names);
            } else {
                bound.extend(names);
            }
        }
        chosen.retain(|node| open.contains(&node.name) || !bound.contains(&node.name));
        Ok(())
    }
}

/// A point in time; without a zone in UTC.
fn time(text: &str) -> Result<Timestamp, String> {
    let in_utc = || text.parse::<DateTime>().and_then(|time| time.to_zoned(TimeZone::UTC));
    let wrong =
        |_| format!("'{text}' is not a time: write 2026-11-20T04:10:00Z, or in UTC '2026-11-20 04:10:00'");
    text.parse().or_else(|_: jiff::Error| in_utc().map(|zoned| zoned.timestamp())).map_err(wrong)
}

/// The nodes that have to be deployed.
async fn due(chosen: &Chosen, done: Vec<Done<Option<Entry>>>) -> Vec<Line> {
    let (mut lines, mut impacts) = (Vec::new(), Impacts::new());
    for one in done {
        let node = one.outcome.node;
        let why = match (one.value.flatten(), one.outcome.error) {
            (None, Some(error)) => Some(format!("its log cannot be read: {error}")),
            (None, None) => Some("never deployed".into()),
            (Some(entry), _) if !entry.succeeded() => {
                Some(format!("the deployment of {} failed: {}", entry.date_text(), entry.exit_status))
            }
            (Some(entry), _) => changed(chosen, &node, &entry, &mut impacts).await,
        };
        lines.extend(why.map(|why| Line { node, why }));
    }
    lines
}

/// Why a node that was deployed well has to be deployed again, if it has.
async fn changed(chosen: &Chosen, node: &str, entry: &Entry, impacts: &mut Impacts) -> Option<String> {
    if entry.repositories.is_empty() {
        return Some("its log does not say where its services came from".into());
    }
    for Repository { name, commit, .. } in &entry.repositories {
        let Some(commit) = commit else {
            return Some(format!("{name} is in no git repository, which would say what changed"));
        };
        let key = (name.clone(), commit.clone());
        if !impacts.contains_key(&key) {
            let change =
                GitChange { platform: name.clone(), from: Some(commit.clone()), to: None, smallest: false };
            let impact = chosen.inventory().impact(&change).await;
            impacts.insert(key.clone(), impact.ok().map(|impact| impact.nodes));
        }
        let short = commit.get(..12).unwrap_or(commit);
        match impacts.get(&key) {
            Some(Some(nodes)) if nodes.contains(node) => {
                return Some(format!("{name} has changed for it since {short}"));
            }
            Some(Some(_)) => {}
            _ => return Some(format!("what changed in {name} since {short} cannot be told")),
        }
    }
    None
}
