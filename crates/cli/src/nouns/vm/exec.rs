//! `hostler vm ssh` and `hostler vm exec`.

use super::session::{self, Session};
use crate::{
    Failure, Result,
    app::App,
    complete,
    failure::OURS,
    parse::{self, InProject},
    terminal,
};
use api::stream::ExecRequest;
use clap::Args;
use std::io::IsTerminal;

/// Get a shell in a VM, or run a command there as ssh would.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Leave a shell with ~. at the beginning of a line.\n\
                        Examples:\n  hostler vm ssh web\n  hostler vm ssh web uname -a\n  tar c . | hostler vm ssh web 'tar x -C /srv'")]
pub struct Ssh {
    /// The VM
    #[arg(value_parser = parse::in_project, add = complete::vms())]
    pub name: InProject,
    /// A terminal, also for a command
    #[arg(short = 't', long)]
    pub tty: bool,
    /// How long to wait for a guest that does not answer yet
    #[arg(long, value_name = "TIME", value_parser = parse::seconds, default_value = "30s")]
    pub timeout: u64,
    /// A command; without one, a login shell. As with ssh, the guest's shell sees the words joined by blanks
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub command: Vec<String>,
}

/// Run a command in a VM.
#[derive(Args, Clone, Debug)]
#[command(after_help = "The exit code is the command's own; 255 is a failure of ours.\n\
                        Examples:\n  hostler vm exec web -- uname -a\n  hostler vm exec web -- 'uname -a; uptime'\n  \
                        hostler vm exec web -i -- sh -c 'cat > /tmp/x' < x\n  \
                        hostler vm exec web -it -- top")]
pub struct Exec {
    /// The VM
    #[arg(value_parser = parse::in_project, add = complete::vms())]
    pub name: InProject,
    /// Give it our input
    #[arg(short = 'i', long)]
    pub stdin: bool,
    /// Give it a terminal
    #[arg(short = 't', long)]
    pub tty: bool,
    /// A variable; repeat it for several
    #[arg(long = "env", short = 'e', value_name = "KEY=VALUE", value_parser = parse::pair)]
    pub env: Vec<(String, String)>,
    /// How long to wait for a guest that does not answer yet
    #[arg(long, value_name = "TIME", value_parser = parse::seconds, default_value = "30s")]
    pub timeout: u64,
    /// A command line for the guest's shell; or a command and its arguments, each passed on as it is
    #[arg(required = true, last = true)]
    pub command: Vec<String>,
}

impl Ssh {
    pub async fn run(self, app: &App) -> Result {
        let request = ExecRequest {
            command: (!self.command.is_empty()).then(|| self.command.join(" ")),
            wait: Some(self.timeout),
            ..ExecRequest::default()
        };
        let shell = request.command.is_none();
        let tty = self.tty || (shell && terminal::is_interactive());
        run(app, &self.name, request, Session { stdin: true, tty }).await
    }
}

impl Exec {
    pub async fn run(self, app: &App) -> Result {
        if let Some((name, _)) = self.env.iter().find(|(_, value)| value.contains('\n')) {
            let message = format!("the value of {name} has several lines, which cannot be passed on");
            return Err(Failure::usage("--env", message).with_exit(OURS));
        }
        if self.tty && self.stdin && !std::io::stdin().is_terminal() {
            app.printer.warn("our input is not a terminal: the command gets one, but nobody sits at it");
        }
        let env: Vec<String> = self.env.iter().map(|(k, v)| format!("{k}={v}")).collect();
        let request = ExecRequest {
            command: Some(command_line(&self.command)),
            env: env.join("\n"),
            wait: Some(self.timeout),
            ..ExecRequest::default()
        };
        run(app, &self.name, request, Session { stdin: self.stdin, tty: self.tty }).await
    }
}

/// What the guest's shell is to read: one argument is a command line, as with ssh; several are its words, each kept whole.
fn command_line(arguments: &[String]) -> String {
    match arguments {
        [line] => line.clone(),
        words => words.iter().map(|word| ssh::quote(word)).collect::<Vec<_>>().join(" "),
    }
}

async fn run(app: &App, name: &InProject, request: ExecRequest, session: Session) -> Result {
    let ours = |f: Failure| f.with_exit(OURS);
    let key = app.key(name).map_err(ours)?;
    let client = app.client().map_err(ours)?;
    session::run(app, &client, &key, request, session).await.map_err(ours)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_argument_is_a_line_and_several_are_words() {
        let line = |words: &[&str]| command_line(&words.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(line(&["uname -a; uptime"]), "uname -a; uptime");
        assert_eq!(line(&["echo", "a b", "$HOME"]), "'echo' 'a b' '$HOME'");
    }
}
