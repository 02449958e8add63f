//! `hostler fleet`: directories that the controller knows, and what it does with them.

use super::{
    objects::{self, ListArgs},
    operation,
};
use crate::{
    Failure, Result,
    app::App,
    failure::OK,
    parse::{self, InProject},
    rows::{Row, or_dash},
    table::{Column, col, wide},
    when,
};
use api::{
    Fleet, FleetSpec, NewObject, Operation,
    fleet::{FleetRequest, FleetSource, FleetVerb, GitSource},
    record::OperationState,
    routes::RouteId,
};
use base::{Error, Name};
use clap::{Args, Subcommand};
use client::Key;
use std::{fs, path::PathBuf};

/// Directories that the controller knows.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Register a directory with the controller
    Create(Create),
    /// List registered directories
    #[command(visible_alias = "ls")]
    List(ListArgs),
    /// Show registered directories
    Get {
        /// Their names
        #[arg(required = true, value_parser = parse::in_project)]
        names: Vec<InProject>,
    },
    /// Forget registered directories; nodes stay as they are
    #[command(visible_alias = "rm")]
    Delete {
        /// Their names
        #[arg(required = true, value_parser = parse::in_project)]
        names: Vec<InProject>,
    },
    /// Run commands by the controller
    Run(Start),
    /// Check by the controller what a deploy would change
    Check(Start),
    /// Deploy by the controller
    Deploy(Start),
}

/// Register a directory.
#[derive(Args, Debug)]
pub struct Create {
    /// Its name
    #[arg(value_parser = parse::name)]
    name: Name,
    /// A repository, over https or ssh
    #[arg(long, value_name = "URL", required_unless_present = "path", conflicts_with = "path")]
    git: Option<String>,
    /// The branch or tag of the repository
    #[arg(long, requires = "git")]
    branch: Option<String>,
    /// The directory in the repository
    #[arg(long, value_name = "DIR", requires = "git")]
    directory: Option<String>,
    /// A directory of the controller's host, copied before each use
    #[arg(long, value_name = "DIR")]
    path: Option<String>,
    /// Host keys of its nodes, and of the repository's host
    #[arg(long, value_name = "FILE")]
    known_hosts: Option<PathBuf>,
    /// A credential of the project that it may use; repeat it for several
    #[arg(long = "credential", value_name = "NAME", value_parser = parse::name)]
    credentials: Vec<Name>,
    /// How often the controller checks all nodes by itself
    #[arg(long, value_name = "TIME", value_parser = parse::seconds)]
    check_every: Option<u64>,
}

/// What to do with a directory.
#[derive(Args, Debug)]
pub struct Start {
    /// The directory
    #[arg(value_parser = parse::in_project)]
    name: InProject,
    /// Only begin: print the operation's name
    #[arg(long)]
    detach: bool,
    /// Arguments as without a controller, e.g. `--all --command uptime`
    #[arg(last = true, value_name = "ARGUMENT")]
    arguments: Vec<String>,
}

impl Row for Fleet {
    const COLUMNS: &'static [Column] = &[
        col("NAME"),
        col("PROJECT"),
        col("SOURCE"),
        col("LAST CHECK"),
        col("DRIFT"),
        col("AGE"),
        wide("UID"),
    ];
    fn cells(&self) -> Vec<String> {
        let m = &self.metadata;
        let now = rt::clock::wall();
        let check = self.status.last_check.as_ref();
        vec![
            m.name.to_string(),
            or_dash(m.project.as_ref().map(ToString::to_string).unwrap_or_default()),
            match &self.spec.source {
                FleetSource::Git(git) => git.url.clone(),
                FleetSource::Path(path) => path.clone(),
            },
            or_dash(check.map(|c| when::age(c.at, now)).unwrap_or_default()),
            or_dash(check.map(|c| format!("{:?}", c.drift)).unwrap_or_default()),
            when::age(m.created_at, now),
            m.uid.to_string(),
        ]
    }
    fn name(&self) -> String {
        self.metadata.name.to_string()
    }
}

impl Command {
    pub async fn run(self, app: &App) -> Result {
        match self {
            Command::Create(create) => create.run(app).await,
            Command::List(args) => {
                objects::list::<Fleet>(app, app.global.project.as_ref().map(Name::as_str), &args).await
            }
            Command::Get { names } => objects::get::<Fleet>(app, &keys(app, &names)?).await,
            Command::Delete { names } => objects::delete::<Fleet>(app, &keys(app, &names)?).await,
            Command::Run(start) => start.run(app, FleetVerb::Run).await,
            Command::Check(start) => start.run(app, FleetVerb::Check).await,
            Command::Deploy(start) => start.run(app, FleetVerb::Deploy).await,
        }
    }
}

/// Keys of objects of a project.
pub fn keys(app: &App, names: &[InProject]) -> Result<Vec<Key>> {
    names.iter().map(|name| app.key(name)).collect()
}

impl Create {
    async fn run(self, app: &App) -> Result {
        let known_hosts = match &self.known_hosts {
            Some(file) => fs::read_to_string(file)
                .map_err(|e| Error::io(format_args!("read {}", file.display()), &e).at("--known-hosts"))?,
            None => String::new(),
        };
        let source = match (self.git, self.path) {
            (Some(url), _) => {
                FleetSource::Git(GitSource { url, branch: self.branch, directory: self.directory })
            }
            (None, path) => FleetSource::Path(path.unwrap_or_default()),
        };
        let spec = FleetSpec {
            source,
            known_hosts,
            credentials: self.credentials,
            check_every_seconds: self.check_every,
        };
        let new = NewObject { name: self.name, labels: std::collections::BTreeMap::new(), spec };
        let fleet: Fleet = app.client()?.create(Some(&app.project()?), &new).await?;
        objects::changed(app, &fleet, "registered")
    }
}

impl Start {
    /// Begins, shows what is said, and ends as the verb did.
    async fn run(self, app: &App, verb: FleetVerb) -> Result {
        let key = app.key(&self.name)?;
        let project = key.project.clone().unwrap_or_default();
        let request = FleetRequest { verb, arguments: self.arguments };
        let client = app.client()?;
        let call = client.call(RouteId::StartFleet, &[&project, &key.name]).json(&request);
        let begun: Operation = call.send().await?;
        let key = Key::of(&begun.metadata);
        if self.detach {
            app.printer.line(&key.short());
            return Ok(OK);
        }
        app.printer.note(&format!("operation {} has begun", key.short()));
        operation::show_log(app, &key, true).await?;
        let ended: Operation = operation::ended(app, &key).await?;
        let code = ended.status.result.as_ref().and_then(|r| r["exitCode"].as_u64());
        match (ended.status.state, code) {
            (_, Some(code)) => Ok(u8::try_from(code).unwrap_or(1)),
            (OperationState::Cancelled, None) => Err(Error::conflict("the operation was cancelled").into()),
            _ => Err(Failure::from(
                ended.status.error.unwrap_or_else(|| Error::internal("the operation failed")),
            )),
        }
    }
}
