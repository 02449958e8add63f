//! `--interactive`: a shell on each node, one after the other.

use crate::{
    Result,
    app::App,
    env,
    failure::OK,
    fleet::vm::Vms,
    keyboard::{Escape, Keyboard, Keys},
    nouns::vm::session::{self, Session},
    terminal,
};
use api::stream::ExecRequest;
use base::Error;
use fleet::{
    connector::{Container, Ssh},
    run::Identity,
    session::{Become, Method},
};
use inventory::Node;
use ssh::{ExecEvent, ExecReceiver, ExecSender, Pty};
use std::process::Stdio;
use tokio::{
    process::Command,
    signal::unix::{SignalKind, signal},
};

/// A shell for people: bash where there is one.
const SHELL: &str = "command -v bash >/dev/null && exec bash; exec sh";

/// Opens shells on nodes. How a shell ends says nothing of its node: only those that could not be opened count.
pub struct Shells<'a> {
    pub app: &'a App,
    pub ssh: Ssh,
    pub identity: Identity,
}

impl Shells<'_> {
    /// Opens one after the other. Ends with the code of the whole run.
    pub async fn open(&self, nodes: &[Node]) -> Result {
        if !terminal::is_interactive() {
            return Err(Error::invalid("--interactive", "there is no terminal here")
                .hint("run it on a terminal, or give --command")
                .into());
        }
        let mut failed = 0;
        for (number, node) in nodes.iter().enumerate() {
            self.app.printer.note(&format!("a shell on {} ({} of {})", node.name, number + 1, nodes.len()));
            if let Err(failure) = self.on(node).await {
                failed += 1;
                self.app.printer.failure(&failure);
            }
        }
        Ok(match failed {
            0 => OK,
            _ if failed == nodes.len() => 1,
            _ => crate::failure::SOME_FAILED,
        })
    }

    async fn on(&self, node: &Node) -> Result<()> {
        let line = self.identity.on(node)?.map(|other| login(&other));
        if node.flag("local_node") {
            let mut shell = rt::process::command("sh");
            shell.arg("-c").arg(line.as_deref().unwrap_or(SHELL));
            here(shell).await
        } else if node.metadata.contains_key("vm") {
            let (client, key) = Vms::new(self.app).find(node).await?;
            let request = ExecRequest { command: line, ..ExecRequest::default() };
            session::run(self.app, &client, &key, request, Session { stdin: true, tty: true }).await.map(drop)
        } else if node.metadata.contains_key("docker") {
            let mut shell = Container::open(node).await?.exec(&["--interactive", "--tty", "--env", "TERM"]);
            shell.args(["sh", "-c", line.as_deref().unwrap_or(SHELL)]);
            here(shell).await
        } else {
            self.over_ssh(node, line).await
        }
    }

    async fn over_ssh(&self, node: &Node, command: Option<String>) -> Result<()> {
        let (dialer, target) = self.ssh.way(node)?;
        let connection = dialer.connect(&target).await?;
        if let Some(program) = connection.terminal_program(command.as_deref())? {
            return here(program).await;
        }
        let (rows, cols) = terminal::size().unwrap_or((24, 80));
        let term = env::var("TERM").unwrap_or_else(|| "xterm-256color".into());
        let pty = Pty { term, rows: rows.into(), cols: cols.into() };
        let request = ssh::ExecRequest { command, ..ssh::ExecRequest::shell(pty) };
        let (sender, mut receiver) = connection.exec(request).await?.split();
        let _raw = terminal::Raw::enter()?;
        tokio::select! {
            shown = self.show(&mut receiver) => shown,
            left = type_in(&sender) => left,
        }
    }

    async fn show(&self, receiver: &mut ExecReceiver) -> Result<()> {
        loop {
            match receiver.next().await.ok_or_else(|| receiver.lost())? {
                ExecEvent::Stdout(bytes) | ExecEvent::Stderr(bytes) => self.app.printer.data(&bytes),
                ExecEvent::Exit { .. } => return Ok(()),
            }
        }
    }
}

/// Passes on keys and sizes until the user leaves with `~.`.
async fn type_in(sender: &ExecSender) -> Result<()> {
    let (mut keyboard, mut escape) = (Keyboard::open()?, Escape::new(false));
    let mut resized = signal(SignalKind::window_change()).map_err(|e| Error::io("listen for signals", &e))?;
    loop {
        let sent = tokio::select! {
            typed = keyboard.recv() => match typed.map(|typed| escape.filter(&typed)) {
                Some(Keys::Pass(bytes)) => sender.stdin(bytes.into()).await,
                Some(Keys::Leave(_)) => return Ok(()),
                None => sender.eof().await,
            },
            _ = resized.recv() => match terminal::size() {
                Some((rows, cols)) => sender.resize(rows.into(), cols.into()).await,
                None => Ok(()),
            },
        };
        if sent.is_err() {
            std::future::pending::<()>().await; // why shows in the output
        }
    }
}

/// A program that has our terminal, and its signals, until it ends.
async fn here(mut program: Command) -> Result<()> {
    let _theirs = signal(SignalKind::interrupt()).map_err(|e| Error::io("listen for signals", &e))?;
    program.stdin(Stdio::inherit()).stdout(Stdio::inherit()).stderr(Stdio::inherit());
    let name = program.as_std().get_program().to_string_lossy().into_owned();
    program.status().await.map_err(|e| rt::process::cannot_start(&name, &e))?;
    Ok(())
}

/// The line that makes a login shell of another user. What asks for a password asks on the terminal.
fn login(other: &Become) -> String {
    let user = ssh::quote(&other.user);
    match other.method {
        Method::Sudo => format!("exec sudo -u {user} -i"),
        Method::Su => format!("exec su - {user}"),
        Method::Doas => format!("exec doas -u {user} -s"),
    }
}
