//! What every command needs: the printer, the context, the connection. Nothing is read before it is needed.

use crate::{
    Failure, Result,
    args::Global,
    contexts::{Context, Contexts},
    env,
    parse::InProject,
    printer::Printer,
};
use base::{Error, Secret};
use client::{Client, Key, Options};
use std::{fs, path::PathBuf};

/// The contexts and the file that they are in.
pub fn load_contexts() -> Result<(PathBuf, Contexts)> {
    let path = env::config_file()?;
    let contexts = Contexts::load(&path)?;
    Ok((path, contexts))
}

/// One run of the program.
#[derive(Clone, Debug)]
pub struct App {
    /// The flags that all commands have.
    pub global: Global,
    /// Where output goes.
    pub printer: Printer,
}

impl App {
    /// From the flags.
    pub fn new(global: Global) -> Self {
        let no_color = env::var("NO_COLOR").is_some();
        let printer = Printer::new(global.output, global.quiet, global.color, no_color);
        App { global, printer }
    }

    /// The context to use: the one named, else the current one. With `--url` alone there is none, so that no token goes
    /// where it does not belong.
    pub fn context(&self) -> Result<Option<Context>> {
        if self.global.url.is_some() && self.global.context.is_none() {
            return Ok(None);
        }
        let (_, contexts) = load_contexts()?;
        match self.global.context.as_ref().or(contexts.current.as_ref()) {
            Some(name) => Ok(Some(contexts.get(name)?.clone())),
            None => Ok(None),
        }
    }

    /// The client for the cluster that was chosen.
    pub fn client(&self) -> Result<Client> {
        Ok(Client::new(self.options()?)?)
    }

    fn options(&self) -> Result<Options> {
        let context = self.context()?.unwrap_or_default();
        let url = self.global.url.clone().unwrap_or_else(|| context.url.clone());
        if url.is_empty() {
            return Err(Error::invalid("context", "no cluster is chosen")
                .hint(
                    "start one here with `hostler dev`, or add one with `hostler context add NAME --url URL`",
                )
                .into());
        }
        let mut options = Options::new(url);
        options.token = self.token(&context)?;
        options.tls = self.tls(&context)?;
        Ok(options)
    }

    fn token(&self, context: &Context) -> Result<Option<Secret>> {
        if let Some(path) = &self.global.token_file {
            let text = fs::read_to_string(path).map_err(|e| {
                Error::io(format_args!("read the token in {}", path.display()), &e).at("--token-file")
            })?;
            return Ok(Some(Secret::new(text.trim())));
        }
        Ok(env::var("HOSTLER_TOKEN").map(Secret::new).or_else(|| context.token.clone()))
    }

    fn tls(&self, context: &Context) -> Result<Option<client::TlsConfig>> {
        if let Some(path) = &self.global.ca_file {
            let pem = fs::read_to_string(path).map_err(|e| {
                Error::io(format_args!("read the CA in {}", path.display()), &e).at("--ca-file")
            })?;
            return Ok(Some(link::pki::client_tls_ca(&pem)?));
        }
        if let Some(pin) = &self.global.ca_pin {
            let pin = pin.parse().map_err(|e: Error| e.at("--ca-pin"))?;
            return Ok(Some(link::pki::client_tls_pinned(pin)?));
        }
        if let Some(pem) = &context.ca {
            return Ok(Some(link::pki::client_tls_ca(pem)?));
        }
        match &context.ca_pin {
            Some(pin) => Ok(Some(link::pki::client_tls_pinned(pin.parse()?)?)),
            None => Ok(None),
        }
    }

    /// The project to use: the one named, else the context's, else `default`.
    pub fn project(&self) -> Result<String> {
        if let Some(project) = &self.global.project {
            return Ok(project.to_string());
        }
        let context = self.context()?.unwrap_or_default();
        Ok(context.project.map_or_else(|| api::access::DEFAULT_PROJECT.to_owned(), |p| p.to_string()))
    }

    /// The key of an object of a project that was named.
    pub fn key(&self, name: &InProject) -> Result<Key> {
        match &name.project {
            Some(project) => Ok(Key::in_project(project.as_str(), name.name.as_str())),
            None => Ok(name.key(&self.project()?)),
        }
    }

    /// Makes sure that something is meant to be destroyed: `--yes`, or a yes on a terminal.
    pub fn confirm(&self, question: &str) -> Result<()> {
        use std::io::IsTerminal;
        if self.global.yes {
            return Ok(());
        }
        if self.global.no_input || !std::io::stdin().is_terminal() {
            return Err(Failure::from(
                Error::invalid("--yes", "this needs a yes, and nobody can be asked")
                    .because(question)
                    .hint("give --yes if you mean it"),
            ));
        }
        if self.printer.ask(question) {
            return Ok(());
        }
        Err(Failure::from(Error::conflict("nothing was done")).with_exit(crate::failure::INTERRUPTED))
    }
}
