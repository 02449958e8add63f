//! Owned tasks: every task has a name and an owner, and ends with its owner.
#![allow(clippy::disallowed_methods)] // the home of tasks and threads

use std::{
    pin::Pin,
    task::{Context, Poll},
};
use tokio::task::JoinHandle;
pub use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// A running task. Dropping it ends the task.
#[derive(Debug)]
pub struct Task<T>(JoinHandle<T>);

impl<T> Task<T> {
    /// Ends the task at its next await.
    pub fn abort(&self) {
        self.0.abort();
    }

    /// Whether it has ended.
    pub fn is_finished(&self) -> bool {
        self.0.is_finished()
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl<T> Future for Task<T> {
    type Output = base::Result<T>;
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0)
            .poll(cx)
            .map(|r| r.map_err(|e| base::Error::internal("a task of ours ended early").because(e)))
    }
}

/// Starts a task that lives as long as the handle.
pub fn spawn<T: Send + 'static>(
    name: &'static str,
    future: impl Future<Output = T> + Send + 'static,
) -> Task<T> {
    use tracing::Instrument;
    Task(tokio::spawn(future.instrument(tracing::debug_span!("task", name))))
}

/// Runs blocking work (hashing, file system) off the async threads.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> base::Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|e| base::Error::internal("blocking work of ours ended early").because(e))
}

/// Starts a named thread, for work that owns a resource for as long as the process lives.
pub fn thread(
    name: &str,
    work: impl FnOnce() + Send + 'static,
) -> std::io::Result<std::thread::JoinHandle<()>> {
    std::thread::Builder::new().name(name.to_owned()).spawn(work)
}

/// Many tasks with one owner: a server and its connections. Dropping the group ends them all.
#[derive(Debug, Default)]
pub struct Group {
    tracker: TaskTracker,
    cancel: CancellationToken,
}

impl Group {
    /// An empty group.
    pub fn new() -> Self {
        Self::default()
    }

    /// A token that is cancelled when the group stops.
    pub fn token(&self) -> CancellationToken {
        self.cancel.clone()
    }

    /// Starts a task of the group: it is dropped at its next await once the group stops.
    pub fn spawn(&self, name: &'static str, future: impl Future<Output = ()> + Send + 'static) {
        use tracing::Instrument;
        let cancel = self.cancel.clone();
        let task = async move {
            tokio::select! {
                biased; // after the end of the group, not one more step
                () = cancel.cancelled() => {}
                () = future => {}
            }
        };
        self.tracker.spawn(task.instrument(tracing::debug_span!("task", name)));
    }

    /// How many tasks run.
    pub fn len(&self) -> usize {
        self.tracker.len()
    }

    /// Whether no task runs.
    pub fn is_empty(&self) -> bool {
        self.tracker.is_empty()
    }

    /// Waits until all tasks have ended by themselves. None may be started afterwards.
    pub async fn join(&self) {
        self.tracker.close();
        self.tracker.wait().await;
    }

    /// Ends all tasks and waits until they are gone.
    pub async fn stop(&self) {
        self.cancel.cancel();
        self.tracker.close();
        self.tracker.wait().await;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

/// Resolves when the process is asked to end: SIGINT, SIGTERM or SIGHUP (a closed terminal).
pub async fn shutdown_signal() -> base::Result<&'static str> {
    use tokio::signal::unix::{SignalKind, signal};
    let listen = |kind| signal(kind).map_err(|e| base::Error::io("listen for signals", &e));
    let mut int = listen(SignalKind::interrupt())?;
    let mut term = listen(SignalKind::terminate())?;
    let mut hup = listen(SignalKind::hangup())?;
    Ok(tokio::select! {
        _ = int.recv() => "SIGINT",
        _ = term.recv() => "SIGTERM",
        _ = hup.recv() => "SIGHUP",
    })
}
