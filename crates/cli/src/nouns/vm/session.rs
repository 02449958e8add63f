//! A command in a guest with our own input, output, terminal and signals.

use crate::{
    Result,
    app::App,
    failure::{INTERRUPTED, OURS},
    keyboard::{Escape, Keyboard, Keys},
    terminal,
};
use api::stream::ExecRequest;
use base::Error;
use bytes::Bytes;
use client::{
    Client, Key,
    exec::{ExecEvent, ExecReceiver, ExecSender},
};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// What the command gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Session {
    /// Our input.
    pub stdin: bool,
    /// A terminal, and ours in raw mode.
    pub tty: bool,
}

/// Runs it and returns its exit code; 255 for a failure of our own.
pub async fn run(
    app: &App,
    client: &Client,
    key: &Key,
    mut request: ExecRequest,
    session: Session,
) -> Result {
    if session.tty {
        request.tty = true;
        request.term = crate::env::var("TERM").unwrap_or_else(|| "xterm-256color".into());
        (request.rows, request.cols) = terminal::size().unwrap_or((24, 80));
    }
    let (sender, mut receiver) = client.vm_exec(key, &request).await?;
    let _raw = if session.tty && terminal::is_interactive() { Some(terminal::Raw::enter()?) } else { None };
    let input = Input::new(session)?;
    let ours = rt::task::spawn("input", input.pump(sender));
    tokio::select! {
        code = output(app, &mut receiver) => code,
        leave = ours => leave?,
    }
}

async fn output(app: &App, receiver: &mut ExecReceiver) -> Result {
    loop {
        match receiver.next().await? {
            ExecEvent::Stdout(bytes) => app.printer.data(&bytes),
            ExecEvent::Stderr(bytes) => app.printer.raw_stderr(&bytes),
            ExecEvent::Exit(exit) => {
                if let (Some(signal), false) = (&exit.signal, exit.code.is_some()) {
                    app.printer.note(&format!("ended by signal {signal}"));
                }
                return Ok(exit.shell_code());
            }
        }
    }
}

/// What goes to the command: keys, the size of the terminal, signals.
struct Input {
    keys: Option<Keyboard>,
    escape: Option<Escape>,
    resized: Signal,
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Input {
    fn new(session: Session) -> Result<Self> {
        let listen = |kind| signal(kind).map_err(|e| Error::io("listen for signals", &e));
        let interactive = session.tty && terminal::is_interactive();
        Ok(Input {
            keys: if session.stdin { Some(Keyboard::open()?) } else { None },
            escape: interactive.then(|| Escape::new(false)),
            resized: listen(SignalKind::window_change())?,
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }

    /// Ends when the user leaves. Otherwise it goes on until the command has ended: what cannot be sent any more is
    /// explained by what comes from there.
    async fn pump(mut self, mut sender: ExecSender) -> Result {
        if self.keys.is_none() {
            let _ = sender.eof().await;
        }
        let mut interrupts = 0;
        loop {
            let sent = tokio::select! {
                typed = next(&mut self.keys) => match typed {
                    None => sender.eof().await,
                    Some(bytes) => match self.escape.as_mut().map(|e| e.filter(&bytes)) {
                        None => sender.stdin(&bytes).await,
                        Some(Keys::Pass(bytes)) => sender.stdin(&bytes).await,
                        Some(Keys::Leave(_)) => return Ok(OURS),
                    },
                },
                _ = self.resized.recv() => match terminal::size() {
                    Some((rows, cols)) => sender.resize(rows, cols).await,
                    None => Ok(()),
                },
                _ = self.interrupt.recv() => {
                    interrupts += 1;
                    // The second Ctrl-C leaves at once.
                    if interrupts > 1 {
                        return Ok(INTERRUPTED);
                    }
                    sender.signal("INT").await
                }
                _ = self.terminate.recv() => sender.signal("TERM").await,
                _ = self.hangup.recv() => {
                    let _ = sender.signal("HUP").await;
                    return Ok(OURS);
                }
            };
            if sent.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}

/// The next input; at its end `None` once, then nothing more.
async fn next(keys: &mut Option<Keyboard>) -> Option<Bytes> {
    let Some(receiver) = keys else { return std::future::pending().await };
    let bytes = receiver.recv().await;
    if bytes.is_none() {
        *keys = None;
    }
    bytes
}
