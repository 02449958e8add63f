//! Commands in the guest: frames of the tunnel on one side, SSH on the other.

use super::{Host, SYNTHETIC, guest::Session, vm::Vm};
use crate::runtimes::Target;
use api::stream::{Control, ExecRequest};
use base::{Code, Error, Result, Uid};
use bytes::Bytes;
use link::{
    TunnelReader, TunnelWriter,
    frame::{Channel, FrameReader, FrameWriter},
    worker_side::Offer,
};
use ssh::{Exec, ExecEvent, ExecReceiver, ExecSender, Pty};
use std::{io, sync::Arc, time::Duration};

/// Time for a guest that has not answered yet and that nobody waits for.
const GLANCE: Duration = Duration::from_secs(3);
/// Time for what the controller says of a VM to arrive, after it has chosen this worker.
const ON_ITS_WAY: Duration = Duration::from_secs(2);
/// The longest wait for a guest.
const LONGEST: u64 = 24 * 3600;

/// The VM of a command. One that was placed here a moment ago is waited for, where somebody waits for its guest anyway.
pub async fn known(host: &Host, uid: Uid, wait: Option<u64>) -> Result<Arc<Vm>> {
    let patience = Duration::from_secs(wait.unwrap_or(0)).min(ON_ITS_WAY);
    let since = rt::clock::now();
    loop {
        match host.vm(uid) {
            Err(_) if since.elapsed() < patience => rt::clock::sleep(Duration::from_millis(20)).await,
            found => return found,
        }
    }
}

/// Serves one command. What stands in its way refuses the tunnel; only what shows after a wait is said inside it,
/// because a controller does not wait that long for a tunnel.
pub async fn serve(host: &Arc<Host>, vm: &Arc<Vm>, request: ExecRequest, offer: Offer) -> Result<()> {
    match (answers(host, vm).await, request.wait) {
        (Ok(()), _) => {
            let started = start(host, vm, &request).await?;
            let (reader, writer) = open(offer)?;
            bridge(started, reader, writer).await.map_err(|e| moving(&e))
        }
        (Err(e), Some(seconds)) if may_pass(&e) => {
            let (reader, writer) = open(offer)?;
            let patience = Duration::from_secs(seconds.min(LONGEST));
            let waited = async {
                answers_within(host, vm, patience).await?;
                start(host, vm, &request).await
            };
            let done = match waited.await {
                Ok(started) => bridge(started, reader, writer).await,
                Err(error) => say_last(writer, &Control::Error { error }).await,
            };
            done.map_err(|e| moving(&e))
        }
        (Err(e), _) => Err(e),
    }
}

type Reader = FrameReader<TunnelReader>;
type Writer = FrameWriter<TunnelWriter>;

fn open(offer: Offer) -> Result<(Reader, Writer)> {
    let (reader, writer) = offer.accept()?.into_split();
    Ok((FrameReader::new(reader), FrameWriter::new(writer)))
}

fn moving(error: &io::Error) -> Error {
    Error::io("move a command's bytes through a tunnel", error)
}

/// A command that runs, and the connection it has for itself.
struct Started {
    exec: Exec,
    session: Session,
}

async fn start(host: &Arc<Host>, vm: &Arc<Vm>, request: &ExecRequest) -> Result<Started> {
    let request = ssh_request(request)?;
    let (session, exec) = vm.guest.exec(host, vm, request).await?;
    Ok(Started { exec, session })
}

/// Whether waiting may help.
fn may_pass(error: &Error) -> bool {
    matches!(error.code, Code::Unavailable | Code::Conflict | Code::Timeout)
}

async fn answers_within(host: &Arc<Host>, vm: &Arc<Vm>, patience: Duration) -> Result<()> {
    let since = rt::clock::now();
    loop {
        match answers(host, vm).await {
            Err(e) if may_pass(&e) && since.elapsed() < patience && host.vm(vm.uid).is_ok() => {}
            answer => return answer,
        }
        rt::clock::sleep(Duration::from_millis(100)).await;
    }
}

async fn answers(host: &Arc<Host>, vm: &Arc<Vm>) -> Result<()> {
    let (assignment, work) = vm.work()?;
    if work.runtime == SYNTHETIC {
        return Err(Error::new(Code::Invalid, "a synthetic VM runs no commands")
            .hint("use an image that the qemu runtime can start"));
    }
    let name = &assignment.name;
    let machine = vm.observe(host).filter(|m| m.phase.is_live());
    let machine = machine.ok_or_else(|| {
        Error::conflict(format!("the VM '{name}' does not run"))
            .hint(format!("start it: hostler vm start {name}"))
    })?;
    if machine.run == vm.record().ready_run {
        return Ok(());
    }
    let glance = async {
        let stream = vm.need_runtime(host)?.connect(vm.uid, Target::Port(22)).await?;
        ssh::read_banner(stream, GLANCE).await
    };
    match rt::clock::timeout(GLANCE, "an answer of the guest", glance).await? {
        Ok(_) => Ok(()),
        Err(e) => Err(Error::new(Code::Conflict, format!("the guest of '{name}' does not answer yet"))
            .because(e)
            .hint("wait for it with --wait, or look at: hostler vm console")),
    }
}

fn ssh_request(request: &ExecRequest) -> Result<ssh::ExecRequest> {
    let env: Vec<(String, String)> = request.env.lines().map(variable).collect::<Result<_>>()?;
    let command = match (&request.command, env.is_empty()) {
        (command, true) => command.clone(),
        (command, false) => Some(ssh::shell_command_with_env(command.as_deref(), &env, None)?),
    };
    let or = |n: u16, usual: u32| if n == 0 { usual } else { u32::from(n) };
    let term = if request.term.is_empty() { "xterm-256color" } else { &request.term };
    let pty = request.tty.then(|| Pty {
        term: term.to_owned(),
        rows: or(request.rows, 24),
        cols: or(request.cols, 80),
    });
    Ok(ssh::ExecRequest { command, subsystem: request.subsystem.clone(), env: Vec::new(), pty })
}

fn variable(line: &str) -> Result<(String, String)> {
    line.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned())).ok_or_else(|| {
        Error::invalid("/env", format!("'{line}' does not set a variable")).hint("write NAME=value")
    })
}

/// Moves everything until the command has ended. The other side's end of its half is the end of the input; a reset is
/// the end of everything.
async fn bridge(started: Started, reader: Reader, mut writer: Writer) -> io::Result<()> {
    let Started { exec, session } = started;
    let (sender, mut receiver) = exec.split();
    let last = {
        let input = input(reader, sender);
        let output = output(&mut receiver, &mut writer);
        tokio::pin!(input, output);
        tokio::select! {
            last = &mut output => last?,
            broken = &mut input => match broken {
                Ok(()) => output.await?,
                Err(e) => return Err(e),
            },
        }
    };
    session.give_back();
    say_last(writer, &last).await
}

/// Says how it ended, and ends the tunnel.
async fn say_last(mut writer: Writer, last: &Control) -> io::Result<()> {
    let text = serde_json::to_vec(last).map_err(io::Error::other)?;
    writer.send_on(Channel::Control, &text).await?;
    writer.shutdown().await
}

/// The output, up to how the command ended.
async fn output(receiver: &mut ExecReceiver, writer: &mut Writer) -> io::Result<Control> {
    while let Some(event) = receiver.next().await {
        match event {
            ExecEvent::Stdout(bytes) => writer.send_on(Channel::Stdout, &bytes).await?,
            ExecEvent::Stderr(bytes) => writer.send_on(Channel::Stderr, &bytes).await?,
            ExecEvent::Exit { code, signal } => return Ok(Control::Exit { code, signal }),
        }
    }
    Ok(Control::Error { error: receiver.lost() })
}

/// The input, until it ends. A command that takes no more leaves it unread: its end is on its way.
async fn input(mut reader: Reader, sender: ExecSender) -> io::Result<()> {
    while let Some((channel, bytes)) = reader.next_on_channel().await? {
        match channel {
            Channel::Stdin => drop(sender.stdin(bytes).await),
            Channel::Control => control(&sender, &bytes).await,
            Channel::Stdout | Channel::Stderr => {}
        }
    }
    drop(sender.eof().await);
    Ok(())
}

/// Words that are not understood, or that this guest cannot do, are no reason to end a command.
async fn control(sender: &ExecSender, bytes: &Bytes) {
    let done = match serde_json::from_slice(bytes) {
        Ok(Control::Resize { rows, cols }) => sender.resize(rows.into(), cols.into()).await,
        Ok(Control::Eof {}) => sender.eof().await,
        Ok(Control::Signal { name }) => sender.signal(&name).await,
        Ok(Control::Exit { .. } | Control::Error { .. }) => Ok(()),
        Err(e) => Err(Error::new(Code::Invalid, "a control message is not understood").because(e)),
    };
    if let Err(error) = done {
        tracing::debug!(%error, "a control message had no effect");
    }
}
