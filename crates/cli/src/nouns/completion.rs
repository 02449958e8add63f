//! `hostler completion`: the shell asks this program what may follow.

use crate::{Result, app::App, args, env, failure::OK};
use clap::{Args, ValueEnum};
use clap_complete::env::{Bash, CompleteEnv, Elvish, EnvCompleter, Fish, Powershell, Zsh};

const VARIABLE: &str = "HOSTLER_COMPLETE";

/// Completion for a shell.
#[derive(Args, Debug)]
#[command(after_help = "For bash, in ~/.bashrc:  source <(hostler completion bash)\n\
                        For zsh, in ~/.zshrc:    source <(hostler completion zsh)\n\
                        For fish:                hostler completion fish | source")]
pub struct Completion {
    /// bash, zsh, fish, elvish or powershell
    #[arg(hide_possible_values = true)]
    pub shell: Shell,
}

/// Shells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    /// GNU bash
    Bash,
    /// zsh
    Zsh,
    /// fish
    Fish,
    /// Elvish
    Elvish,
    /// PowerShell
    Powershell,
}

impl Completion {
    pub fn run(self, app: &App) -> Result {
        let completer: &dyn EnvCompleter = match self.shell {
            Shell::Bash => &Bash,
            Shell::Zsh => &Zsh,
            Shell::Fish => &Fish,
            Shell::Elvish => &Elvish,
            Shell::Powershell => &Powershell,
        };
        let mut script = Vec::new();
        completer
            .write_registration(VARIABLE, "hostler", "hostler", "hostler", &mut script)
            .map_err(|e| base::Error::io("write the completion", &e))?;
        app.printer.data(&script);
        Ok(OK)
    }
}

/// Answers the shell, where it is the shell that asks.
pub fn answer() -> Option<u8> {
    env::var(VARIABLE)?;
    let complete = CompleteEnv::with_factory(args::command).var(VARIABLE);
    match complete.try_complete(env::args(), None) {
        Ok(true) => Some(OK),
        Ok(false) => None,
        Err(_) => Some(1),
    }
}
