//! `hostler service-account`.

use super::{
    objects::{self, ListArgs, done},
    project::keys,
};
use crate::{
    Result,
    app::App,
    failure::OK,
    parse,
    rows::{self, Row, or_dash},
    table::{Column, col, wide},
    when,
};
use api::{
    NewObject, Patch, Role, RoleBinding, RoleBindingSpec, ServiceAccount, ServiceAccountSpec,
    access::NewToken, query::ListQuery, routes::RouteId,
};
use base::Name;
use clap::{Args, Subcommand};
use client::Key;
use serde_json::json;

/// Service accounts, their tokens and their roles.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a service account and print its token, once
    Create {
        /// Its name
        #[arg(value_parser = parse::name)]
        name: Name,
        /// A sentence for people
        #[arg(long, default_value = "", hide_default_value = true)]
        description: String,
    },
    /// List service accounts
    #[command(visible_alias = "ls")]
    List(ListArgs),
    /// Show service accounts
    Get {
        /// Their names
        #[arg(required = true, value_parser = parse::name)]
        names: Vec<Name>,
    },
    /// Remove service accounts with their roles
    #[command(visible_alias = "rm")]
    Delete {
        /// Their names
        #[arg(required = true, value_parser = parse::name)]
        names: Vec<Name>,
    },
    /// Refuse the token of an account
    Disable {
        /// Its name
        #[arg(value_parser = parse::name)]
        name: Name,
    },
    /// Accept the token of an account again
    Enable {
        /// Its name
        #[arg(value_parser = parse::name)]
        name: Name,
    },
    /// Tokens
    #[command(subcommand)]
    Token(Token),
    /// Give an account a role: in the project, or in the whole cluster
    Bind(Bind),
    /// Take a role from an account
    Unbind(Bind),
    /// List which account has which role where
    Bindings(ListArgs),
}

/// Tokens of service accounts.
#[derive(Debug, Subcommand)]
pub enum Token {
    /// Make a new token and print it, once; the old one ends
    Rotate {
        /// The account
        #[arg(value_parser = parse::name)]
        name: Name,
    },
}

/// A role of an account.
#[derive(Args, Debug)]
pub struct Bind {
    /// The account
    #[arg(value_parser = parse::name)]
    pub account: Name,
    /// admin, operator, connect, viewer or worker
    #[arg(value_parser = role)]
    pub role: Role,
    /// In the whole cluster instead of the project
    #[arg(long)]
    pub cluster: bool,
}

fn role(text: &str) -> Result<Role, String> {
    let known: Vec<&str> = Role::ALL.into_iter().map(Role::as_str).collect();
    let found = Role::ALL.into_iter().find(|r| r.as_str() == text);
    found.ok_or_else(|| format!("a role is one of {}", known.join(", ")))
}

impl Row for ServiceAccount {
    const COLUMNS: &'static [Column] =
        &[col("NAME"), col("DISABLED"), col("TOKEN AGE"), col("AGE"), wide("UID"), col("DESCRIPTION")];
    fn cells(&self) -> Vec<String> {
        let (m, now) = (&self.metadata, rt::clock::wall());
        vec![
            m.name.to_string(),
            self.spec.disabled.to_string(),
            when::maybe_age(self.status.token_created_at, now),
            when::age(m.created_at, now),
            m.uid.to_string(),
            or_dash(&self.spec.description),
        ]
    }
    fn name(&self) -> String {
        self.metadata.name.to_string()
    }
}

impl Row for RoleBinding {
    const COLUMNS: &'static [Column] =
        &[col("ACCOUNT"), col("ROLE"), col("PROJECT"), wide("NAME"), col("AGE")];
    fn cells(&self) -> Vec<String> {
        vec![
            self.spec.account.to_string(),
            self.spec.role.as_str().to_owned(),
            self.spec.project.as_ref().map_or_else(|| "(cluster)".into(), ToString::to_string),
            self.metadata.name.to_string(),
            when::age(self.metadata.created_at, rt::clock::wall()),
        ]
    }
    fn name(&self) -> String {
        self.metadata.name.to_string()
    }
}

impl Command {
    pub async fn run(self, app: &App) -> Result {
        match self {
            Command::Create { name, description } => {
                let spec = ServiceAccountSpec { description, disabled: false };
                let new = NewObject { name, labels: std::collections::BTreeMap::new(), spec };
                let call = app.client()?.call(RouteId::CreateServiceAccount, &[]).json(&new);
                show_token(app, &call.send().await?, "created")
            }
            Command::List(args) => objects::list::<ServiceAccount>(app, None, &args).await,
            Command::Get { names } => objects::get::<ServiceAccount>(app, &keys(&names)).await,
            Command::Delete { names } => objects::delete::<ServiceAccount>(app, &keys(&names)).await,
            Command::Disable { name } => set_disabled(app, &name, true).await,
            Command::Enable { name } => set_disabled(app, &name, false).await,
            Command::Token(Token::Rotate { name }) => {
                let call = app.client()?.call(RouteId::RotateToken, &[name.as_str()]);
                show_token(app, &call.send().await?, "has a new token; the old one has ended")
            }
            Command::Bind(args) => bind(app, args).await,
            Command::Unbind(args) => unbind(app, args).await,
            Command::Bindings(args) => objects::list::<RoleBinding>(app, None, &args).await,
        }
    }
}

/// The token alone goes to stdout, so that `> token` makes a token file.
fn show_token(app: &App, new: &NewToken, what: &str) -> Result {
    if app.printer.format.is_data() {
        app.printer.value(new)?;
        return Ok(OK);
    }
    app.printer.note(&format!("service account {} {what}; this is shown once:", new.account));
    app.printer.line(new.token.expose_secret());
    Ok(OK)
}

async fn set_disabled(app: &App, name: &Name, disabled: bool) -> Result {
    let patch = Patch { labels: None, spec: Some(json!({ "disabled": disabled })) };
    let account: ServiceAccount = app.client()?.patch(&Key::cluster(name.as_str()), &patch).await?;
    objects::changed(app, &account, if disabled { "disabled" } else { "enabled" })
}

async fn bind(app: &App, args: Bind) -> Result {
    let project = place(app, args.cluster)?;
    let name = binding_name(&args, project.as_ref());
    let spec = RoleBindingSpec { account: args.account, role: args.role, project };
    let new = NewObject { name, labels: std::collections::BTreeMap::new(), spec };
    let binding: RoleBinding = app.client()?.create(None, &new).await?;
    if app.printer.format.is_data() {
        rows::one(app, &binding)?;
    } else {
        app.printer.note(&format!(
            "{} is {} {}",
            binding.spec.account,
            new.spec.role.as_str(),
            words(&new.spec)
        ));
    }
    Ok(OK)
}

async fn unbind(app: &App, args: Bind) -> Result {
    let client = app.client()?;
    let wanted =
        RoleBindingSpec { project: place(app, args.cluster)?, account: args.account, role: args.role };
    let (bindings, _) = client.list_all::<RoleBinding>(None, &ListQuery::default()).await?;
    let found = bindings.iter().find(|b| b.spec == wanted).ok_or_else(|| {
        base::Error::not_found(format!(
            "{} is not {} {}",
            wanted.account,
            wanted.role.as_str(),
            words(&wanted)
        ))
        .hint("see which roles there are: hostler service-account bindings")
    })?;
    let key = Key::of(&found.metadata);
    client.delete::<RoleBinding>(&key).await?;
    done(app, "role binding", &key, "removed");
    Ok(OK)
}

fn place(app: &App, cluster: bool) -> Result<Option<Name>> {
    if cluster {
        return Ok(None);
    }
    let project = app.project()?;
    Ok(Some(parse::name(&project).map_err(|e| base::Error::invalid("--project", e))?))
}

fn words(spec: &RoleBindingSpec) -> String {
    spec.project.as_ref().map_or_else(|| "in the whole cluster".into(), |p| format!("in the project {p}"))
}

/// A name that says what it binds, where it fits into one; else a random one.
fn binding_name(args: &Bind, project: Option<&Name>) -> Name {
    let place = project.map_or("cluster", Name::as_str);
    let readable = format!("{}-{}-{place}", args.account, args.role.as_str());
    Name::new(readable).unwrap_or_else(|_| random_name(args))
}

fn random_name(args: &Bind) -> Name {
    Name::new(format!("binding-{}", rt::ids::uid())).unwrap_or_else(|_| args.account.clone())
}
