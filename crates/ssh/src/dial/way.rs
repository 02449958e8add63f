//! From a host that is resolved to a connection that is logged in.

use super::{
    Core, HostKeyPolicy, Inner, Leg, Transport,
    stream::{Open, Place},
};
use crate::{
    Connection,
    algorithms::Algorithms,
    auth::{Login, Step},
    config::{HostConfig, NewHostKeys},
    connection::{
        State, Way,
        handshake::{Handshake, Keepalive},
        knock::Knock,
        native::{Native, WAITING_OF_MANY},
    },
    program::{self, Master},
};
use base::{Error, Result};
use futures::future::BoxFuture;
use std::{net::IpAddr, sync::Arc, time::Duration};

/// How a server that goes silent is noticed, where no configuration says.
const KEEPALIVE: Keepalive = Keepalive { interval: Duration::from_secs(15), most: 3 };

impl Inner {
    /// The connection to the last host, over all before it; `None` for a way without hosts.
    pub(super) async fn connect(&self, legs: &[Leg]) -> Result<Option<Connection>> {
        let mut before = None;
        for leg in legs {
            let open = || self.open(leg, before.as_ref());
            before = Some(match self.pool.get(leg.key(), open).await {
                Ok(connection) => connection,
                Err(e) => return Err(on_the_way(e, leg, legs)),
            });
        }
        Ok(before)
    }

    /// The key that the last host shows.
    pub(super) async fn host_key(&self, legs: &[Leg]) -> Result<String> {
        let Some((leg, way)) = legs.split_last() else { return Ok(String::new()) };
        let before = self.connect(way).await?;
        let limit = self.core.limit(&leg.host);
        let place = Place::find(leg, before.as_ref(), limit).await?;
        let _turn = self.core.pacer.turn(place.server(leg)).await?;
        let open = place.open(leg, limit).await?;
        Native::show_key(open.stream, Algorithms::of(&leg.host)?, limit).await
    }

    /// A new connection, which opens others like itself where one is not enough.
    async fn open(&self, leg: &Leg, before: Option<&Connection>) -> Result<Connection> {
        let way = self.core.way(leg, before).await?;
        let (core, leg, before) = (Arc::clone(&self.core), leg.clone(), before.cloned());
        let environment = leg.host.environment.clone();
        let more = Box::new(move || {
            let (core, leg, before) = (Arc::clone(&core), leg.clone(), before.clone());
            let opening = async move { core.way(&leg, before.as_ref()).await };
            Box::pin(opening) as BoxFuture<'static, Result<Way>>
        });
        Ok(Connection::new(way, environment, Some(more)))
    }
}

impl Core {
    async fn way(&self, leg: &Leg, before: Option<&Connection>) -> Result<Way> {
        match leg.transport {
            // Boxed: handshakes are large, and whoever waits for one need not be.
            Transport::Native => Ok(Way::Native(Arc::new(Box::pin(self.native(leg, before)).await?))),
            Transport::OpenSsh => Ok(Way::Program(Box::pin(self.program(leg)).await?)),
        }
    }

    fn limit(&self, host: &HostConfig) -> Duration {
        host.connect_timeout.unwrap_or(self.options.connect_timeout)
    }

    async fn native(&self, leg: &Leg, before: Option<&Connection>) -> Result<Native> {
        let mut knock = Knock::new();
        loop {
            let state = Arc::<State>::default();
            let again = if knock.was_dropped() { Some(self.pacer.again().await?) } else { None };
            let tried = self.attempt(leg, before, &state).await;
            drop(again);
            match tried {
                Err(e) if knock.again(&state).await => {
                    tracing::debug!(host = leg.name(), error = %e, "the server hung up, knocking again");
                }
                tried => return tried,
            }
        }
    }

    async fn attempt(&self, leg: &Leg, before: Option<&Connection>, state: &Arc<State>) -> Result<Native> {
        let limit = self.limit(&leg.host);
        let login = self.login(leg).await?;
        let place = Place::find(leg, before, limit).await?;
        let _turn = self.pacer.turn(place.server(leg)).await?;
        let Open { stream, address } = place.open(leg, limit).await?;
        let setup = self.handshake(leg, login, address, limit)?;
        let native = Native::establish(stream, setup, state).await?;
        self.keep_new_names(&leg.host, state).await?;
        Ok(native)
    }

    fn handshake(
        &self,
        leg: &Leg,
        login: Login,
        address: Option<IpAddr>,
        limit: Duration,
    ) -> Result<Handshake> {
        let host = &leg.host;
        let keepalive = match host.server_alive_interval {
            Some(interval) => Keepalive { interval, most: host.server_alive_count_max },
            None => KEEPALIVE,
        };
        Ok(Handshake {
            login,
            checker: self.checker(leg, address)?,
            algorithms: Algorithms::of(host)?,
            connect_timeout: limit,
            keepalive: Some(keepalive),
            waiting: WAITING_OF_MANY,
        })
    }

    /// What is tried, in the order of the configuration (`PreferredAuthentications`).
    async fn login(&self, leg: &Leg) -> Result<Login> {
        let host = &leg.host;
        let usual = ["publickey", "keyboard-interactive", "password"].map(str::to_owned);
        let order = host.preferred_authentications.as_deref().unwrap_or(&usual);
        let mut steps = Vec::new();
        for method in order {
            match method.as_str() {
                "publickey" => steps.extend(self.identities.steps(host, self.agent.as_deref()).await?),
                "password" if host.password_authentication => steps.extend(self.password(leg)),
                "keyboard-interactive" if host.kbd_interactive_authentication => {
                    steps.extend(self.interactive(leg));
                }
                _ => {}
            }
        }
        let answers = Arc::clone(&self.options.answers);
        // Those that the target names are the first, and those of the configuration may well be missing.
        let named = host.identity_files.iter().take(leg.target.identity_files.len());
        let keyless = named.filter(|file| !self.identities.is_key(file)).cloned().collect();
        Ok(Login { user: host.user.clone(), host: leg.name().to_owned(), steps, keyless, answers })
    }

    /// Whether somebody may be asked, how often.
    fn prompts(&self, host: &HostConfig) -> Option<u32> {
        (self.options.answers.is_there() && !host.batch_mode).then_some(host.number_of_password_prompts)
    }

    fn password(&self, leg: &Leg) -> Option<Step> {
        match &leg.target.password {
            Some(password) => Some(Step::Password(password.clone())),
            None => self.prompts(&leg.host).map(Step::AskPassword),
        }
    }

    fn interactive(&self, leg: &Leg) -> Option<Step> {
        match &leg.target.password {
            Some(password) => Some(Step::Interactive(password.clone())),
            None => self.prompts(&leg.host).map(Step::AskInteractive),
        }
    }

    async fn program(&self, leg: &Leg) -> Result<Arc<Master>> {
        let host = &leg.host;
        let policy = match (self.options.host_keys, host.new_host_keys) {
            (Some(HostKeyPolicy::FirstUse), _) | (None, NewHostKeys::Accept) => "accept-new",
            _ => "yes",
        };
        let host_keys = match leg.target.host_keys.as_slice() {
            [] => program::HostKeys::Policy(policy),
            keys => program::HostKeys::These(keys.to_vec()),
        };
        let way = program::Way {
            node: leg.name().to_owned(),
            files: self.options.files.clone(),
            options: leg.target.query()?.options(),
            host_keys,
        };
        Master::connect(way, leg.target.password.as_ref(), self.limit(host)).await
    }
}

/// An error of a host before the one that is meant.
fn on_the_way(e: Error, leg: &Leg, legs: &[Leg]) -> Error {
    match legs.last().map(Leg::name) {
        Some(meant) if meant != leg.name() => {
            let message = format!("cannot go over {} to {meant}: {}", leg.name(), e.message);
            Error { message, ..e }
        }
        _ => e,
    }
}
