//! The command line: nouns, global flags, and an environment variable for every flag.

use crate::{fleet, nouns, parse, printer::Color};
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use std::{ffi::OsString, path::PathBuf};

/// Looks after a herd of machines: virtual machines on a pool of workers, through one API.
#[derive(Debug, Parser)]
#[command(name = "hostler", version, propagate_version = true, max_term_width = 100)]
#[command(
    after_help = "Start here:  hostler dev   (then, in another shell)   hostler vm create web --image tiny --wait\n\
                        Exit codes:  0 ok, 1 failed, 2 usage, 3 changes pending, 4 not allowed, 5 not found, 6 conflict,\n\
                        \x20            7 timeout, 8 some of several failed, 9 unavailable, 130 interrupted\n\
                        Every flag has a variable: HOSTLER_PROJECT for --project, HOSTLER_VM_CREATE_IMAGE for --image."
)]
pub struct Cli {
    /// Flags of all commands.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Flags of all commands.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// The context to use instead of the current one
    #[arg(long, global = true, value_name = "NAME", env = "HOSTLER_CONTEXT", hide_env = true)]
    pub context: Option<String>,
    /// The controller's address; no context is used then, unless one is named
    #[arg(long, global = true, value_name = "URL", env = "HOSTLER_URL", hide_env = true)]
    pub url: Option<String>,
    /// A file with the token (or HOSTLER_TOKEN with the token itself)
    #[arg(long, global = true, value_name = "FILE", env = "HOSTLER_TOKEN_FILE", hide_env = true)]
    pub token_file: Option<PathBuf>,
    /// The certificate of the controller's CA (PEM)
    #[arg(long, global = true, value_name = "FILE", env = "HOSTLER_CA_FILE", hide_env = true)]
    pub ca_file: Option<PathBuf>,
    /// The pin of the controller's CA (64 hexadecimal digits)
    #[arg(long, global = true, value_name = "PIN", env = "HOSTLER_CA_PIN", hide_env = true)]
    pub ca_pin: Option<String>,
    /// The project
    #[arg(long, short = 'p', global = true, value_name = "NAME", value_parser = parse::name, env = "HOSTLER_PROJECT", hide_env = true)]
    pub project: Option<base::Name>,
    /// How data is written
    #[arg(
        long,
        short = 'o',
        global = true,
        value_name = "table|wide|json|yaml|name",
        default_value = "table",
        hide_default_value = true,
        hide_possible_values = true,
        env = "HOSTLER_OUTPUT",
        hide_env = true
    )]
    pub output: Format,
    /// Only data and errors
    #[arg(long, short = 'q', global = true, env = "HOSTLER_QUIET", hide_env = true)]
    pub quiet: bool,
    /// When to use colour
    #[arg(
        long,
        global = true,
        value_name = "auto|always|never",
        default_value = "auto",
        hide_default_value = true,
        hide_possible_values = true,
        env = "HOSTLER_COLOR",
        hide_env = true
    )]
    pub color: Color,
    /// Say yes to every question
    #[arg(long, short = 'y', global = true, env = "HOSTLER_YES", hide_env = true)]
    pub yes: bool,
    /// Never ask: fail instead
    #[arg(long, global = true, env = "HOSTLER_NO_INPUT", hide_env = true)]
    pub no_input: bool,
    /// What to log to stderr: error, warn, info, debug, or a filter such as client=debug
    #[arg(long, global = true, value_name = "FILTER", env = "HOSTLER_LOG", hide_env = true)]
    pub log_filter: Option<String>,
}

/// How data is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Columns
    #[default]
    Table,
    /// More columns, nothing cut
    Wide,
    /// As the API answers
    Json,
    /// The same as YAML
    Yaml,
    /// Names only
    Name,
}

impl Format {
    /// Whether programs read it.
    pub fn is_data(self) -> bool {
        matches!(self, Format::Json | Format::Yaml)
    }
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Virtual machines
    #[command(subcommand, visible_alias = "vms")]
    Vm(nouns::vm::Command),
    /// Hosts of the pool
    #[command(subcommand, visible_alias = "workers")]
    Worker(nouns::worker::Command),
    /// What VMs start from
    #[command(subcommand, visible_alias = "images")]
    Image(nouns::image::Command),
    /// What owns VMs
    #[command(subcommand, visible_alias = "projects")]
    Project(nouns::project::Command),
    /// Who may do what
    #[command(subcommand, visible_aliases = ["service-accounts", "sa"])]
    ServiceAccount(nouns::service_account::Command),
    /// Secrets for the nodes of registered fleet directories
    #[command(subcommand, visible_alias = "credentials")]
    Credential(nouns::credential::Command),
    /// Asynchronous changes
    #[command(subcommand, visible_alias = "operations")]
    Operation(nouns::operation::Command),
    /// What happened
    #[command(subcommand, visible_alias = "events")]
    Event(nouns::event::Command),
    /// Who did what
    #[command(subcommand)]
    Audit(nouns::audit::Command),
    /// Clusters that this user knows
    #[command(subcommand, visible_alias = "contexts")]
    Context(nouns::context::Command),
    /// Settings of the cluster
    #[command(subcommand, visible_alias = "setting")]
    Settings(nouns::settings::Command),
    /// The controller and its store
    #[command(subcommand, visible_alias = "controllers")]
    Controller(nouns::controller::Command),
    /// What is done with the nodes of a fleet
    #[command(flatten)]
    Fleet(fleet::Verb),
    /// Create or change what a file describes
    Apply(nouns::apply::Apply),
    /// A cluster on this host: controller and workers in one process
    Dev(nouns::dev::Dev),
    /// Find what is wrong here, and how to repair it
    Doctor,
    /// Any request of the API, with the context's token
    Api(nouns::api::Api),
    /// Versions of this program and of the controller
    Version,
    /// Who we are to the controller
    Whoami,
    /// Completion for a shell: `source <(hostler completion bash)`
    Completion(nouns::completion::Completion),
    /// Inside a sandbox: a program with the broker as its proxy
    #[command(hide = true)]
    Sandboxed(crate::sandboxed::Sandboxed),
    /// Inside a sandbox: a connection through the broker
    #[command(hide = true)]
    SandboxConnect(crate::sandboxed::Connect),
    /// Keeps SSH connections open between runs
    #[command(hide = true)]
    KeepConnections(fleet::keep::KeepConnections),
    /// The parent of one VM's hypervisor
    #[command(hide = true)]
    Shim {
        /// The VM's directory.
        dir: PathBuf,
    },
}

/// The whole command, with a variable for every flag.
pub fn command() -> clap::Command {
    with_variables(Cli::command(), "HOSTLER").mut_subcommands(with_underscores)
}

/// Parses, or says what to print and with which exit code to end.
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Cli, clap::Error> {
    let mut command = command();
    let matches = command.try_get_matches_from_mut(args)?;
    Cli::from_arg_matches(&matches).map_err(|e| e.format(&mut command))
}

/// Whether JSON was asked for, as far as can be told from a command line that is wrong.
pub fn wants_json(args: &[OsString]) -> bool {
    let texts: Vec<_> = args.iter().map(|a| a.to_string_lossy()).take_while(|a| a != "--").collect();
    let apart = texts.windows(2).any(|w| matches!(&*w[0], "-o" | "--output") && w[1] == "json");
    let joined = texts.iter().any(|a| matches!(&**a, "-ojson" | "-o=json" | "--output=json"));
    apart || joined || crate::env::var("HOSTLER_OUTPUT").as_deref() == Some("json")
}

/// `HOSTLER_VM_CREATE_IMAGE` for `vm create --image`. Values for positional arguments come from the command line only.
fn with_variables(command: clap::Command, prefix: &str) -> clap::Command {
    let command = command.mut_args(|arg| {
        let Some(long) = arg.get_long() else { return arg };
        if arg.get_env().is_some() || matches!(long, "help" | "version") {
            return arg;
        }
        let variable = format!("{prefix}_{}", long.to_uppercase().replace('-', "_"));
        arg.env(variable).hide_env(true)
    });
    command.mut_subcommands(|sub| {
        let prefix = format!("{prefix}_{}", sub.get_name().to_uppercase().replace('-', "_"));
        with_variables(sub, &prefix)
    })
}

/// `--ssh_user` for `--ssh-user`, for all options, as those who come from Hybrid Platforms Conductor type them.
fn with_underscores(command: clap::Command) -> clap::Command {
    let command = command.mut_args(|arg| {
        let names = arg.get_long().into_iter().chain(arg.get_all_aliases().into_iter().flatten());
        let also: Vec<String> = names.filter(|n| n.contains('-')).map(|n| n.replace('-', "_")).collect();
        arg.aliases(also)
    });
    command.mut_subcommands(with_underscores)
}

#[cfg(test)]
mod tests;
