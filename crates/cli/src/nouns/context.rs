//! `hostler context`.

use crate::{
    Result,
    app::{App, load_contexts},
    complete,
    contexts::Context,
    env,
    failure::OK,
    rows::{self, Row, or_dash},
    table::{Column, col, wide},
};
use base::{Error, Secret};
use clap::{Args, Subcommand};
use serde::Serialize;
use std::{fs, path::PathBuf};

/// Contexts: the clusters that this user knows.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Add or replace a context. Its address is --url, its CA --ca-pin or --ca-file, its token --token-file
    Add(Add),
    /// List contexts
    #[command(visible_alias = "ls")]
    List,
    /// Make a context the current one
    Use {
        /// Its name
        #[arg(add = complete::contexts())]
        name: String,
    },
    /// Show a context, without its token
    Show {
        /// Its name [default: the current one]
        #[arg(add = complete::contexts())]
        name: Option<String>,
    },
    /// Remove contexts
    #[command(visible_alias = "rm")]
    Delete {
        /// Their names
        #[arg(required = true, add = complete::contexts())]
        names: Vec<String>,
    },
    /// Print the name of the current context
    Current,
    /// Print where contexts are kept
    Path,
}

/// `hostler context add`.
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  hostler context add lab --url https://lab:6120 --ca-pin PIN --token-file token --use"
)]
pub struct Add {
    /// Its name
    pub name: String,
    /// Make it the current one
    #[arg(long = "use")]
    pub select: bool,
    /// A public key that new VMs get
    #[arg(long, value_name = "FILE")]
    pub ssh_key: Option<PathBuf>,
}

/// A context as it is shown.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    name: String,
    current: bool,
    url: String,
    project: Option<String>,
    ca_pin: Option<String>,
    has_token: bool,
    ssh_public_key: Option<String>,
}

impl Shown {
    fn new(name: &str, context: &Context, current: Option<&String>) -> Self {
        let pin = context.ca.as_deref().and_then(|pem| link::pki::pin_of(pem).ok());
        Shown {
            name: name.to_owned(),
            current: current.is_some_and(|c| c == name),
            url: context.url.clone(),
            project: context.project.as_ref().map(ToString::to_string),
            ca_pin: pin.map(|p| p.to_string()).or_else(|| context.ca_pin.clone()),
            has_token: context.token.is_some(),
            ssh_public_key: context.ssh_public_key.clone(),
        }
    }
}

impl Row for Shown {
    const COLUMNS: &'static [Column] =
        &[col("CURRENT"), col("NAME"), col("URL"), col("PROJECT"), wide("TOKEN"), wide("CA PIN")];
    fn cells(&self) -> Vec<String> {
        vec![
            if self.current { "*".into() } else { String::new() },
            self.name.clone(),
            self.url.clone(),
            self.project.clone().unwrap_or_else(|| api::access::DEFAULT_PROJECT.into()),
            if self.has_token { "yes".into() } else { "no".into() },
            or_dash(self.ca_pin.as_deref().unwrap_or_default()),
        ]
    }
    fn name(&self) -> String {
        self.name.clone()
    }
}

impl Command {
    pub async fn run(self, app: &App) -> Result {
        match self {
            Command::Add(args) => return add(app, args).await,
            Command::Path => app.printer.line(&env::config_file()?.display().to_string()),
            Command::Current => {
                let (_, contexts) = load_contexts()?;
                let name = app.global.context.clone().or(contexts.current).ok_or_else(none_chosen)?;
                app.printer.line(&name);
            }
            Command::List => {
                let (_, contexts) = load_contexts()?;
                let current = contexts.current.as_ref();
                let items: Vec<Shown> =
                    contexts.contexts.iter().map(|(n, c)| Shown::new(n, c, current)).collect();
                rows::list(app, &items, None, "contexts: `hostler dev` makes one")?;
            }
            Command::Show { name } => {
                let (_, contexts) = load_contexts()?;
                let name = name
                    .or(app.global.context.clone())
                    .or(contexts.current.clone())
                    .ok_or_else(none_chosen)?;
                show(app, &Shown::new(&name, contexts.get(&name)?, contexts.current.as_ref()))?;
            }
            Command::Use { name } => {
                let (path, mut contexts) = load_contexts()?;
                contexts.get(&name)?;
                contexts.current = Some(name.clone());
                contexts.save(&path)?;
                app.printer.note(&format!("context {name} is the current one"));
            }
            Command::Delete { names } => {
                let (path, mut contexts) = load_contexts()?;
                for name in &names {
                    contexts.get(name)?;
                    contexts.contexts.remove(name);
                    contexts.current = contexts.current.take().filter(|c| c != name);
                }
                contexts.save(&path)?;
                for name in names {
                    app.printer.note(&format!("context {name} removed"));
                }
            }
        }
        Ok(OK)
    }
}

fn none_chosen() -> Error {
    Error::not_found("no context is chosen").hint("choose one: hostler context use NAME")
}

fn show(app: &App, shown: &Shown) -> Result<()> {
    if app.printer.format.is_data() {
        return app.printer.value(shown);
    }
    let line = |label: &str, value: &str| app.printer.line(&format!("{label:<10} {value}"));
    line("name", &shown.name);
    line("url", &shown.url);
    line("project", shown.project.as_deref().unwrap_or(api::access::DEFAULT_PROJECT));
    line("token", if shown.has_token { "yes" } else { "no" });
    line("ca pin", shown.ca_pin.as_deref().unwrap_or("-"));
    line("ssh key", shown.ssh_public_key.as_deref().unwrap_or("-"));
    Ok(())
}

async fn add(app: &App, args: Add) -> Result {
    let read = |path: &PathBuf, flag: &str| {
        fs::read_to_string(path).map_err(|e| Error::io(format_args!("read {}", path.display()), &e).at(flag))
    };
    let global = &app.global;
    let url = global.url.clone().ok_or_else(|| {
        Error::invalid("--url", "a context needs an address").hint("give --url https://HOST:6120")
    })?;
    let token = match &global.token_file {
        Some(path) => Some(read(path, "--token-file")?.trim().to_owned()),
        None => env::var("HOSTLER_TOKEN"),
    };
    let ssh_public_key = match &args.ssh_key {
        Some(path) => Some(ssh::check_public_key(&read(path, "--ssh-key")?).map_err(|e| e.at("--ssh-key"))?),
        None => None,
    };
    let context = Context {
        url,
        token: token.map(Secret::new),
        ca_pin: global.ca_pin.clone(),
        ca: global.ca_file.as_ref().map(|p| read(p, "--ca-file")).transpose()?,
        project: global.project.clone(),
        ssh_public_key,
    };
    // A mistake in the address, the CA or the token shows here and not at the first use. A cluster that cannot be
    // reached now is added all the same.
    match app.client()?.call(api::routes::RouteId::WhoAmI, &[]).send::<api::access::WhoAmI>().await {
        Ok(who) => app.printer.note(&format!("{} knows us as {}", context.url, who.account)),
        Err(e) if e.code() == base::Code::Unavailable => {
            app.printer.warn(&format!("{}: it could not be checked", e.error));
        }
        Err(e) => return Err(e.into()),
    }
    let (path, mut contexts) = load_contexts()?;
    contexts.put(&args.name, context, args.select);
    contexts.save(&path)?;
    app.printer.note(&format!("context {} added", args.name));
    Ok(OK)
}
