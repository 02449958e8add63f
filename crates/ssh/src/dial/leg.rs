//! The hosts on the way, the nearest first, and the one that is meant last.

use super::{Core, Target, Transport};
use crate::config::{Hop, HostConfig, Proxy};
use base::{Code, Error, Result, Secret};
use std::sync::Arc;

/// More hosts in a row are taken for a circle.
const LONGEST: usize = 16;

/// A host on the way, and what its configuration says.
#[derive(Clone, Debug)]
pub(super) struct Leg {
    pub(super) target: Target,
    pub(super) host: Arc<HostConfig>,
    pub(super) transport: Transport,
}

/// What two connections have in common that can stand for each other: all but what people call the host.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    host: HostConfig,
    host_keys: Vec<String>,
    password: Option<String>,
    transport: Transport,
}

impl Leg {
    pub(super) fn key(&self) -> Key {
        // The program `ssh` resolves the name again, so it must stay.
        let name = match self.transport {
            Transport::Native => String::new(),
            Transport::OpenSsh => self.target.host.clone(),
        };
        Key {
            host: HostConfig { host: name, ..HostConfig::clone(&self.host) },
            host_keys: self.target.host_keys.clone(),
            password: self.target.password.as_ref().map(Secret::expose_secret).map(str::to_owned),
            transport: self.transport,
        }
    }

    /// `web1`, as people call it.
    pub(super) fn name(&self) -> &str {
        &self.target.host
    }
}

impl Core {
    /// The way to a host. Where `ssh` reaches it, it goes the whole way by itself.
    pub(super) async fn legs(&self, target: &Target) -> Result<Vec<Leg>> {
        let mut legs = vec![self.leg(target.clone()).await?];
        while let Some(before) = legs.last().and_then(jump) {
            let leg = self.leg(before).await?;
            let nearest = &legs[legs.len() - 1];
            if legs.len() == LONGEST || is_same_login(&leg.host, &nearest.host) {
                return Err(Error::new(
                    Code::Invalid,
                    format!("the way to {} goes in a circle", target.host),
                )
                .because(format!("{} is reached over {}", nearest.name(), leg.name()))
                .hint("exclude the jump host from its own ProxyJump: Host * !JUMPHOST"));
            }
            legs.push(leg);
        }
        legs.reverse();
        Ok(legs)
    }

    async fn leg(&self, target: Target) -> Result<Leg> {
        let config = Arc::clone(&self.config.lock());
        let host = config.resolve(&target.query()?).await?;
        let needed = || (!host.only_openssh.is_empty()).then_some(Transport::OpenSsh);
        let transport = target.transport.or(self.options.transport).or_else(needed);
        Ok(Leg { target, host, transport: transport.unwrap_or(Transport::Native) })
    }
}

/// The host before this one, which has a configuration of its own; the first of several may itself be behind another.
fn jump(leg: &Leg) -> Option<Target> {
    let Proxy::Jump(hops) = &leg.host.proxy else { return None };
    if leg.transport == Transport::OpenSsh {
        return None;
    }
    let (last, rest) = hops.split_last()?;
    let mut target = Target { user: last.user.clone(), port: last.port, ..Target::new(last.host.clone()) };
    if !rest.is_empty() {
        let rest = rest.iter().map(Hop::to_string).collect::<Vec<_>>().join(",");
        target.options.push(("ProxyJump".into(), rest.replace('%', "%%")));
    }
    Some(target)
}

fn is_same_login(a: &HostConfig, b: &HostConfig) -> bool {
    (&a.host_name, a.port, &a.user) == (&b.host_name, b.port, &b.user)
}
