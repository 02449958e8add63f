//! Reaching hosts as OpenSSH does: by its configuration, its known hosts and its keys.

mod identity;
mod options;
mod pace;
mod pool;
mod target;
mod tcp;

pub use options::{DialOptions, HostKeyPolicy};
pub use target::Target;

use crate::{
    Connection,
    algorithms::Algorithms,
    config::{Config, HostConfig, NewHostKeys, Proxy, Surroundings},
    connection::State,
    handshake::{Handshake, Keepalive},
    host_key::{Checker, KnownCheck, Pinned},
    known_hosts::{self, KnownHosts},
    options::HostKeyCheck,
};
use base::{Code, Error, Result};
use identity::Identities;
use pace::Pacer;
use pool::Pool;
use std::{sync::Arc, time::Duration};
use tokio::{net::TcpStream, sync::OwnedSemaphorePermit};

/// How a server that goes silent is noticed, where no configuration says.
const KEEPALIVE: Keepalive = Keepalive { interval: Duration::from_secs(15), most: 3 };
/// Signatures of authorities that count, where no configuration says (ssh_config(5), `CASignatureAlgorithms`).
const AUTHORITY_ALGORITHMS: [&str; 8] = [
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
    "rsa-sha2-512",
    "rsa-sha2-256",
];

/// Opens connections and keeps them: whoever asks for the same host gets the same connection, as long as it lives.
/// Cheap to clone; the connections end with the last clone, unless somebody still holds them.
#[derive(Clone)]
pub struct Dialer(Arc<Inner>);

struct Inner {
    config: Config,
    options: DialOptions,
    pool: Pool,
    pacer: Pacer,
    identities: Identities,
}

impl Dialer {
    /// Reads the configuration.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn new(me: &Surroundings, options: DialOptions) -> Result<Self> {
        let config = Config::load(&options.files, me)?;
        let (pool, pacer, identities) = (Pool::default(), Pacer::default(), Identities::default());
        Ok(Dialer(Arc::new(Inner { config, options, pool, pacer, identities })))
    }

    /// What the configuration says about a host.
    ///
    /// # Errors
    /// As [`Config::resolve`].
    pub fn resolve(&self, target: &Target) -> Result<HostConfig> {
        self.0.config.resolve(&target.query()?)
    }

    /// A connection to the host: one that is open, or a new one. Many may ask at once, and one of them dials.
    ///
    /// # Errors
    /// [`Code::Forbidden`] for a host key that is not known, or another than is known; [`Code::Unauthenticated`] for a
    /// refused login; [`Code::Timeout`] and [`Code::Unavailable`] for a host that cannot be reached; [`Code::Invalid`]
    /// for a configuration that cannot be.
    pub async fn connect(&self, target: &Target) -> Result<Connection> {
        let host = self.resolve(target)?;
        let key = pool::Key::new(&host, target);
        self.0.pool.get(key, || self.0.dial(target, &host)).await
    }

    /// The key that the host shows now, as one line, whatever is known of it. Nobody logs in, and nothing is kept.
    ///
    /// # Errors
    /// As [`Self::connect`], where the host cannot be reached.
    pub async fn host_key(&self, target: &Target) -> Result<String> {
        let host = self.resolve(target)?;
        let limit = self.0.limit(&host);
        let stream = self.0.open(&host, limit).await?;
        Connection::show_key(stream.0, Algorithms::of(&host)?, limit).await
    }

    /// Believes this key of the host from now on, and no other: for a machine that was installed anew. Returns how many
    /// lines of the user's file were changed.
    ///
    /// # Errors
    /// Where the file cannot be written; [`Code::Invalid`] where the configuration names none.
    pub async fn trust(&self, target: &Target, key: &str) -> Result<usize> {
        let host = self.resolve(target)?;
        let key = crate::check_public_key(key)?;
        let path = host.user_known_hosts.first().cloned().ok_or_else(|| {
            Error::new(Code::Invalid, format!("no file keeps the host keys of {}", host.host))
                .hint("name one in the SSH configuration: UserKnownHostsFile")
        })?;
        let (name, port) = known_name(&host);
        let (name, hash) = (known_hosts::host_name(&name, port), host.hash_known_hosts);
        rt::task::blocking(move || known_hosts::replace(&path, &name, &[key], hash)).await?
    }
}

impl Inner {
    fn limit(&self, host: &HostConfig) -> Duration {
        host.connect_timeout.unwrap_or(self.options.connect_timeout)
    }

    /// The way to the server, and the turn at it that lasts until the login.
    async fn open(&self, host: &HostConfig, limit: Duration) -> Result<(TcpStream, OwnedSemaphorePermit)> {
        if host.proxy != Proxy::Direct {
            return Err(Error::internal("hosts behind others are not reached yet"));
        }
        let addresses = tcp::addresses(host, limit).await?;
        let permit = self.pacer.permit(&addresses).await?;
        Ok((tcp::connect(host, &addresses, limit).await?, permit))
    }

    async fn dial(&self, target: &Target, host: &HostConfig) -> Result<Connection> {
        let limit = self.limit(host);
        let setup = self.handshake(target, host, limit)?;
        let state = Arc::<State>::default();
        let (stream, _permit) = self.open(host, limit).await?;
        let connection = Connection::establish(stream, setup, &state).await?;
        self.keep_new_key(host, &state).await?;
        Ok(connection)
    }

    fn handshake(&self, target: &Target, host: &HostConfig, limit: Duration) -> Result<Handshake> {
        let keepalive = match host.server_alive_interval {
            Some(interval) => Keepalive { interval, most: host.server_alive_count_max },
            None => KEEPALIVE,
        };
        Ok(Handshake {
            user: host.user.clone(),
            auth: self.identities.auth(target, host)?,
            checker: self.checker(target, host)?,
            algorithms: Algorithms::of(host)?,
            connect_timeout: limit,
            keepalive: Some(keepalive),
        })
    }

    fn checker(&self, target: &Target, host: &HostConfig) -> Result<Checker> {
        if !target.host_keys.is_empty() {
            let check = HostKeyCheck::Pinned(target.host_keys.clone());
            return Pinned::new(&check).map(Checker::Pinned);
        }
        let authorities = match &host.ca_signature_algorithms {
            Some(list) => list.apply(&AUTHORITY_ALGORITHMS, &AUTHORITY_ALGORITHMS),
            None => AUTHORITY_ALGORITHMS.to_vec(),
        };
        let (name, port) = known_name(host);
        Ok(Checker::Known(Box::new(KnownCheck {
            node: target.host.clone(),
            name,
            port,
            book: Arc::new(book(host)?),
            accept_new: self.accepts_new(host),
            authority_algorithms: authorities.into_iter().map(str::to_owned).collect(),
        })))
    }

    fn accepts_new(&self, host: &HostConfig) -> bool {
        match self.options.host_keys {
            Some(HostKeyPolicy::Strict) => false,
            Some(HostKeyPolicy::FirstUse) => true,
            None => host.new_host_keys == NewHostKeys::Accept,
        }
    }

    async fn keep_new_key(&self, host: &HostConfig, state: &State) -> Result<()> {
        let (Some(key), Some(path)) = (state.new_host_key.get(), host.user_known_hosts.first()) else {
            return Ok(());
        };
        let (name, port) = known_name(host);
        let (path, key, hash) = (path.clone(), key.clone(), host.hash_known_hosts);
        let name = known_hosts::host_name(&name, port);
        rt::task::blocking(move || known_hosts::add(&path, &name, &key, hash)).await?
    }
}

/// The name and port under which the keys of a host are known.
fn known_name(host: &HostConfig) -> (String, u16) {
    match &host.host_key_alias {
        Some(alias) => (alias.clone(), 22),
        None => (host.host_name.to_ascii_lowercase(), host.port),
    }
}

fn book(host: &HostConfig) -> Result<KnownHosts> {
    let paths = host.user_known_hosts.iter().chain(&host.global_known_hosts);
    let files = paths.map(|path| known_hosts::File::read(path).map(Arc::new)).collect::<Result<_>>()?;
    Ok(KnownHosts { files })
}

impl std::fmt::Debug for Dialer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dialer").field("connections", &self.0.pool.len()).finish_non_exhaustive()
    }
}

/// The error of a host that cannot be reached.
fn unreachable(host: &HostConfig, why: impl std::fmt::Display) -> Error {
    Error::new(Code::Unavailable, format!("cannot reach {} at {}:{}", host.host, host.host_name, host.port))
        .because(why)
        .hint("check that the machine is up, its address and port, and that its SSH server runs")
}
