//! The binary: puts the parts together and hands its arguments to `cli`. No logic of its own.

mod control;
mod daemons;
mod dev;
mod work;

use std::process::ExitCode;

fn main() -> ExitCode {
    #[allow(clippy::disallowed_methods)] // the place that reads argv
    let args = std::env::args_os();
    ExitCode::from(cli::main(args, &daemons::Parts))
}
