//! The one thread that writes. It drains its queue into one SQLite transaction (group commit): one fsync then serves
//! many commits. Every answer, also a refusal, waits for the fsync, because a refusal may rest on a neighbour.

use super::{
    apply::{Refused, apply},
    checkpoint::Wal,
    fault::{explain, left_nothing, poisoned},
    schema::{self, State},
    trim::Portion,
};
use crate::{
    Change, Commit, CommitError,
    history::{History, closed},
};
use base::{Error, Result, Revision};
use rusqlite::{Connection, TransactionBehavior};
use std::sync::{Arc, OnceLock};
use tokio::sync::{mpsc, oneshot};

/// The most commits that share one fsync.
const GROUP: usize = 256;
/// The most bytes that share one fsync, so that a group never delays its first commit for long.
const GROUP_BYTES: usize = 8 * 1024 * 1024;
/// Commits that may wait; callers beyond it wait to get in.
const QUEUE: usize = 1_024;

type Outcome = Result<Revision, CommitError>;

enum Job {
    Commit(Commit, oneshot::Sender<Outcome>),
    Trim(Portion, oneshot::Sender<Result<u64>>),
}

/// The way to the writer. Dropping it lets the writer finish its queue, and waits for that.
pub struct Writer {
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<std::thread::JoinHandle<()>>,
    health: Arc<OnceLock<Error>>,
}

impl Writer {
    /// Starts the thread.
    pub fn start(db: Connection, state: State, history: Arc<History>, wal: Wal) -> Result<Self> {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let health = Arc::new(OnceLock::new());
        let room = Room { db, state, history, wal, health: health.clone() };
        let thread = rt::task::thread("store-write", move || room.run(receiver))
            .map_err(|e| Error::io("start the store's writer", &e))?;
        Ok(Writer { jobs: Some(sender), thread: Some(thread), health })
    }

    /// See [`crate::Store::commit`].
    pub async fn commit(&self, commit: Commit) -> Outcome {
        commit.check()?;
        self.ask(|reply| Job::Commit(commit, reply)).await?
    }

    /// Deletes one portion of records; says how many.
    pub async fn trim(&self, portion: Portion) -> Result<u64> {
        self.ask(|reply| Job::Trim(portion, reply)).await?
    }

    async fn ask<T>(&self, job: impl FnOnce(oneshot::Sender<T>) -> Job) -> Result<T> {
        let jobs = self.jobs.as_ref().ok_or_else(closed)?;
        let (reply, answer) = oneshot::channel();
        jobs.send(job(reply)).await.map_err(|_| closed())?;
        answer.await.map_err(|_| closed())
    }

    /// See [`crate::Store::health`].
    pub fn health(&self) -> Result<()> {
        self.health.get().map_or(Ok(()), |e| Err(e.clone()))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What the thread owns.
struct Room {
    db: Connection,
    state: State,
    history: Arc<History>,
    wal: Wal,
    health: Arc<OnceLock<Error>>,
}

impl Room {
    fn run(mut self, mut jobs: mpsc::Receiver<Job>) {
        while let Some(job) = jobs.blocking_recv() {
            let mut next = Some(job);
            while let Some(job) = next.take() {
                match job {
                    Job::Commit(commit, reply) => next = self.group(commit, reply, &mut jobs),
                    Job::Trim(portion, reply) => drop(reply.send(self.trim(&portion))),
                }
            }
            self.wal.relieve(&self.db);
        }
    }

    /// Commits the first one and what waits behind it. Returns a job of another sort that came up.
    fn group(
        &mut self,
        commit: Commit,
        reply: oneshot::Sender<Outcome>,
        jobs: &mut mpsc::Receiver<Job>,
    ) -> Option<Job> {
        let mut bytes = commit.bytes();
        let (mut commits, mut replies) = (vec![commit], vec![reply]);
        let mut other = None;
        while commits.len() < GROUP && bytes < GROUP_BYTES && other.is_none() {
            match jobs.try_recv() {
                Ok(Job::Commit(commit, reply)) => {
                    bytes += commit.bytes();
                    commits.push(commit);
                    replies.push(reply);
                }
                Ok(job) => other = Some(job),
                Err(_) => break,
            }
        }
        let count = commits.len();
        let outcomes = self.write(commits).unwrap_or_else(|e| vec![Err(CommitError::Failed(e)); count]);
        rt::failpoint::pass("store.before-reply");
        for (reply, outcome) in replies.into_iter().zip(outcomes) {
            let _ = reply.send(outcome); // a caller that left has its commit all the same
        }
        other
    }

    /// Writes a group. An error is the error of every commit in it.
    fn write(&mut self, commits: Vec<Commit>) -> Result<Vec<Outcome>> {
        if let Some(error) = self.health.get() {
            return Err(error.clone());
        }
        let mut state = self.state;
        let (mut outcomes, mut shown) = (Vec::with_capacity(commits.len()), Vec::new());
        let written = fill(&mut self.db, commits, &mut state, &mut outcomes, &mut shown);
        self.settle(written, "commit to the store")?;
        self.state = state;
        self.history.publish(shown);
        Ok(outcomes)
    }

    fn trim(&mut self, portion: &Portion) -> Result<u64> {
        if let Some(error) = self.health.get() {
            return Err(error.clone());
        }
        let trimmed = portion.delete(&mut self.db);
        self.settle(trimmed, "trim the records of the store")
    }

    /// Explains a failure, and stops the store when nobody can know what is on the disk.
    fn settle<T>(&self, result: Result<T, Failed>, doing: &str) -> Result<T> {
        let e = match result {
            Ok(done) => return Ok(done),
            Err(Failed::Before(e)) => explain(doing, &e),
            Err(Failed::AtCommit(e)) if left_nothing(&e) => explain(doing, &e),
            Err(Failed::AtCommit(e)) => {
                let reason = poisoned(&e);
                tracing::error!(error = %reason, "the store takes no more commits");
                self.health.get_or_init(|| reason).clone()
            }
        };
        if !self.db.is_autocommit() {
            let stuck = Error::unavailable("the store stopped: a transaction could not be taken back")
                .because(&e)
                .hint("check the disk, then restart the controller");
            return Err(self.health.get_or_init(|| stuck).clone());
        }
        Err(e)
    }
}

/// When a transaction failed.
pub enum Failed {
    /// Before its COMMIT: it was rolled back.
    Before(rusqlite::Error),
    /// In its COMMIT.
    AtCommit(rusqlite::Error),
}

impl From<rusqlite::Error> for Failed {
    fn from(error: rusqlite::Error) -> Self {
        Failed::Before(error)
    }
}

/// One transaction with all commits that hold. On success everything in it is durable.
fn fill(
    db: &mut Connection,
    commits: Vec<Commit>,
    state: &mut State,
    outcomes: &mut Vec<Outcome>,
    shown: &mut Vec<(Revision, Vec<Change>)>,
) -> Result<(), Failed> {
    let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for commit in commits {
        match apply(&tx, commit, state) {
            Ok(changes) => {
                outcomes.push(Ok(state.revision));
                shown.push((state.revision, changes));
            }
            Err(Refused::Commit(error)) => outcomes.push(Err(error)),
            Err(Refused::Database(error)) => return Err(Failed::Before(error)),
        }
    }
    if shown.is_empty() {
        return Ok(tx.rollback()?);
    }
    schema::set_state(&tx, *state)?;
    rt::failpoint::pass("store.before-commit");
    tx.commit().map_err(Failed::AtCommit)?;
    rt::failpoint::pass("store.after-commit");
    Ok(())
}
