//! Sources that are read when somebody first needs them.

use crate::{Secrets, Source, Surroundings};
use base::Result;
use futures::future::try_join_all;
use tokio::sync::OnceCell;

/// Sources that are read when somebody first needs them, and then once.
#[derive(Debug, Default)]
pub struct Lazy {
    sources: Vec<Source>,
    surroundings: Surroundings,
    read: OnceCell<Secrets>,
}

impl Lazy {
    /// Reads nothing yet.
    pub fn new(sources: Vec<Source>, surroundings: Surroundings) -> Self {
        Lazy { sources, surroundings, read: OnceCell::new() }
    }

    /// The values of all sources, merged.
    ///
    /// # Errors
    /// A source cannot be read, or two disagree; the next call tries again.
    pub async fn get(&self) -> Result<&Secrets> {
        self.read.get_or_try_init(|| self.read()).await
    }

    /// The values, where they were needed already.
    pub fn if_read(&self) -> Option<&Secrets> {
        self.read.get()
    }

    async fn read(&self) -> Result<Secrets> {
        let all = try_join_all(self.sources.iter().map(|s| s.read(&self.surroundings))).await?;
        let mut merged = Secrets::default();
        for secrets in all {
            merged.merge(secrets)?;
        }
        Ok(merged)
    }
}
