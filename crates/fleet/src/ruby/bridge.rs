//! The bridge as the rest of the fleet uses it.

use super::{
    action::{Actions, Block},
    message::{self, Answer, Question, Request, Statement, What},
    process::{Process, Ticket},
};
use crate::session::Chunk;
use base::{Error, Result};
use futures::future::BoxFuture;
use inventory::Node;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::sync::Mutex;

/// Where the output of Ruby code goes while it runs.
type Say<'a> = &'a mut (dyn FnMut(Chunk) + Send);

/// How the bridge is run.
#[derive(Clone, Debug)]
pub struct Options {
    /// The interpreter, 3.0 or newer: `ruby` means the one on the PATH.
    pub program: PathBuf,
    /// The fleet directory. The code works in it.
    pub directory: PathBuf,
    /// How long a method of a service, or the reading of a configuration, may take.
    pub limit: Duration,
}

impl Options {
    /// The `ruby` on the PATH, with a minute for each method.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Options { program: "ruby".into(), directory: directory.into(), limit: Duration::from_mins(1) }
    }
}

/// Who knows what Ruby code asks.
pub trait Answers: Send + Sync {
    /// An answer. An error becomes an exception in the code that asked.
    fn answer(&self, question: Question) -> BoxFuture<'_, Result<Value>>;
}

/// A service of a platform.
#[derive(Clone, Copy, Debug)]
pub struct Service<'a> {
    /// The platform's name.
    pub platform: &'a str,
    /// Its directory, with `service_NAME.rb` in it.
    pub directory: &'a Path,
    /// The service's name.
    pub name: &'a str,
}

/// What a service must be able to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Say what would change.
    Check,
    /// Change it.
    Deploy,
}

impl Method {
    fn as_str(self) -> &'static str {
        match self {
            Method::Check => "check",
            Method::Deploy => "deploy",
        }
    }
}

/// The bridge to Ruby. Nothing is started until something is asked of it; all ends when it is dropped.
pub struct Bridge {
    options: Options,
    answers: Arc<dyn Answers>,
    running: Mutex<Running>,
}

#[derive(Default)]
struct Running {
    /// How many were started, which numbers them.
    started: u64,
    process: Option<Arc<Process>>,
}

impl Bridge {
    /// With somebody who knows about nodes.
    pub fn new(options: Options, answers: Arc<dyn Answers>) -> Self {
        Bridge { options, answers, running: Mutex::default() }
    }

    /// What a service wants done on a node. `say` gets what the method prints meanwhile.
    ///
    /// # Errors
    /// With the file and line where the code failed. [`base::Code::Unavailable`] without Ruby, [`base::Code::Timeout`]
    /// when it takes too long, which ends the bridge with all that it was doing.
    pub async fn actions(
        &self,
        service: Service<'_>,
        method: Method,
        node: &Node,
        say: Say<'_>,
    ) -> Result<Actions> {
        let request = Request::Actions {
            directory: service.directory,
            platform: service.platform,
            service: service.name,
            method: method.as_str(),
            node: &node.name,
            metadata: &node.metadata,
        };
        let doing = format!("{} of service {} for {}", method.as_str(), service.name, node.name);
        let (process, number) = self.process().await?;
        let found: message::Actions = self.evaluate(&process, request, &doing, say).await?;
        Ok(Actions::new(found, number))
    }

    /// What a configuration says, line by line, together with what it includes.
    ///
    /// # Errors
    /// As [`Self::actions`].
    pub async fn configuration(&self, file: &Path, say: Say<'_>) -> Result<Vec<Statement>> {
        let (process, _) = self.process().await?;
        let doing = format!("reading {}", file.display());
        self.evaluate(&process, Request::Configuration { file }, &doing, say).await
    }

    /// Runs a block of code to its end.
    ///
    /// # Errors
    /// Where the code fails or takes longer than `limit`, and where the process that had it is gone.
    pub async fn call(&self, block: &Block, limit: Option<Duration>, say: Say<'_>) -> Result<()> {
        let (process, number) = self.process().await?;
        if block.process != number {
            return Err(Error::internal("the Ruby bridge that had this code has ended"));
        }
        let doing = "a block of Ruby code";
        let mut ticket = process.request(Request::Call { block: block.number }).await?;
        let ended = match limit {
            Some(limit) => {
                rt::clock::timeout(limit, doing, self.converse(&process, &mut ticket, doing, say)).await
            }
            None => Ok(self.converse(&process, &mut ticket, doing, say).await),
        };
        if ended.is_err() {
            process.request(Request::Stop { request: ticket.id }).await?;
        }
        ended?.map(|_| ())
    }

    /// The process, started where there is none, and its number.
    async fn process(&self) -> Result<(Arc<Process>, u64)> {
        let mut running = self.running.lock().await;
        if let Some(process) = running.process.as_ref().filter(|p| !p.has_ended()) {
            return Ok((process.clone(), running.started));
        }
        let process = Arc::new(Process::start(&self.options.program, &self.options.directory)?);
        running.started += 1;
        running.process = Some(process.clone());
        Ok((process, running.started))
    }

    /// One of the requests that are worked on in turn: one that hangs would hold up all others.
    async fn evaluate<T: DeserializeOwned>(
        &self,
        process: &Process,
        request: Request<'_>,
        doing: &str,
        say: Say<'_>,
    ) -> Result<T> {
        let work = async {
            let mut ticket = process.request(request).await?;
            self.converse(process, &mut ticket, doing, say).await
        };
        let result = match rt::clock::timeout(self.options.limit, doing, work).await {
            Ok(result) => result?,
            Err(error) => {
                process.kill(error.clone());
                return Err(error);
            }
        };
        serde_json::from_value(result)
            .map_err(|e| Error::internal("the Ruby bridge is not understood").because(e))
    }

    /// Passes on output and answers questions until the request ends.
    async fn converse(
        &self,
        process: &Process,
        ticket: &mut Ticket<'_>,
        doing: &str,
        say: Say<'_>,
    ) -> Result<Value> {
        loop {
            match ticket.next().await? {
                What::Output { stream, text } => say(stream.chunk(text)),
                What::Question { ask, question } => {
                    let answer = match self.answers.answer(question).await {
                        Ok(value) => Answer::Value { answer: ask, value },
                        Err(e) => Answer::Error { answer: ask, error: e.to_string() },
                    };
                    process.tell(&answer).await?;
                }
                What::Failed { error } => return Err(error.explain(format!("{doing} failed"))),
                What::Done { result } => return Ok(result),
            }
        }
    }
}
