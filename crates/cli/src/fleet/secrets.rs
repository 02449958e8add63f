//! The noun `secret`, and the flag by which every verb that uses secrets takes more of them.

use super::directory::FleetDir;
use crate::{
    Result,
    app::App,
    env,
    failure::OK,
    rows::{self, Row},
    table::{Column, col},
};
use base::{Error, Secret};
use clap::{Args, Subcommand};
use secrets::{File, Lazy, Secrets, Source, Surroundings};
use serde::Serialize;
use std::path::PathBuf;

/// Which secrets, besides those that `hostler.yaml` declares.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Secrets")]
pub struct SecretsArgs {
    /// A JSON or YAML file with secrets, merged with those of hostler.yaml
    #[arg(long = "secrets", short = 'e', value_name = "FILE")]
    pub files: Vec<PathBuf>,
}

impl SecretsArgs {
    /// The secrets of a fleet. Nothing is read before somebody needs one.
    pub fn lazy(&self, dir: &FleetDir) -> Result<Lazy> {
        let mut sources: Vec<Source> = dir.file()?.section("secrets")?;
        let here = std::env::current_dir().map_err(|e| Error::io("find the working directory", &e))?;
        sources.extend(self.files.iter().map(|file| Source::File(File { file: here.join(file), at: None })));
        let surroundings = Surroundings {
            dir: dir.path()?,
            home: env::var("HOME").map(PathBuf::from),
            env: env::all().map(|(name, value)| (name, Secret::new(value))).collect(),
            credentials: crate::sandboxed::credentials(),
        };
        Ok(Lazy::new(sources, surroundings))
    }
}

/// The secrets of a fleet: those that are used, and in any case those that outputs must not show. That a source cannot be
/// read is an error where one is `needed`, and a warning elsewhere.
pub async fn read<'a>(app: &App, lazy: &'a Lazy, needed: bool) -> Result<Option<&'a Secrets>> {
    match lazy.get().await {
        Ok(secrets) => Ok(Some(secrets)),
        Err(e) if needed => Err(e.into()),
        Err(e) => {
            app.printer.warn(&format!("outputs may show secrets of this fleet, which cannot be read: {e}"));
            Ok(None)
        }
    }
}

/// Secrets of a fleet. Their values are never shown.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the names of all secrets, and which source each is from
    #[command(visible_alias = "ls")]
    List {
        /// Where the fleet is
        #[command(flatten)]
        dir: FleetDir,
        /// More of them
        #[command(flatten)]
        secrets: SecretsArgs,
    },
}

/// One row.
#[derive(Debug, Serialize)]
struct Listed {
    name: String,
    source: String,
    hidden: bool,
}

impl Row for Listed {
    const COLUMNS: &'static [Column] = &[col("NAME"), col("HIDDEN"), col("SOURCE")];

    fn cells(&self) -> Vec<String> {
        let hidden = if self.hidden { "yes" } else { "no" };
        vec![self.name.clone(), hidden.into(), self.source.clone()]
    }

    fn name(&self) -> String {
        self.name.clone()
    }
}

impl Command {
    pub async fn run(self, app: &App) -> Result {
        match self {
            Command::List { dir, secrets } => {
                let lazy = secrets.lazy(&dir)?;
                let listed = lazy.get().await?.list();
                let rows: Vec<Listed> = listed
                    .into_iter()
                    .map(|l| Listed { name: l.name, source: l.source, hidden: l.hidden })
                    .collect();
                rows::list(app, &rows, None, "secrets")?;
            }
        }
        Ok(OK)
    }
}
