//! Addresses by name resolution, as this host does it (/etc/hosts, DNS, ...).

use super::{Answers, Source};
use crate::Node;
use base::Result;
use futures::{FutureExt, StreamExt, future::BoxFuture, stream};
use serde_json::Value;
use std::{net::IpAddr, time::Duration};

/// Lookups at a time.
const AT_ONCE: usize = 32;
/// For a node without an address there is nothing better than to wait.
const PATIENCE: Duration = Duration::from_secs(10);
/// For one that has an address, the answer is only compared with it.
const COMPARING: Duration = Duration::from_secs(2);

/// `host_ip` from `hostname`. A name that cannot be resolved gives none. A node's own name is not looked up: the SSH
/// configuration may know it as something else.
#[derive(Clone, Copy, Debug)]
pub struct HostIp;

impl Source for HostIp {
    fn name(&self) -> &'static str {
        "resolver"
    }

    fn properties(&self) -> &'static [&'static str] {
        &["host_ip"]
    }

    fn ask<'a>(&'a self, _: &'a str, nodes: &'a [&'a Node]) -> BoxFuture<'a, Result<Answers>> {
        let lookups = nodes.iter().filter_map(|node| {
            let (host, limit) = question(node)?;
            Some(async move { Some((node.name.clone(), addresses(host, limit).await?)) })
        });
        let lookups: Vec<_> = lookups.collect();
        async { Ok(stream::iter(lookups).buffer_unordered(AT_ONCE).filter_map(async |a| a).collect().await) }
            .boxed()
    }
}

/// The name to look up, and how long to wait.
fn question(node: &Node) -> Option<(&str, Duration)> {
    let hostname = node.text("hostname").filter(|_| !node.flag("local_node"))?;
    Some((hostname, if node.metadata.contains_key("host_ip") { COMPARING } else { PATIENCE }))
}

async fn addresses(host: &str, limit: Duration) -> Option<Vec<Value>> {
    let lookup = rt::clock::timeout(limit, host, tokio::net::lookup_host((host, 0))).await;
    let mut found: Vec<IpAddr> = match lookup {
        Ok(Ok(found)) => found.map(|address| address.ip()).collect(),
        // Who has an address misses nothing.
        Err(e) if limit == COMPARING => {
            tracing::debug!(host, error = %e, "not compared");
            return None;
        }
        Ok(Err(e)) => {
            tracing::debug!(host, error = %e, "not resolved");
            return None;
        }
        Err(e) => {
            tracing::warn!(host, error = %e, "not resolved");
            return None;
        }
    };
    // A node is reached at one address: IPv4 where both are there, as most inventories write it.
    found.sort_by_key(IpAddr::is_ipv6);
    found.dedup();
    Some(found.into_iter().map(|ip| ip.to_string().into()).collect())
}
