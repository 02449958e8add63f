//! Changes as they happen.

use crate::{
    Client, Error, Result,
    call::request_id,
    explain,
    sse::{Event, Parser},
    target::SILENCE,
};
use api::{Problem, query::WatchQuery, routes::RouteId, stream::Change};
use base::{Code, Error as Failure, Revision};
use reqwest::Response;
use rt::clock::{Backoff, Instant};
use std::time::Duration;

/// A stream of changes that connects again after a cut and continues where it was.
#[derive(Debug)]
pub struct Watch {
    client: Client,
    query: WatchQuery,
    connection: Option<Connection>,
    backoff: Backoff,
    patience: Duration,
    silent_since: Option<Instant>,
}

#[derive(Debug)]
struct Connection {
    response: Response,
    parser: Parser,
    request_id: String,
}

impl Client {
    /// Follows kinds of objects (`vm`, `worker`, ...) from a revision on. `since` is that of a list; without one, from
    /// now on, which a cut before the first change may skip.
    pub fn watch(&self, kinds: &[&str], project: Option<&str>, since: Option<Revision>) -> Watch {
        Watch {
            client: self.clone(),
            query: WatchQuery {
                kinds: (!kinds.is_empty()).then(|| kinds.join(",")),
                project: project.map(str::to_owned),
                since,
            },
            connection: None,
            backoff: Backoff::new(Duration::from_millis(100), Duration::from_secs(5)),
            patience: Duration::from_mins(1),
            silent_since: None,
        }
    }
}

impl Watch {
    /// How long a server may stay away before [`Watch::next`] gives up. By default 60 s.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// The revision up to which all changes were seen.
    pub fn revision(&self) -> Option<Revision> {
        self.query.since
    }

    /// Connects, so that from now on nothing is missed.
    pub async fn open(&mut self) -> Result<()> {
        if self.connection.is_none() {
            self.connect().await?;
        }
        Ok(())
    }

    /// The next change, a bookmark included. May be dropped before it is done; nothing is lost by that.
    ///
    /// # Errors
    /// [`Code::Gone`] when changes in between are no longer kept: list again and watch from there.
    pub async fn next(&mut self) -> Result<Change> {
        loop {
            let read = match &mut self.connection {
                None => self.connect().await,
                Some(connection) => match connection.parser.next() {
                    Some(event) => return self.change(&event),
                    None => connection.read(self.client.url()).await,
                },
            };
            if let Err(e) = read {
                self.connection = None;
                self.bear(e).await?;
            }
        }
    }

    async fn connect(&mut self) -> Result<()> {
        let mut call = self.client.call(RouteId::Watch, &[]).query(&self.query);
        if let Some(since) = self.query.since {
            call = call.header("last-event-id", since.to_string());
        }
        let response = call.header("accept", "text/event-stream").stream().await?;
        let request_id = request_id(&response);
        self.connection = Some(Connection { response, parser: Parser::default(), request_id });
        Ok(())
    }

    fn change(&mut self, event: &Event) -> Result<Change> {
        let request_id = self.connection.as_ref().map(|c| c.request_id.clone()).unwrap_or_default();
        let unreadable = |e: &dyn std::fmt::Display| Error {
            error: Failure::internal("the server sent a change that cannot be read").because(e),
            request_id: request_id.as_str().into(),
        };
        if event.name == "problem" {
            self.connection = None;
            let problem: Problem = serde_json::from_str(&event.data).map_err(|e| unreadable(&e))?;
            return Err(problem.into());
        }
        let change: Change = serde_json::from_str(&event.data).map_err(|e| unreadable(&e))?;
        // Of several changes in one revision only the last has an id: what is resumed from it has been seen whole.
        if let Some(id) = &event.id {
            self.query.since = Some(id.parse().map_err(|e: Failure| unreadable(&e))?);
        }
        self.backoff.reset();
        self.silent_since = None;
        Ok(change)
    }

    /// Waits a little after a cut, or gives up.
    async fn bear(&mut self, error: Error) -> Result<()> {
        if !matches!(error.code(), Code::Unavailable | Code::Timeout) {
            return Err(error);
        }
        let since = *self.silent_since.get_or_insert_with(rt::clock::now);
        if rt::clock::now() > since + self.patience {
            return Err(error);
        }
        tracing::debug!(%error, "the watch was cut; connecting again");
        rt::clock::sleep(self.backoff.delay()).await;
        Ok(())
    }
}

impl Connection {
    async fn read(&mut self, url: &str) -> Result<()> {
        let ended = || Error::from(Failure::unavailable(format!("{url} ended the watch")));
        let chunk = rt::clock::timeout(SILENCE, "the next part of the watch", self.response.chunk()).await?;
        let chunk = chunk.map_err(|e| explain::transport(url, &e))?.ok_or_else(ended)?;
        Ok(self.parser.push(&chunk)?)
    }
}
