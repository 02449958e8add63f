//! What `cli` may start.

use crate::{control, dev, work};
use base::{Error, Result};
use cli::{ControllerOptions, Daemons, DevOptions, RestoreOptions, WorkerOptions};
use futures::future::BoxFuture;
use std::path::PathBuf;

/// All parts of this program.
pub struct Parts;

impl Daemons for Parts {
    fn dev(&self, options: DevOptions) -> BoxFuture<'static, Result<()>> {
        Box::pin(dev::run(options))
    }

    fn controller(&self, options: ControllerOptions) -> BoxFuture<'static, Result<()>> {
        Box::pin(control::run(options))
    }

    fn worker(&self, options: WorkerOptions) -> BoxFuture<'static, Result<()>> {
        Box::pin(work::run(options))
    }

    fn shim(&self, dir: PathBuf) -> u8 {
        worker::shim::run(&dir)
    }

    fn verify_backup(&self, file: PathBuf) -> BoxFuture<'static, Result<serde_json::Value>> {
        Box::pin(async move {
            let manifest = rt::task::blocking(move || store::sqlite::verify(&file)).await??;
            serde_json::to_value(manifest)
                .map_err(|e| Error::internal("the manifest cannot be shown").because(e))
        })
    }

    fn restore_backup(&self, options: RestoreOptions) -> BoxFuture<'static, Result<serde_json::Value>> {
        Box::pin(control::restore(options))
    }
}
