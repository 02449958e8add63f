//! `hostler apply`: what files describe is made so. The second time changes nothing.

mod diff;
mod document;
mod node;
mod target;

use super::objects::WaitArgs;
use crate::{
    Failure, Result,
    app::App,
    failure::{CHANGES, OK, of_several},
};
use base::{Error, Name, Secret};
use clap::Args;
use client::wait::Goal;
use document::{Document, Kind};
use serde::Serialize;
use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
};

/// Create or change what a file describes.
#[derive(Args, Clone, Debug)]
#[command(
    after_help = "A document:\n  kind: Vm            # or Project, ServiceAccount, RoleBinding, Worker, Settings\n  \
                        name: web\n  project: default\n  labels: {tier: front}\n  spec: {image: tiny, cpus: 2, memory: 1GiB}\n\
                        Several documents are separated by a line with ---."
)]
pub struct Apply {
    /// A file (YAML or JSON), a directory of such files, or - for standard input; repeat it for several
    #[arg(long = "file", short = 'f', value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// Only say what would change
    #[arg(long)]
    pub dry_run: bool,
    /// With --dry-run: exit code 3 where something would change
    #[arg(long, requires = "dry_run")]
    pub exit_code: bool,
    /// Whether to wait for VMs.
    #[command(flatten)]
    pub wait: WaitArgs,
}

/// What became of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// It was not there.
    Created,
    /// It was otherwise.
    Changed,
    /// It was so already.
    Unchanged,
}

/// One line of the report.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    kind: Kind,
    name: Name,
    #[serde(skip_serializing_if = "Option::is_none")]
    project: Option<Name>,
    result: Outcome,
    /// What changes, with `--dry-run`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    changes: Vec<String>,
    /// The token of a new service account: shown once.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<Secret>,
}

impl Report {
    /// For a document, with nothing to add.
    pub fn new(document: &Document, result: Outcome) -> Self {
        Report {
            kind: document.kind,
            name: document.name.clone(),
            project: document.project.clone(),
            result,
            changes: Vec::new(),
            token: None,
        }
    }
}

impl Apply {
    pub async fn run(self, app: &App) -> Result {
        let documents = self.read(app)?;
        let client = app.client()?;
        let mut reports = Vec::new();
        let mut failures = Vec::new();
        for document in &documents {
            let applied = if self.dry_run {
                target::plan(&client, document).await
            } else {
                target::apply(&client, document).await
            };
            match applied.map_err(|e| document.place(e)) {
                Ok(report) => {
                    self.tell(app, &report);
                    reports.push(report);
                }
                Err(e) => {
                    let failure = Failure::from(e);
                    app.printer.failure(&failure);
                    failures.push(failure);
                }
            }
        }
        if app.printer.format.is_data() {
            app.printer.value(&serde_json::json!({ "items": reports }))?;
        }
        of_several(documents.len(), failures)?;
        if self.wait.wait && !self.dry_run {
            self.wait_for_vms(app, &client, &documents).await?;
        }
        let changes = reports.iter().any(|r| r.result != Outcome::Unchanged);
        Ok(if self.exit_code && changes { CHANGES } else { OK })
    }

    /// Everything is read and checked before anything is changed.
    fn read(&self, app: &App) -> Result<Vec<Document>> {
        let project = app.project()?;
        let mut documents = Vec::new();
        for path in files(&self.files)? {
            let (name, text) = read(&path)?;
            documents.extend(document::parse(&name, &text, &project)?);
        }
        if documents.is_empty() {
            return Err(Error::invalid("--file", "nothing is described there").into());
        }
        Ok(documents)
    }

    fn tell(&self, app: &App, report: &Report) {
        if app.printer.format.is_data() {
            return;
        }
        let word = match (report.result, self.dry_run) {
            (Outcome::Unchanged, _) => "unchanged",
            (Outcome::Created, false) => "created",
            (Outcome::Changed, false) => "changed",
            (Outcome::Created, true) => "would be created",
            (Outcome::Changed, true) => "would be changed",
        };
        app.printer.line(&format!("{} {} {word}", report.kind.as_str(), report.name));
        for change in &report.changes {
            app.printer.line(&format!("  {change}"));
        }
        if let Some(token) = &report.token {
            app.printer.line(&format!("  token (shown once): {}", token.expose_secret()));
        }
    }

    async fn wait_for_vms(&self, app: &App, client: &client::Client, documents: &[Document]) -> Result<()> {
        for document in documents.iter().filter(|d| d.kind == Kind::Vm) {
            let stopped = document.spec().pointer("/power").and_then(|p| p.as_str()) == Some("Stopped");
            let goal = if stopped { Goal::Stopped } else { Goal::Ready };
            let key = document.key();
            client::wait::vm(client, &key, goal, self.wait.limit(), |_| {}).await?;
            app.printer.note(&format!(
                "VM {} is {}",
                document.name,
                if stopped { "stopped" } else { "ready" }
            ));
        }
        Ok(())
    }
}

/// Directories stand for the files in them, by name.
fn files(given: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut all = Vec::new();
    for path in given {
        if !path.is_dir() {
            all.push(path.clone());
            continue;
        }
        let doing = |e| Error::io(format_args!("read {}", path.display()), &e);
        let mut inside = Vec::new();
        for entry in fs::read_dir(path).map_err(doing)? {
            let file = entry.map_err(doing)?.path();
            let extension = file.extension().and_then(|e| e.to_str());
            if matches!(extension, Some("yaml" | "yml" | "json")) && file.is_file() {
                inside.push(file);
            }
        }
        inside.sort();
        all.append(&mut inside);
    }
    Ok(all)
}

fn read(path: &Path) -> Result<(String, String)> {
    let mut text = String::new();
    if path == Path::new("-") {
        std::io::stdin().read_to_string(&mut text).map_err(|e| Error::io("read standard input", &e))?;
        return Ok(("<stdin>".into(), text));
    }
    let name = path.display().to_string();
    let text =
        fs::read_to_string(path).map_err(|e| Error::io(format_args!("read {name}"), &e).at("--file"))?;
    Ok((name, text))
}
