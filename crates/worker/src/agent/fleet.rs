//! Many synthetic workers in one process, each with a link of its own: for `dev --synthetic`, load and benchmarks.

use super::{AgentOptions, RunOptions, Worker};
use api::{meta::Labels, worker::Amounts};
use base::{Error, Name, Result, Secret};
use futures::{StreamExt, TryStreamExt};
use std::time::Duration;

/// Workers that join at the same time.
const AT_ONCE: usize = 16;

/// One kind of synthetic worker.
#[derive(Clone, Debug, Default)]
pub struct Shape {
    /// What it has.
    pub capacity: Amounts,
    /// Its labels.
    pub labels: Labels,
    /// The architecture it claims; `None`: this host's.
    pub arch: Option<String>,
}

/// A fleet to start.
#[derive(Clone, Debug)]
pub struct FleetOptions {
    /// The controller.
    pub url: String,
    /// A join token that may be used as often as there are workers.
    pub join_token: Secret,
    /// How many.
    pub count: usize,
    /// Their names: this, `-` and a number from 1.
    pub prefix: String,
    /// Their shapes, in turn. At least one.
    pub shapes: Vec<Shape>,
    /// How often each says that it lives.
    pub heartbeat: Duration,
}

/// Synthetic workers that run. Dropping it ends them.
#[derive(Debug)]
pub struct Fleet {
    /// The workers.
    pub workers: Vec<Worker>,
}

impl Fleet {
    /// Joins them all. They are online some moments later.
    ///
    /// # Errors
    /// The first worker that cannot join.
    pub async fn start(options: FleetOptions) -> Result<Self> {
        if options.shapes.is_empty() {
            return Err(Error::internal("a fleet needs at least one shape"));
        }
        rt::process::raise_file_limit(); // each worker has two connections
        let starts = (0..options.count).map(|i| {
            let run = options.worker(i);
            async move { Worker::start(run?).await }
        });
        let workers = futures::stream::iter(starts).buffered(AT_ONCE).try_collect().await?;
        Ok(Fleet { workers })
    }

    /// Waits until all links are up.
    pub async fn connected(&self) {
        for worker in &self.workers {
            worker.connected().await;
        }
    }
}

impl FleetOptions {
    fn worker(&self, i: usize) -> Result<RunOptions> {
        let shape = &self.shapes[i % self.shapes.len()];
        let name = Name::new(format!("{}-{}", self.prefix, i + 1));
        Ok(RunOptions {
            agent: AgentOptions {
                labels: shape.labels.clone(),
                arch: shape.arch.clone(),
                heartbeat: self.heartbeat,
                ..AgentOptions::synthetic(shape.capacity.clone())
            },
            name: name.map_err(|e| Error::invalid("prefix", e.to_string()))?,
            url: Some(self.url.clone()),
            join_token: Some(self.join_token.clone()),
        })
    }
}
