//! `hostler check`: what a deployment would change.

use super::{
    deployment::{AgainArgs, DeploymentArgs, Went},
    sections, summary,
};
use crate::{
    Result,
    app::App,
    failure::{CHANGES, OK},
    parse,
};
use base::Error;
use clap::Args;
use fleet::{
    deploy::What,
    engine::{Outcome, Status},
    plan::{Document, VERSION},
};
use serde::Serialize;
use std::{ffi::OsString, path::PathBuf, time::Duration};

/// Show what a deployment would change, and change nothing. Steps are compared with what is on the nodes; checks that are
/// scripts are run, since only their author knows what they do.
#[derive(Args, Debug)]
#[command(after_help = "Also: -o plan.json writes the plan for `hostler deploy --plan plan.json`.\n\
                        Ends with 0 if all nodes could be checked, 8 if some, 1 if none; with --exit-code, 3 if something\n\
                        would change or is unknown.")]
pub struct Check {
    /// End with 3 if something would change, or if that is unknown
    #[arg(long)]
    exit_code: bool,
    /// Write the plan into this file
    #[arg(long, value_name = "FILE")]
    write_plan: Option<PathBuf>,
    /// How long the check of each node may take
    #[arg(long, short = 't', value_name = "TIME", value_parser = parse::seconds)]
    timeout: Option<u64>,
    #[command(flatten)]
    again: AgainArgs,
    #[command(flatten)]
    args: DeploymentArgs,
}

/// The plan of all nodes, and what went wrong on the others.
#[derive(Serialize)]
struct Answer<'a> {
    #[serde(flatten)]
    plan: Document,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    failed: Vec<&'a Outcome>,
}

impl Check {
    /// The check that a deployment with `--why-run` is.
    pub fn new(timeout: Option<u64>, again: AgainArgs, args: DeploymentArgs) -> Self {
        Check { exit_code: false, write_plan: None, timeout, again, args }
    }

    pub async fn run(self, app: &App) -> Result {
        let chosen = self.args.choose(app, None).await?;
        let mut ready = chosen.prepare(true).await?;
        ready.limit = self.timeout.map(Duration::from_secs);
        self.again.tell(&mut ready);
        if chosen.idle() > 0 {
            app.printer.note(&format!("{} of the chosen nodes have no services", chosen.idle()));
        }
        let (interrupt, _listening) = DeploymentArgs::interrupt(app)?;
        let title = format!("Checking on {} nodes", ready.nodes.len());
        sections::begin(app, &title);
        let went = self.args.go(app, &chosen, ready, What::Check, &interrupt).await?;
        sections::end(app, &title);
        self.answer(app, &went).await?;
        let outcomes: Vec<&Outcome> = went.done.iter().map(|d| &d.outcome).collect();
        summary::tell(app, &self.args.watch, &outcomes, &went.seen);
        sections::foretold(app, &went);
        let code = summary::exit_code(&outcomes, &went.seen, &interrupt);
        Ok(if code == OK && self.exit_code && pending(&went) { CHANGES } else { code })
    }

    async fn answer(&self, app: &App, went: &Went) -> Result<()> {
        let failed = went.done.iter().map(|d| &d.outcome).filter(|o| o.status != Status::Ok).collect();
        let answer = Answer { plan: document(went), failed };
        if let Some(path) = &self.write_plan {
            let text = serde_json::to_vec_pretty(&answer)
                .map_err(|e| Error::internal("cannot write the plan").because(e))?;
            let written =
                rt::files::write_atomic(&std::path::absolute(path).unwrap_or_else(|_| path.clone()), &text);
            written.map_err(|e| e.at("--write-plan"))?;
        }
        went.seen.answer(app, &answer).await
    }
}

/// The plans of all nodes that could be looked at.
pub fn document(went: &Went) -> Document {
    let plans =
        went.done.iter().filter_map(|d| Some((d.outcome.node.clone(), d.value.as_ref()?.plan.clone())));
    Document { version: VERSION, made: rt::clock::wall(), nodes: plans.collect() }
}

fn pending(went: &Went) -> bool {
    went.done.iter().filter_map(|d| d.value.as_ref()).any(|r| !r.plan.is_empty())
}

/// `-o plan.json` of a check as `--write-plan plan.json`: for all other commands `-o` is a format.
pub fn plan_file(args: Vec<OsString>) -> Vec<OsString> {
    let is = |arg: &OsString, words: &[&str]| arg.to_str().is_some_and(|a| words.contains(&a));
    if !args.iter().skip(1).any(|a| is(a, &["check", "check-node"])) {
        return args;
    }
    let is_file = |text: &str| std::path::Path::new(text).extension().is_some_and(|e| e == "json");
    let mut out = Vec::with_capacity(args.len());
    let mut args = args.into_iter().peekable();
    while let Some(arg) = args.next() {
        let joined = arg.to_str().and_then(|a| a.strip_prefix("--output=").or_else(|| a.strip_prefix("-o")));
        let next = args.peek().and_then(|next| next.to_str());
        if is(&arg, &["-o", "--output"]) && next.is_some_and(is_file) {
            out.push("--write-plan".into());
        } else if let Some(file) = joined.filter(|file| is_file(file)) {
            out.extend(["--write-plan".into(), file.into()]);
        } else {
            out.push(arg);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::plan_file;

    #[test]
    fn a_plan_file_is_no_format() {
        let of = |line: &str| {
            let words = plan_file(line.split(' ').map(Into::into).collect());
            words.iter().map(|w| w.to_str().unwrap()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(of("hostler check --all -o plan.json"), "hostler check --all --write-plan plan.json");
        assert_eq!(of("hostler check -oa/b.json"), "hostler check --write-plan a/b.json");
        assert_eq!(of("hostler check --output=b.json -n x"), "hostler check --write-plan b.json -n x");
        for same in ["hostler check -o json", "hostler node list -o x.json", "hostler run -c check.json"] {
            assert_eq!(of(same), same);
        }
    }
}
