//! The parts that this program can run.

use base::{Error, Result};
use cli::{ControllerOptions, Daemons, DevOptions, RestoreOptions, WorkerOptions};
use futures::future::{BoxFuture, FutureExt, ready};
use std::path::PathBuf;

/// All parts.
pub struct Parts;

fn missing<T: Send + 'static>(what: &str) -> BoxFuture<'static, Result<T>> {
    ready(Err(Error::unavailable(format!("this program cannot run {what} yet")))).boxed()
}

impl Daemons for Parts {
    fn dev(&self, _: DevOptions) -> BoxFuture<'static, Result<()>> {
        missing("a cluster")
    }

    fn controller(&self, _: ControllerOptions) -> BoxFuture<'static, Result<()>> {
        missing("a controller")
    }

    fn worker(&self, _: WorkerOptions) -> BoxFuture<'static, Result<()>> {
        missing("a worker")
    }

    fn shim(&self, _: PathBuf) -> u8 {
        1
    }

    fn verify_backup(&self, _: PathBuf) -> BoxFuture<'static, Result<serde_json::Value>> {
        missing("a check of a backup")
    }

    fn restore_backup(&self, _: RestoreOptions) -> BoxFuture<'static, Result<serde_json::Value>> {
        missing("a restore")
    }
}
