//! Reaching hosts as OpenSSH does: by its configuration, its known hosts and its keys.

mod identity;
mod keys;
mod leg;
mod options;
mod pace;
mod pool;
mod stream;
mod target;
mod tcp;
mod way;

pub use options::{DialOptions, HostKeyPolicy};
pub use pool::Pool;
pub use target::{Target, Transport};

use crate::{
    Connection,
    config::{Config, HostConfig, Surroundings},
    known_hosts::Books,
};
use base::{Code, Error, Result};
use identity::Identities;
use leg::Leg;
use pace::Pacer;
use parking_lot::Mutex;
use std::{fmt, path::PathBuf, sync::Arc};

/// Opens connections and keeps them: whoever asks for the same host gets the same connection, as long as it lives.
/// Cheap to clone; the connections end with the last clone, unless somebody still holds them.
///
/// **Sharing.** All hosts behind a jump host share one connection to it, so a command whose output nobody reads holds up
/// the others after a while ([`Connection`]): read what comes, or close it.
#[derive(Clone)]
pub struct Dialer(Arc<Inner>);

struct Inner {
    core: Arc<Core>,
    pool: Pool,
}

/// All that opens connections. What is open may hold it, so it holds nothing that is open.
struct Core {
    config: Mutex<Arc<Config>>,
    /// The agent of the surroundings.
    agent: Option<PathBuf>,
    options: DialOptions,
    pacer: Pacer,
    identities: Identities,
    books: Books,
}

impl Dialer {
    /// Reads the configuration.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn new(me: &Surroundings, options: DialOptions) -> Result<Self> {
        Self::sharing(Pool::default(), me, options)
    }

    /// As [`Self::new`], with connections that others have opened and may keep.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn sharing(pool: Pool, me: &Surroundings, options: DialOptions) -> Result<Self> {
        let config = Mutex::new(Arc::new(Config::load(&options.files, me)?));
        let identities = Identities::new(Arc::clone(&options.answers));
        let (agent, pacer, books) = (me.agent.clone(), Pacer::default(), Books::default());
        let core = Arc::new(Core { config, agent, options, pacer, identities, books });
        Ok(Dialer(Arc::new(Inner { core, pool })))
    }

    /// Reads the configuration again, for whoever lives long. Connections that are open stay; a host that is now reached
    /// in another way gets a new one.
    ///
    /// # Errors
    /// As [`Config::load`]; what was known before then still counts.
    pub fn reload(&self) -> Result<()> {
        let config = Arc::clone(&self.0.core.config.lock());
        if let Some(new) = config.reload()? {
            *self.0.core.config.lock() = Arc::new(new);
        }
        Ok(())
    }

    /// What the configuration says about a host.
    ///
    /// # Errors
    /// As [`Config::resolve`].
    pub async fn resolve(&self, target: &Target) -> Result<Arc<HostConfig>> {
        let config = Arc::clone(&self.0.core.config.lock());
        config.resolve(&target.query()?).await
    }

    /// A connection to the host: one that is open, or a new one. Many may ask at once, and one of them dials.
    ///
    /// # Errors
    /// [`Code::Forbidden`] for a host key that is not known, or another than is known; [`Code::Unauthenticated`] for a
    /// refused login; [`Code::Timeout`] and [`Code::Unavailable`] for a host that cannot be reached; [`Code::Invalid`]
    /// for a configuration that cannot be.
    pub async fn connect(&self, target: &Target) -> Result<Connection> {
        let legs = self.0.core.legs(target).await?;
        let connection = self.0.connect(&legs).await?;
        connection.ok_or_else(|| Error::internal("a way without a host"))
    }

    /// The key that the host shows now, as one line, whatever is known of it. Nobody logs in there, and nothing is kept.
    ///
    /// # Errors
    /// As [`Self::connect`], where the host cannot be reached.
    pub async fn host_key(&self, target: &Target) -> Result<String> {
        let native = Target { transport: Some(Transport::Native), ..target.clone() };
        self.0.host_key(&self.0.core.legs(&native).await?).await
    }

    /// The keys of the host that files know and that it may show, each as one line. Nobody is called. There are none for a
    /// host that an authority vouches for: which key it has is then the authority's affair.
    ///
    /// # Errors
    /// Where a file cannot be read.
    pub async fn known_keys(&self, target: &Target) -> Result<Vec<String>> {
        match self.0.core.legs(target).await?.last() {
            Some(leg) => self.0.core.known_keys(&leg.host),
            None => Ok(Vec::new()),
        }
    }

    /// Believes this key of the host from now on, and no other: for a machine that was installed anew. Returns how many
    /// lines of the user's file were changed.
    ///
    /// # Errors
    /// Where the file cannot be written; [`Code::Invalid`] where the configuration names none.
    pub async fn trust(&self, target: &Target, key: &str) -> Result<usize> {
        let legs = self.0.core.legs(target).await?;
        match legs.last() {
            Some(leg) => self.0.core.trust(leg, key).await,
            None => Ok(0),
        }
    }

    /// Says goodbye on all connections. Whoever connects later dials again.
    pub async fn close(&self) {
        self.0.pool.close().await;
    }
}

impl fmt::Debug for Dialer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dialer").field("pool", &self.0.pool).finish_non_exhaustive()
    }
}

/// The error of a host that cannot be reached.
fn unreachable(host: &HostConfig, why: impl fmt::Display) -> Error {
    Error::new(Code::Unavailable, format!("cannot reach {} at {}:{}", host.host, host.host_name, host.port))
        .because(why)
        .hint("check that the machine is up, its address and port, and that its SSH server runs")
}
