//! `hostler drift`: which nodes are not as their services say, as data.

use super::{deployment::DeploymentArgs, summary};
use crate::{
    Result,
    app::App,
    failure::{CHANGES, OK},
    rows::{self, Row},
    table::{Column, col},
};
use clap::Args;
use fleet::{
    deploy::{Report, What},
    engine::{Done, Outcome},
};
use serde::Serialize;

/// Which nodes are not as their services say; all nodes, unless some are chosen. Only what can be compared is: no script
/// is run.
#[derive(Args, Debug)]
pub struct Drift {
    /// End with 3 if a node has drifted
    #[arg(long)]
    exit_code: bool,
    #[command(flatten)]
    args: DeploymentArgs,
}

/// One row, also as data.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    node: String,
    changes: usize,
    unknown: usize,
    /// The steps that differ, each with its service.
    differs: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<base::Error>,
}

impl Row for Line {
    const COLUMNS: &'static [Column] = &[col("NODE"), col("CHANGES"), col("UNKNOWN"), col("DIFFERS")];

    fn cells(&self) -> Vec<String> {
        let differs = match &self.error {
            Some(error) => error.to_string(),
            None => rows::or_dash(self.differs.join(", ")),
        };
        vec![self.node.clone(), self.changes.to_string(), self.unknown.to_string(), differs]
    }

    fn name(&self) -> String {
        self.node.clone()
    }
}

impl Drift {
    pub async fn run(self, app: &App) -> Result {
        let chosen = self.args.choose_or_all(app).await?;
        let ready = chosen.prepare(true).await?;
        let (interrupt, _listening) = DeploymentArgs::interrupt(app)?;
        let went = self.args.go(app, &chosen, ready, What::Look, &interrupt).await?;
        let outcomes: Vec<&Outcome> = went.done.iter().map(|d| &d.outcome).collect();
        let code = summary::exit_code(&outcomes, &went.seen, &interrupt);
        let lines: Vec<Line> = went.done.iter().map(Line::new).collect();
        rows::list(app, &lines, None, "nodes with services")?;
        let drifted = lines.iter().any(|line| line.changes > 0);
        Ok(if code == OK && self.exit_code && drifted { CHANGES } else { code })
    }
}

impl Line {
    fn new(done: &Done<Report>) -> Self {
        let plan = done.value.as_ref().map(|report| &report.plan);
        let differs = plan.into_iter().flat_map(|plan| &plan.steps).filter(|step| !step.parts.is_empty());
        Line {
            node: done.outcome.node.clone(),
            changes: plan.map_or(0, |plan| plan.changes),
            unknown: plan.map_or(0, |plan| plan.unknown),
            differs: differs.map(|step| format!("{} of {}", step.step, step.service)).collect(),
            error: done.outcome.error.clone(),
        }
    }
}
