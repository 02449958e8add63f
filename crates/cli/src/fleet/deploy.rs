//! `hostler deploy`: makes nodes as their services say.

use super::{
    check::{Check, document},
    deployment::{self, AgainArgs, Chosen, DeploymentArgs, Went},
    sections, summary,
};
use crate::{Failure, Result, app::App, parse, terminal};
use base::{Code, Error};
use clap::Args;
use fleet::{
    deploy::{Ready, What},
    engine::{Done, Interrupt, Outcome, Status},
    plan::{self, Document},
};
use serde::Serialize;
use std::path::PathBuf;

/// More nodes to change than these are a reason to ask.
const MANY: usize = 20;

/// Make nodes as their services say. What is as it should be is left alone.
#[derive(Args, Debug)]
#[command(
    after_help = "Ends with 0 if all went well everywhere, 8 if somewhere, 1 if nowhere, 6 if a plan does not hold any\n\
                        more, 130 if it was interrupted."
)]
pub struct Deploy {
    /// Only show what would change, as `hostler check` does
    #[arg(long, short = 'W', conflicts_with = "plan")]
    why_run: bool,
    /// How long the check of each node may take, with --why-run
    #[arg(long, short = 't', value_name = "TIME", value_parser = parse::seconds, requires = "why_run")]
    timeout: Option<u64>,
    /// Do exactly what this plan says (from `hostler check -o plan.json`), or nothing
    #[arg(long, value_name = "FILE")]
    plan: Option<PathBuf>,
    /// How long to wait for a node that somebody else deploys, in seconds; 600 if nothing else is said
    #[arg(long, value_name = "SECONDS")]
    lock_timeout: Option<u64>,
    #[command(flatten)]
    again: AgainArgs,
    #[command(flatten)]
    args: DeploymentArgs,
}

/// The answer as data.
#[derive(Serialize)]
struct Answer<'a> {
    items: &'a [Done<fleet::deploy::Report>],
}

impl Deploy {
    pub async fn run(self, app: &App) -> Result {
        if self.why_run {
            return Check::new(self.timeout, self.again, self.args).run(app).await;
        }
        let plan = self.plan.as_deref().map(deployment::read_plan).transpose()?;
        let chosen = self.args.choose(app, plan.as_ref()).await?;
        let mut ready = chosen.prepare(false).await?;
        if chosen.idle() > 0 {
            app.printer.note(&format!("{} of the chosen nodes have no services", chosen.idle()));
        }
        self.again.tell(&mut ready);
        ready.settings.lock_timeout = self.lock_timeout.or(ready.settings.lock_timeout);
        let (interrupt, _listening) = DeploymentArgs::interrupt(app)?;
        if let Some(plan) = &plan {
            self.holds(app, &chosen, &mut ready, plan, &interrupt).await?;
        } else if ready.nodes.len() > MANY && terminal::is_interactive() && !app.global.yes {
            self.ask(app, &chosen, &mut ready, &interrupt).await?;
        }
        let title = format!("Deploying on {} nodes", ready.nodes.len());
        sections::begin(app, &title);
        let went = self.args.go(app, &chosen, ready, What::Deploy, &interrupt).await?;
        sections::end(app, &title);
        self.tell(app, &went, &interrupt).await
    }

    async fn tell(&self, app: &App, went: &Went, interrupt: &Interrupt) -> Result {
        went.seen.answer(app, &Answer { items: &went.done }).await?;
        let outcomes: Vec<&Outcome> = went.done.iter().map(|d| &d.outcome).collect();
        summary::tell(app, &self.args.watch, &outcomes, &went.seen);
        sections::done(app, went);
        let bad: Vec<&&Outcome> = outcomes.iter().filter(|o| o.status != Status::Ok).collect();
        let moved = |o: &&&Outcome| o.error.as_ref().is_some_and(|e| e.code == Code::PreconditionFailed);
        if !bad.is_empty() && bad.iter().all(moved) {
            return Ok(Code::PreconditionFailed.exit_code());
        }
        Ok(summary::exit_code(&outcomes, &went.seen, interrupt))
    }

    /// Makes sure that a plan still holds everywhere, before anything is done anywhere.
    async fn holds(
        &self,
        app: &App,
        chosen: &Chosen,
        ready: &mut Ready,
        plan: &Document,
        interrupt: &Interrupt,
    ) -> Result<()> {
        let moved = |what: String| Failure::from(deployment::moved(&what));
        for (name, prepared) in &mut ready.work {
            let Some(expected) = plan.nodes.get(name) else {
                return Err(moved(format!("it says nothing of {name}")));
            };
            if plan::inputs(&prepared.work)? != expected.inputs {
                return Err(moved(format!("the services or the inventory have changed for {name}")));
            }
            prepared.expected = Some(expected.clone());
        }
        let now = self.look(app, chosen, interrupt).await?;
        for (name, seen) in &now.nodes {
            let Some(then) = plan.nodes.get(name) else { continue };
            if then.observed != seen.observed {
                return Err(moved(format!("{name} has changed")));
            }
            // It was edited, or made by a program that foretells otherwise.
            if (&then.steps, &then.handlers) != (&seen.steps, &seen.handlers) {
                return Err(moved(format!("something else than it says would be done on {name}")));
            }
        }
        Ok(())
    }

    /// Asks before many nodes change. What was said then is done, and nothing else.
    async fn ask(&self, app: &App, chosen: &Chosen, ready: &mut Ready, interrupt: &Interrupt) -> Result<()> {
        let plan = self.look(app, chosen, interrupt).await?;
        let many = plan.nodes.values().filter(|n| !n.is_empty()).count();
        if many <= MANY {
            return Ok(());
        }
        let declined =
            || Error::new(Code::Conflict, "nothing was deployed").hint("--yes deploys without a question");
        if app.global.no_input || !app.printer.ask(&format!("{many} nodes will be changed. Deploy?")) {
            return Err(declined().into());
        }
        for (name, prepared) in &mut ready.work {
            prepared.expected = plan.nodes.get(name).cloned();
        }
        Ok(())
    }

    async fn look(&self, app: &App, chosen: &Chosen, interrupt: &Interrupt) -> Result<Document> {
        let ready = chosen.prepare(false).await?;
        Ok(document(&self.args.go(app, chosen, ready, What::Look, interrupt).await?))
    }
}
