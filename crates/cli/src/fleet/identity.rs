//! As whom commands run on the nodes: the same flags for every verb that runs something.

use crate::{Result, app::App, terminal};
use base::{Error, Secret};
use clap::Args;
use fleet::{
    run::Identity,
    session::{Become, Method},
};
use secrets::Secrets;

/// As whom commands run.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Another user")]
pub struct BecomeArgs {
    /// Run as this user, whatever the nodes say; root where none is named
    #[arg(long = "become", value_name = "USER", num_args = 0..=1, require_equals = true, default_missing_value = "root")]
    pub other: Option<String>,
    /// What changes the user
    #[arg(long, value_name = "sudo|su|doas", default_value = "sudo", value_parser = method, requires = "other")]
    pub become_method: Method,
    /// Ask here for the password that it wants
    #[arg(long, short = 'K')]
    pub ask_become_password: bool,
    /// The secret of the fleet that is that password
    #[arg(long, value_name = "NAME", conflicts_with = "ask_become_password")]
    pub become_secret: Option<String>,
}

impl BecomeArgs {
    /// Whether a secret of the fleet is needed.
    pub fn needs_secrets(&self) -> bool {
        self.become_secret.is_some()
    }

    /// As whom, with the password.
    pub fn identity(&self, app: &App, secrets: Option<&Secrets>) -> Result<Identity> {
        let other = self.other.clone();
        let other = other.map(|user| Become { user, method: self.become_method, password: None });
        let password = match &self.become_secret {
            Some(name) => Some(secret(secrets, name, "--become-secret")?),
            None if self.ask_become_password => {
                Some(terminal::password(app, "password to become another user: ", "--become-secret NAME")?)
            }
            None => None,
        };
        Ok(Identity { other, password })
    }
}

/// A secret of the fleet by its name.
pub fn secret(secrets: Option<&Secrets>, name: &str, flag: &str) -> Result<Secret> {
    let found = secrets.and_then(|secrets| secrets.get(name)).cloned();
    Ok(found.ok_or_else(|| {
        Error::not_found(format!("there is no secret '{name}' that is a text"))
            .at(flag)
            .hint("see which there are: hostler secret list")
    })?)
}

fn method(text: &str) -> Result<Method, String> {
    text.parse().map_err(|e: Error| e.message)
}
