//! Nodes that are VMs of the pool: through the controller, which knows their host keys and keeps their keys.

use crate::{app::App, parse};
use api::stream::ExecRequest;
use base::{Error, Result};
use bytes::Bytes;
use client::{
    Client, Key,
    exec::{ExecEvent, ExecReceiver, ExecSender},
};
use fleet::{
    connector::{Channels, Connector, Event, Reader, Started, Writer, over},
    session::{Chunk, Ended, Session},
};
use futures::future::{BoxFuture, FutureExt};
use inventory::Node;
use rt::task::Task;
use tokio::sync::{OnceCell, mpsc};

/// Reaches nodes with `vm` in their metadata. The controller is looked for when the first of them is.
#[derive(Debug)]
pub struct Vms {
    app: App,
    client: OnceCell<Client>,
}

impl Vms {
    /// For one run of the program.
    pub fn new(app: &App) -> Self {
        Vms { app: app.clone(), client: OnceCell::new() }
    }

    /// The VM that a node is.
    pub async fn find(&self, node: &Node) -> crate::Result<(Client, Key)> {
        let wrong = |why: String| Error::invalid(format!("{}/vm", node.name), why);
        let name = node.text("vm").ok_or_else(|| wrong("this must be the name of a VM".into()))?;
        let key = self.app.key(&parse::in_project(name).map_err(wrong)?)?;
        let client = self.client.get_or_try_init(async || self.app.client()).await?;
        Ok((client.clone(), key))
    }

    async fn open(&self, node: &Node) -> Result<Session> {
        let (client, key) = self.find(node).await.map_err(|failure| failure.error.error)?;
        let vm = Vm { client, key };
        vm.greet().await?;
        Ok(over(vm))
    }
}

impl Connector for Vms {
    fn connect<'a>(&'a self, node: &'a Node) -> Option<BoxFuture<'a, Result<Session>>> {
        node.metadata.contains_key("vm").then(|| self.open(node).boxed())
    }
}

struct Vm {
    client: Client,
    key: Key,
}

impl Vm {
    /// Whether it answers is known before anything is begun on it.
    async fn greet(&self) -> Result<()> {
        let (_sender, mut receiver) = self.begin(":").await?;
        while !matches!(receiver.next().await?, ExecEvent::Exit(_)) {}
        Ok(())
    }

    async fn begin(&self, line: &str) -> Result<(ExecSender, ExecReceiver)> {
        let request = ExecRequest { command: Some(line.to_owned()), ..ExecRequest::default() };
        Ok(self.client.vm_exec(&self.key, &request).await?)
    }
}

impl Channels for Vm {
    fn start<'a>(&'a self, line: &'a str) -> BoxFuture<'a, Result<Started>> {
        async move {
            let (sender, receiver) = self.begin(line).await?;
            let (input, pieces) = mpsc::channel(1);
            let feeding = rt::task::spawn("input of a VM", feed(sender, pieces));
            Ok(Started {
                input: Box::new(Input(input)),
                output: Box::new(Output { receiver, _feeding: feeding }),
            })
        }
        .boxed()
    }
}

/// Passes input on. Its end is told to the command, which nobody could do who only drops it.
async fn feed(mut sender: ExecSender, mut pieces: mpsc::Receiver<Bytes>) {
    while let Some(piece) = pieces.recv().await {
        if sender.stdin(&piece).await.is_err() {
            return; // why shows in its output
        }
    }
    let _ = sender.eof().await;
}

struct Input(mpsc::Sender<Bytes>);

impl Writer for Input {
    fn write(&mut self, bytes: Bytes) -> BoxFuture<'_, Result<()>> {
        let sent =
            async { self.0.send(bytes).await.map_err(|_| Error::unavailable("it takes no more input")) };
        sent.boxed()
    }
}

struct Output {
    receiver: ExecReceiver,
    _feeding: Task<()>,
}

impl Reader for Output {
    fn next(&mut self) -> BoxFuture<'_, Result<Event>> {
        async {
            Ok(match self.receiver.next().await? {
                ExecEvent::Stdout(bytes) => Event::Chunk(Chunk::Stdout(bytes)),
                ExecEvent::Stderr(bytes) => Event::Chunk(Chunk::Stderr(bytes)),
                ExecEvent::Exit(exit) => Event::Ended(match (exit.code, exit.signal) {
                    (Some(code), _) => Ended::Code(code),
                    (None, Some(signal)) => Ended::Signal(signal),
                    // Nothing said how it ended: as with ssh, that is a loss.
                    (None, None) => return Err(Error::unavailable("the end of the command is not known")),
                }),
            })
        }
        .boxed()
    }
}
