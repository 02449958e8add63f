//! `hostler project`.

use super::objects::{self, ListArgs};
use crate::{
    Result,
    app::App,
    parse,
    rows::{Row, or_dash},
    table::{Column, col, wide},
    when,
};
use api::{NewObject, Project, ProjectSpec};
use base::Name;
use clap::Subcommand;
use client::Key;

/// Projects.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a project
    Create {
        /// Its name
        #[arg(value_parser = parse::name)]
        name: Name,
        /// A sentence for people
        #[arg(long, default_value = "", hide_default_value = true)]
        description: String,
        /// A label; repeat it for several
        #[arg(long = "label", short = 'l', value_name = "KEY=VALUE", value_parser = parse::pair)]
        labels: Vec<(String, String)>,
    },
    /// List the projects that you may see
    #[command(visible_alias = "ls")]
    List(ListArgs),
    /// Show projects
    Get {
        /// Their names
        #[arg(required = true, value_parser = parse::name)]
        names: Vec<Name>,
    },
    /// Remove empty projects
    #[command(visible_alias = "rm")]
    Delete {
        /// Their names
        #[arg(required = true, value_parser = parse::name)]
        names: Vec<Name>,
    },
}

impl Row for Project {
    const COLUMNS: &'static [Column] = &[col("NAME"), col("AGE"), wide("UID"), col("DESCRIPTION")];
    fn cells(&self) -> Vec<String> {
        let m = &self.metadata;
        vec![
            m.name.to_string(),
            when::age(m.created_at, rt::clock::wall()),
            m.uid.to_string(),
            or_dash(&self.spec.description),
        ]
    }
    fn name(&self) -> String {
        self.metadata.name.to_string()
    }
}

impl Command {
    pub async fn run(self, app: &App) -> Result {
        match self {
            Command::Create { name, description, labels } => {
                let labels = labels.into_iter().collect();
                let new = NewObject { name, labels, spec: ProjectSpec { description } };
                let project: Project = app.client()?.create(None, &new).await?;
                objects::changed(app, &project, "created")
            }
            Command::List(args) => objects::list::<Project>(app, None, &args).await,
            Command::Get { names } => objects::get::<Project>(app, &keys(&names)).await,
            Command::Delete { names } => objects::delete::<Project>(app, &keys(&names)).await,
        }
    }
}

/// Keys of objects of the cluster.
pub fn keys(names: &[Name]) -> Vec<Key> {
    names.iter().map(|n| Key::cluster(n.as_str())).collect()
}
