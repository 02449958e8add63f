//! The hosts that an SSH configuration names by `Host` lines without patterns.
//!
//! The configuration goes on to say how they are reached: `ssh_alias` is the name that it knows them by, `ssh_config` the
//! file where it is not the usual one. What else is known of them here is for people and expressions.

use super::Found;
use crate::{Metadata, Node, Options};
use base::Result;
use serde_json::Value;
use ssh::config::{Config, Files, HostConfig, Proxy, Query};
use std::path::Path;

/// The port that nobody mentions.
const USUAL_PORT: u16 = 22;

/// Reads a file and what it includes; without one, the configuration that counts for this command.
pub fn read(path: Option<&Path>, options: &Options) -> Result<Found> {
    let files = path.map_or_else(|| options.ssh_files.clone(), |path| Files::Only(path.to_owned()));
    let config = Config::load(&files, &options.me)?;
    let nodes = config.named().into_iter().map(|named| {
        // Whether the whole of it can be understood is for those who connect.
        let host = config.resolve_alone(&Query::new(&named.name)).ok();
        let mut metadata = host.map(|host| describe(&host, &options.me.user)).unwrap_or_default();
        metadata.insert("ssh_alias".into(), named.name.clone().into());
        if let Some(path) = path {
            metadata.insert("ssh_config".into(), path.display().to_string().into());
        }
        Node { name: named.name, metadata, origin: named.place, ..Node::default() }
    });
    Ok(Found { nodes: nodes.collect(), ..Found::default() })
}

fn describe(host: &HostConfig, me: &str) -> Metadata {
    let gateway = match &host.proxy {
        Proxy::Jump(hops) => Some(hops.iter().map(ToString::to_string).collect::<Vec<_>>().join(",").into()),
        Proxy::Direct | Proxy::Command(_) => None,
    };
    let said: [(&str, Option<Value>); 4] = [
        ("hostname", (host.host_name != host.host).then(|| host.host_name.clone().into())),
        ("ssh_port", (host.port != USUAL_PORT).then(|| host.port.into())),
        ("ssh_user", (host.user != me).then(|| host.user.clone().into())),
        ("gateway", gateway),
    ];
    said.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect()
}
