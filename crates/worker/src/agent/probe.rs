//! Has the guest answered? Only bytes from the guest count: forwarded ports accept while it is dead.

use super::{Host, vm::Vm};
use crate::runtimes::Target;
use api::vm::{Probe, ProbeKind};
use base::{Error, Result};
use futures::{StreamExt, stream::FuturesUnordered};
use rt::clock::Instant;
use std::{sync::Arc, time::Duration};
use tokio::io::AsyncReadExt;

/// Attempts at the same time. A connection made before the guest listens may hang for seconds, so later ones overtake.
const AT_ONCE: usize = 10;
/// Time for the command of an `exec` probe.
const COMMAND: Duration = Duration::from_secs(30);

/// Returns when the guest of this run has answered. When that takes longer than the VM allows, it says so and goes on.
pub async fn answered(host: &Arc<Host>, vm: &Arc<Vm>, run: u64) -> Result<()> {
    let (_, work) = vm.work()?;
    let probe = &work.spec.probe;
    let patience = Duration::from_secs(probe.timeout_seconds);
    let since = rt::clock::now();
    let asking = ask(host, vm, probe, since);
    tokio::pin!(asking);
    tokio::select! {
        answer = &mut asking => return answer,
        () = rt::clock::sleep(patience) => {}
    }
    vm.is_silent(
        run,
        format!("the guest has not answered for {} s ({})", patience.as_secs(), describe(probe)),
    );
    vm.wake.notify_one();
    asking.await
}

fn describe(probe: &Probe) -> String {
    match probe.kind {
        ProbeKind::Ssh => "no SSH server on port 22".into(),
        ProbeKind::Exec => "the probe's command does not end with 0".into(),
        ProbeKind::Tcp => format!("nothing comes from port {}", probe.port.unwrap_or_default()),
    }
}

async fn ask(host: &Arc<Host>, vm: &Arc<Vm>, probe: &Probe, since: Instant) -> Result<()> {
    match probe.kind {
        ProbeKind::Tcp => first_words(host, vm, Words::Any(probe.port.unwrap_or_default()), since).await,
        ProbeKind::Ssh => first_words(host, vm, Words::Ssh, since).await,
        ProbeKind::Exec => {
            first_words(host, vm, Words::Ssh, since).await?;
            let command = probe.command.as_deref().unwrap_or("true");
            while let Err(error) = try_command(host, vm, command).await {
                tracing::debug!(vm = %vm.uid, %error, "the probe's command failed");
                rt::clock::sleep(pace(since.elapsed()).0 * 5).await;
            }
            Ok(())
        }
    }
}

/// What counts as an answer.
#[derive(Clone, Copy)]
enum Words {
    Ssh,
    Any(u16),
}

/// The time between two attempts, and the time that each has. It decides how soon a guest that is up is seen, so it
/// is short at first.
fn pace(elapsed: Duration) -> (Duration, Duration) {
    match elapsed.as_secs() {
        0..30 => (Duration::from_millis(100), Duration::from_secs(1)),
        30..120 => (Duration::from_millis(250), Duration::from_millis(2500)),
        _ => (Duration::from_secs(1), Duration::from_secs(10)),
    }
}

async fn first_words(host: &Arc<Host>, vm: &Arc<Vm>, words: Words, since: Instant) -> Result<()> {
    let mut attempts = FuturesUnordered::new();
    loop {
        let (interval, limit) = pace(since.elapsed());
        if attempts.len() < AT_ONCE {
            attempts.push(attempt(host, vm, words, limit));
        }
        let next = rt::clock::sleep(interval);
        tokio::pin!(next);
        loop {
            tokio::select! {
                () = &mut next => break,
                Some(answer) = attempts.next() => match answer {
                    Ok(()) => return Ok(()),
                    Err(error) => tracing::trace!(vm = %vm.uid, %error, "no answer yet"),
                },
            }
        }
    }
}

async fn attempt(host: &Arc<Host>, vm: &Arc<Vm>, words: Words, limit: Duration) -> Result<()> {
    let asking = async {
        let runtime = vm.need_runtime(host)?;
        match words {
            Words::Ssh => {
                let stream = runtime.connect(vm.uid, Target::Port(22)).await?;
                ssh::read_banner(stream, limit).await.map(drop)
            }
            Words::Any(port) => {
                let mut stream = runtime.connect(vm.uid, Target::Port(port)).await?;
                match stream.read(&mut [0; 1]).await {
                    Ok(1) => Ok(()),
                    Ok(_) => Err(Error::unavailable("the port closes without a word")),
                    Err(e) => Err(Error::io("read from the port", &e)),
                }
            }
        }
    };
    rt::clock::timeout(limit, "an answer of the guest", asking).await?
}

async fn try_command(host: &Arc<Host>, vm: &Arc<Vm>, command: &str) -> Result<()> {
    let running = async {
        let (session, exec) = vm.guest.exec(host, vm, ssh::ExecRequest::command(command)).await?;
        let (_sender, mut receiver) = exec.split();
        while let Some(event) = receiver.next().await {
            match event {
                ssh::ExecEvent::Exit { code: Some(0), .. } => {
                    session.give_back();
                    return Ok(());
                }
                ssh::ExecEvent::Exit { code, .. } => {
                    return Err(Error::unavailable(format!("it ended with {code:?}")));
                }
                _ => {}
            }
        }
        Err(receiver.lost())
    };
    rt::clock::timeout(COMMAND, "the probe's command", running).await?
}
