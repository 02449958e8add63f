//! The startup script: runs in the guest once it answers, after each start.
//!
//! An agent that dies in the middle runs it again when it is back: at least once per start, never twice at the same
//! time as far as SSH ends what it started.

use super::{Host, vm::Vm};
use crate::shim::BoundedLog;
use api::vm::StartupScript;
use base::{Error, Result};
use bytes::Bytes;
use ssh::{ExecEvent, ExecRequest};
use std::{path::PathBuf, sync::Arc, time::Duration};

/// The name of its log.
pub const LOG: &str = "startup";
/// Size of one of the two parts of its log.
const LOG_PART: u64 = 2 << 20;

/// Runs it. The answer is why it failed, or `None`.
///
/// # Errors
/// Where it could not be run (the guest closed the connection): it is tried again.
pub async fn run(host: &Arc<Host>, vm: &Arc<Vm>, script: &StartupScript) -> Result<Option<String>> {
    let mut log = match host.log_dir(vm.uid)? {
        Some(dir) => Some(open_log(dir).await?),
        None => None,
    };
    let running = run_logged(host, vm, script, &mut log);
    let patience = Duration::from_secs(script.timeout_seconds);
    match rt::clock::timeout(patience, "the startup script", running).await {
        Ok(ended) => ended,
        Err(_) => Ok(Some(format!("the startup script did not end within {} s", patience.as_secs()))),
    }
}

async fn open_log(dir: PathBuf) -> Result<BoundedLog> {
    let opened = rt::task::blocking(move || BoundedLog::open(&dir, LOG, LOG_PART)).await?;
    opened.map_err(|e| Error::io("open the log of the startup script", &e))
}

async fn run_logged(
    host: &Arc<Host>,
    vm: &Arc<Vm>,
    script: &StartupScript,
    log: &mut Option<BoundedLog>,
) -> Result<Option<String>> {
    let (session, exec) = vm.guest.exec(host, vm, ExecRequest::command(LOGIN_SHELL)).await?;
    let (sender, mut receiver) = exec.split();
    let text = text(script)?;
    let feed = async {
        // A shell that exits before it has read everything is no failure: its exit code says what is.
        let _ = sender.stdin(text).await;
        let _ = sender.eof().await;
    };
    let read = async {
        while let Some(event) = receiver.next().await {
            match event {
                ExecEvent::Stdout(bytes) | ExecEvent::Stderr(bytes) => append(log, bytes).await?,
                ExecEvent::Exit { code, signal } => return Ok(failure(code, signal)),
            }
        }
        Err(receiver.lost())
    };
    let ((), ended) = tokio::join!(feed, read);
    session.give_back();
    ended
}

/// Reads the script on its standard input. As a login shell it has the user's full environment.
const LOGIN_SHELL: &str = r#"exec "${SHELL:-/bin/sh}" -l"#;

/// The script with its environment in front. On standard input no other user of the guest can see it.
fn text(script: &StartupScript) -> Result<Bytes> {
    let value = |v: &Option<base::Secret>| v.as_ref().map_or("", |s| s.expose_secret()).to_owned();
    let env: Vec<_> = script.env.iter().map(|(name, v)| (name.clone(), value(v))).collect();
    let mut text = ssh::shell_command_with_env(Some(&script.script), &env, None)?;
    text.push('\n');
    Ok(text.into())
}

fn failure(code: Option<u32>, signal: Option<String>) -> Option<String> {
    match (code, signal) {
        (Some(0), _) => None,
        (Some(code), _) => Some(format!("the startup script ended with exit code {code}; see its log")),
        (None, Some(signal)) => Some(format!("the startup script was ended by signal {signal}; see its log")),
        (None, None) => Some("the startup script ended without an exit code; see its log".into()),
    }
}

async fn append(log: &mut Option<BoundedLog>, bytes: Bytes) -> Result<()> {
    let Some(mut open) = log.take() else { return Ok(()) };
    let (open, done) = rt::task::blocking(move || {
        let done = open.append(&bytes);
        (open, done)
    })
    .await?;
    *log = Some(open);
    done.map_err(|e| Error::io("write the log of the startup script", &e))
}
