//! The command line: one module per noun, tables, progress, diagnostics.
//!
//! [`main`] parses, runs one command and returns the exit code. What other crates run for it (`dev`, `controller run`,
//! `worker run`, `shim`) comes through the trait [`Daemons`].

mod app;
mod args;
mod bordered;
mod complete;
pub mod contexts;
mod daemons;
mod demo;
pub mod env;
mod failure;
mod fleet;
mod keyboard;
mod nouns;
mod parse;
mod printer;
mod progress;
mod rows;
mod sandboxed;
mod table;
mod terminal;
mod when;

pub use daemons::{ControllerOptions, Daemons, DevOptions, RestoreOptions, WorkerOptions};
pub use demo::dev_ready;
pub use failure::{Failure, Result};

use app::App;
use args::{Cli, Command};
use std::ffi::OsString;

/// Runs the program and returns its exit code.
pub fn main(args: impl IntoIterator<Item = OsString>, daemons: &dyn Daemons) -> u8 {
    if let Some(code) = nouns::completion::answer() {
        return code;
    }
    let args: Vec<OsString> = args.into_iter().collect();
    let args = match fleet::meant(&args) {
        Some(Ok(meant)) => meant,
        Some(Err(failure)) => return finish(&App::new(args::Global::default()), Err(failure)),
        None => args,
    };
    let args = fleet::plan_file(args);
    match args::parse(args.iter().cloned()) {
        Ok(cli) => run(cli, daemons),
        Err(e) => misused(&args, &e),
    }
}

/// Help and version are data and go to stdout; a wrong use goes to stderr with exit code 2, with `-o json` as a problem.
fn misused(args: &[OsString], error: &clap::Error) -> u8 {
    let json = args::wants_json(args);
    if !error.use_stderr() || !json {
        let _ = error.print();
        return u8::try_from(error.exit_code()).unwrap_or(2);
    }
    let words = error.to_string();
    let sentence = words.lines().next().unwrap_or_default().trim_start_matches("error: ");
    let failure = Failure::from(base::Error::new(base::Code::Invalid, sentence).hint("see --help"));
    printer::Printer::new(args::Format::Json, false, printer::Color::Never, true).failure(&failure);
    failure.exit_code()
}

fn run(cli: Cli, daemons: &dyn Daemons) -> u8 {
    let app = App::new(cli.global);
    let result = match cli.command {
        Command::Shim { dir } => return daemons.shim(dir),
        Command::Completion(command) => command.run(&app),
        command => in_runtime(&app, command, daemons),
    };
    finish(&app, result)
}

/// Reports a failure that was not reported yet, and says with which code the process ends.
fn finish(app: &App, result: Result) -> u8 {
    result.unwrap_or_else(|failure| {
        if !failure.silent {
            app.printer.failure(&failure);
        }
        failure.exit_code()
    })
}

fn in_runtime(app: &App, command: Command, daemons: &dyn Daemons) -> Result {
    let daemon = command.is_daemon();
    let usual = match (&command, daemon) {
        (Command::Dev(_), _) => "warn", // a person reads it
        (_, true) => "info",
        _ => "off",
    };
    start_log(app, usual);
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    if !daemon {
        builder.worker_threads(2);
    }
    let runtime =
        builder.enable_all().build().map_err(|e| base::Error::io("start the threads of this program", &e))?;
    let result = runtime.block_on(async {
        if command.handles_signals() {
            return dispatch(app, command, daemons).await;
        }
        tokio::select! {
            result = dispatch(app, command, daemons) => result,
            _ = tokio::signal::ctrl_c() => {
                app.printer.note("interrupted; what the controller has begun goes on");
                Ok(failure::INTERRUPTED)
            }
        }
    });
    // A thread may sit in a read of the keyboard, or in a lookup of a name: nobody needs its answer any more.
    runtime.shutdown_background();
    result
}

/// Logs go to stderr. Commands say nothing there unless asked; daemons tell what they do.
fn start_log(app: &App, usual: &str) {
    let filter = app.global.log_filter.clone().unwrap_or_else(|| usual.into());
    let Ok(filter) = tracing_subscriber::EnvFilter::try_new(&filter) else {
        return app.printer.warn(&format!("'{filter}' is not a log filter; nothing is logged"));
    };
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(app.printer.colors())
        .with_writer(std::io::stderr)
        .try_init();
}

async fn dispatch(app: &App, command: Command, daemons: &dyn Daemons) -> Result {
    match command {
        Command::Vm(c) => c.run(app).await,
        Command::Worker(c) => c.run(app, daemons).await,
        Command::Image(c) => c.run(app).await,
        Command::Project(c) => c.run(app).await,
        Command::ServiceAccount(c) => c.run(app).await,
        Command::Credential(c) => c.run(app).await,
        Command::Operation(c) => c.run(app).await,
        Command::Sandboxed(c) => c.run().await,
        Command::SandboxConnect(c) => c.run().await,
        Command::Event(c) => c.run(app).await,
        Command::Audit(c) => c.run(app).await,
        Command::Context(c) => c.run(app).await,
        Command::Settings(c) => c.run(app).await,
        Command::Controller(c) => c.run(app, daemons).await,
        Command::Fleet(verb) => verb.run(app).await,
        Command::Apply(c) => c.run(app).await,
        Command::Dev(c) => c.run(daemons).await,
        Command::Doctor => nouns::doctor::run(app).await,
        Command::Api(c) => c.run(app).await,
        Command::Version => nouns::version::run(app).await,
        Command::Whoami => nouns::version::whoami(app).await,
        Command::Completion(c) => c.run(app),
        Command::KeepConnections(c) => c.run().await,
        Command::Shim { dir } => Ok(daemons.shim(dir)),
    }
}

impl Command {
    /// Runs until it is asked to end.
    fn is_daemon(&self) -> bool {
        use nouns::{controller, worker};
        matches!(
            self,
            Command::Dev(_)
                | Command::Controller(controller::Command::Run(_))
                | Command::Worker(worker::Command::Run(_))
        )
    }

    /// Has its own way with Ctrl-C.
    fn handles_signals(&self) -> bool {
        use nouns::vm;
        match self {
            Command::Vm(command) => matches!(command, vm::Command::Ssh(_) | vm::Command::Exec(_)),
            Command::Fleet(verb) => verb.handles_signals(),
            other => other.is_daemon(),
        }
    }
}

#[cfg(test)]
mod tests;
