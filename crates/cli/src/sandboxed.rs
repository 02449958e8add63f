//! What this program does inside a sandbox of the controller: it stands between a directory's code and the broker.

use crate::{Failure, Result, env};
use base::{Error, Name, Secret};
use clap::Args;
use futures::future::{BoxFuture, FutureExt};
use runner::inside;
use std::{ffi::OsString, process::Stdio, sync::Arc};
use tokio::io;

/// Runs a program with the broker as its proxy.
#[derive(Args, Debug)]
pub struct Sandboxed {
    /// The program and its arguments.
    #[arg(required = true, last = true)]
    argv: Vec<OsString>,
}

impl Sandboxed {
    /// Ends as the program does.
    pub async fn run(self) -> Result {
        let _proxy = runner::inside::proxy().await?;
        let (program, arguments) =
            self.argv.split_first().ok_or_else(|| Failure::usage("ARGV", "nothing to run"))?;
        let mut command = rt::process::command(program);
        command.args(arguments).stdout(Stdio::inherit()).stderr(Stdio::inherit());
        let status = command.status().await;
        let status = status.map_err(|e| rt::process::cannot_start(&program.to_string_lossy(), &e))?;
        Ok(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(crate::failure::OURS))
    }
}

/// A connection through the broker on this process's standard input and output: a `ProxyCommand` of ssh.
#[derive(Args, Debug)]
pub struct Connect {
    /// The host.
    host: String,
    /// Its port.
    port: u16,
}

impl Connect {
    /// Until the other end has said all.
    pub async fn run(self) -> Result {
        let stream = runner::inside::connect(&self.host, self.port).await?;
        let (mut from, mut to) = stream.into_split();
        let up = rt::task::spawn("sandbox connect", async move {
            let _ = io::copy(&mut io::stdin(), &mut to).await;
        });
        let copied = io::copy(&mut from, &mut io::stdout()).await;
        drop(up);
        copied.map(|_| crate::failure::OK).map_err(|e| Error::io("pass on a connection", &e).into())
    }
}

/// The variable that is set in a sandbox.
const INSIDE: &str = "HOSTLER_SANDBOX";

/// Who keeps credentials: the controller, where this runs in one of its sandboxes.
pub fn credentials() -> Option<Arc<dyn secrets::Credentials>> {
    env::var(INSIDE).map(|_| Arc::new(Broker) as _)
}

/// The broker of this sandbox.
#[derive(Debug)]
struct Broker;

impl secrets::Credentials for Broker {
    fn credential<'a>(&'a self, name: &'a Name) -> BoxFuture<'a, base::Result<Secret>> {
        inside::credential(name).boxed()
    }
}
