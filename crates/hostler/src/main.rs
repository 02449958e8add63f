//! The binary: hands its arguments to `cli`, and its parts to the commands that run them.

mod daemons;

use std::process::ExitCode;

fn main() -> ExitCode {
    #[allow(clippy::disallowed_methods)] // this is the place that reads argv
    let args = std::env::args_os();
    ExitCode::from(cli::main(args, &daemons::Parts))
}
