//! What a command prints.

use crate::{Secrets, Surroundings, surroundings::LARGEST, text};
use base::{Error, Result};
use serde::Deserialize;
use std::{io, process::Stdio, time::Duration};
use tokio::io::AsyncReadExt;

/// A command whose standard output is JSON or YAML. It runs in the fleet directory, without a shell.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Command {
    /// The program and its arguments. Other users of this host can read them: no secret belongs here.
    pub argv: Vec<String>,
    /// How long it may take, in seconds.
    #[serde(default = "a_minute")]
    pub timeout: u64,
    /// The name that its values go below.
    pub at: Option<String>,
}

fn a_minute() -> u64 {
    60
}

impl Command {
    pub(super) async fn read(&self, name: &str, surroundings: &Surroundings) -> Result<Secrets> {
        let [program, args @ ..] = self.argv.as_slice() else {
            return Err(Error::new(base::Code::Invalid, "argv is empty"));
        };
        let limit = Duration::from_secs(self.timeout);
        let output = rt::clock::timeout(limit, program, output(program, args, surroundings)).await??;
        Ok(Secrets::new(name, text::parse(&format!("the output of {program}"), &output)?))
    }
}

/// Its standard error is not kept: it may hold what must not be told.
async fn output(program: &str, args: &[String], surroundings: &Surroundings) -> Result<Vec<u8>> {
    let mut command = rt::process::command(program);
    command.args(args).current_dir(&surroundings.dir).stdout(Stdio::piped());
    let mut child = command.spawn().map_err(|e| rt::process::cannot_start(program, &e))?;
    let doing = |e: io::Error| Error::io(format_args!("read the output of {program}"), &e);
    let mut output = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        stdout.take(LARGEST + 1).read_to_end(&mut output).await.map_err(doing)?;
    }
    if output.len() as u64 > LARGEST {
        return Err(Error::new(base::Code::TooLarge, format!("{program} printed more than 1 MiB")));
    }
    let status = child.wait().await.map_err(doing)?;
    if !status.success() {
        return Err(Error::unavailable(format!("{program} failed ({status})"))
            .hint("run it yourself to see why: what it says is not shown here, as it may hold secrets"));
    }
    Ok(output)
}
