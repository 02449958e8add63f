//! `hostler credential`.

use super::{
    fleet::keys,
    objects::{self, ListArgs},
};
use crate::{
    Result,
    app::App,
    parse::{self, InProject},
    rows::{Row, or_dash},
    table::{Column, col, wide},
    when,
};
use api::{Credential, CredentialSpec, NewObject, fleet::CredentialKind};
use base::{Error, Name, Secret};
use clap::Subcommand;
use std::{fs, path::PathBuf};

/// Secrets for the nodes of registered fleet directories.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Keep a credential; nobody can read it again
    Create {
        /// Its name
        #[arg(value_parser = parse::name)]
        name: Name,
        /// A private key for SSH without a passphrase
        #[arg(
            long,
            value_name = "FILE",
            required_unless_present = "text_file",
            conflicts_with = "text_file"
        )]
        ssh_key: Option<PathBuf>,
        /// A file with a text that directories ask for by this name
        #[arg(long, value_name = "FILE")]
        text_file: Option<PathBuf>,
        /// A sentence for people
        #[arg(long, default_value = "", hide_default_value = true)]
        description: String,
    },
    /// List credentials, without their values
    #[command(visible_alias = "ls")]
    List(ListArgs),
    /// Remove credentials
    #[command(visible_alias = "rm")]
    Delete {
        /// Their names
        #[arg(required = true, value_parser = parse::in_project)]
        names: Vec<InProject>,
    },
}

impl Row for Credential {
    const COLUMNS: &'static [Column] =
        &[col("NAME"), col("PROJECT"), col("KIND"), col("AGE"), wide("UID"), col("DESCRIPTION")];
    fn cells(&self) -> Vec<String> {
        let m = &self.metadata;
        vec![
            m.name.to_string(),
            or_dash(m.project.as_ref().map(ToString::to_string).unwrap_or_default()),
            format!("{:?}", self.spec.kind),
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
            Command::Create { name, ssh_key, text_file, description } => {
                let (kind, file) = match (ssh_key, text_file) {
                    (Some(file), _) => (CredentialKind::SshKey, file),
                    (None, file) => (CredentialKind::Text, file.unwrap_or_default()),
                };
                let text = fs::read_to_string(&file)
                    .map_err(|e| Error::io(format_args!("read {}", file.display()), &e))?;
                let text = if kind == CredentialKind::Text { text.trim_end_matches('\n') } else { &text };
                let spec = CredentialSpec { kind, description, value: Some(Secret::new(text)) };
                let new = NewObject { name, labels: std::collections::BTreeMap::new(), spec };
                let kept: Credential = app.client()?.create(Some(&app.project()?), &new).await?;
                objects::changed(app, &kept, "kept")
            }
            Command::List(args) => {
                objects::list::<Credential>(app, app.global.project.as_ref().map(Name::as_str), &args).await
            }
            Command::Delete { names } => objects::delete::<Credential>(app, &keys(app, &names)?).await,
        }
    }
}
