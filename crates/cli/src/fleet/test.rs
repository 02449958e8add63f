//! `hostler test`: whether nodes, platforms and services are as they should be.

use super::{
    bar::Bar,
    deployment::author,
    directory::FleetDir,
    facts,
    identity::BecomeArgs,
    limits::LimitArgs,
    playbooks,
    secrets::{self, SecretsArgs},
    selection::SelectionArgs,
    signals,
    ssh::ConnectArgs,
};
use crate::{
    Result,
    app::App,
    failure::{INTERRUPTED, OK, SOME_FAILED},
    rows::{self, Row, or_dash},
    table::{Column, col, wide},
};
use ::secrets::Redactor;
use base::Error;
use clap::Args;
use fleet::{
    deploy::Operator,
    engine::{Blind, Interrupt, Observer},
    nodetest::{Chosen, Declared, Kind, Outcome, Report, Runner, Script, Status},
    ruby::{Bridge, Known, Options},
    sources::Asker,
};
use serde::Serialize;
use std::{path::PathBuf, sync::Arc};

/// Test nodes and their platforms; all nodes, unless some are chosen.
#[derive(Args, Debug)]
#[command(
    after_help = "Ends with 0 if nothing fails that is not expected to fail, 8 if some tests do, 1 if all do.\n\
                        Examples:\n  hostler test --test connection\n  hostler test --node /web/ --test connection --test ports\n  \
                        hostler test --node-service web --test connection --failures --junit report.xml"
)]
pub struct Test {
    /// A test, by its name; all, unless some are named
    #[arg(long = "test", short = 't', value_name = "NAME")]
    tests: Vec<String>,
    /// A file with the names of tests, one a line
    #[arg(long, short = 'i', value_name = "FILE")]
    tests_list: Vec<PathBuf>,
    /// Show which tests there are, and run none
    #[arg(long)]
    list: bool,
    /// Show only what failed, and what did not although it is expected to
    #[arg(long)]
    failures: bool,
    /// Write a report as JUnit XML
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Which nodes
    #[command(flatten)]
    selection: SelectionArgs,
    /// How many at once
    #[command(flatten)]
    limits: LimitArgs,
    /// As whom
    #[command(flatten)]
    other: BecomeArgs,
    /// How nodes are reached
    #[command(flatten)]
    connect: ConnectArgs,
    /// Which secrets
    #[command(flatten)]
    secrets: SecretsArgs,
    /// Where the fleet is
    #[command(flatten)]
    dir: FleetDir,
}

impl Test {
    pub async fn run(self, app: &App) -> Result {
        let dir = self.dir.path()?;
        let mut inventory = self.dir.inventory(app, &self.connect.ssh).await?;
        let mut nodes = self.selection.choose_or_all(app, &mut inventory).await?;
        inventory.complete(&mut nodes, &["host_ip"]).await?;
        let file = self.dir.file()?;
        let declared: Declared = file.section("tests")?;
        let scripts = Script::find(&dir, &declared.scripts, &inventory).await?;
        if self.list {
            rows::list(app, &named(&scripts), None, "tests")?;
            return Ok(OK);
        }
        let chosen = Chosen::named(&self.names()?, &scripts)?;
        let secrets = self.secrets.lazy(&self.dir)?;
        let read = secrets::read(app, &secrets, self.other.needs_secrets()).await?;
        let identity = self.other.identity(app, read)?;
        let login = self.connect.login(app)?;
        let passwords = identity.password.iter().chain(&login.password).cloned().collect();
        let interrupt = Interrupt::new();
        let bar = app.printer.may_draw().then(|| Bar::new(app, "Run node tests", nodes.len()));
        let _signals = signals::listen(&app.printer, &interrupt)?;
        let (password, ssh) = (login.password.clone(), &self.connect.ssh);
        let connectors = Arc::new(self.connect.connectors(app, &self.dir, login)?);
        let (limits, asked) = (self.limits.limits(), connectors.clone());
        inventory.add_source(facts::asking(
            &dir,
            Asker { connectors: asked, limits, redactor: Redactor::default() },
        ));
        let ruby = Bridge::new(Options::new(&dir), Arc::new(Known::new(inventory.clone())));
        let become_password = identity.password.clone();
        let playbooks = playbooks::Runner {
            app,
            ssh,
            inventory: &inventory,
            password: password.as_ref(),
            become_password: become_password.as_ref(),
        };
        let runner = Runner {
            dir: &dir,
            file: &file,
            inventory: &inventory,
            nodes: &nodes,
            declared: &declared,
            scripts: &scripts,
            connectors: &connectors,
            identity: &identity,
            secrets: &secrets,
            passwords,
            operator: Operator { ruby: Some(&ruby), ansible: Some(&playbooks) },
            author: &author(),
            limits: &self.limits.limits(),
            interrupt: &interrupt,
            observer: bar.as_ref().map_or(&Blind as &dyn Observer, |bar| &bar.tally),
        };
        let report = runner.run(&chosen).await?;
        bar.iter().for_each(Bar::finish);
        self.show(app, &report)?;
        Ok(if interrupt.is_stopping() { INTERRUPTED } else { exit_code(&report) })
    }

    /// The tests that are named, by flags and in files. `#` begins a remark.
    fn names(&self) -> Result<Vec<String>> {
        let mut names = self.tests.clone();
        for path in &self.tests_list {
            let text = std::fs::read_to_string(path);
            let text =
                text.map_err(|e| Error::io(format_args!("read {}", path.display()), &e).at("--tests-list"))?;
            let lines = text.lines().map(|l| l.split('#').next().unwrap_or_default().trim());
            names.extend(lines.filter(|l| !l.is_empty()).map(ToOwned::to_owned));
        }
        Ok(names)
    }

    fn show(&self, app: &App, report: &Report) -> Result<()> {
        if let Some(path) = &self.junit {
            let written = std::fs::write(path, report.junit());
            written.map_err(|e| Error::io(format_args!("write {}", path.display()), &e).at("--junit"))?;
        }
        if app.printer.format.is_data() {
            return app.printer.value(report);
        }
        let shown = report.items.iter().filter(|o| !self.failures || o.status.is_failure());
        let shown: Vec<Line> = shown.map(Line::new).collect();
        if !shown.is_empty() {
            rows::list(app, &shown, None, "tests")?;
        }
        app.printer.note(&report.counts.words());
        Ok(())
    }
}

fn exit_code(report: &Report) -> u8 {
    let failures = report.counts.failures();
    let well = report.counts.passed + report.counts.failed_as_expected;
    match (failures, well) {
        (0, _) => OK,
        (_, 0) => 1,
        _ => SOME_FAILED,
    }
}

/// One result.
#[derive(Debug, Serialize)]
struct Line {
    subject: String,
    test: String,
    result: String,
    seconds: String,
    why: String,
}

impl Line {
    fn new(outcome: &Outcome) -> Self {
        let result = match outcome.status {
            Status::FailedAsExpected => "failed, as expected".to_owned(),
            Status::NotFailedAsExpected => "not failed, though expected".to_owned(),
            status => status.as_str().to_owned(),
        };
        Line {
            subject: outcome.subject.to_string(),
            test: outcome.test.clone(),
            result,
            seconds: format!("{:.2}", outcome.duration.as_secs_f64()),
            why: outcome.words(),
        }
    }
}

impl Row for Line {
    const COLUMNS: &'static [Column] =
        &[col("SUBJECT"), col("TEST"), col("RESULT"), wide("SECONDS"), col("WHY")];

    fn cells(&self) -> Vec<String> {
        [&self.subject, &self.test, &self.result, &self.seconds]
            .map(Clone::clone)
            .into_iter()
            .chain([or_dash(&self.why)])
            .collect()
    }

    fn name(&self) -> String {
        format!("{}/{}", self.subject, self.test)
    }
}

/// A test that can be named.
#[derive(Debug, Serialize)]
struct Named {
    name: String,
    description: String,
}

impl Row for Named {
    const COLUMNS: &'static [Column] = &[col("NAME"), col("DESCRIPTION")];

    fn cells(&self) -> Vec<String> {
        vec![self.name.clone(), self.description.clone()]
    }

    fn name(&self) -> String {
        self.name.clone()
    }
}

fn named(scripts: &[Script]) -> Vec<Named> {
    let built_in = Kind::ALL.map(|kind| Named { name: kind.to_string(), description: kind.summary().into() });
    let own =
        scripts.iter().map(|s| Named { name: s.name.clone(), description: s.path.display().to_string() });
    built_in.into_iter().chain(own).collect()
}
