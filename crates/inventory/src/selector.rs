//! One way to name nodes.

use crate::{Expression, GitChange, Inventory, Node, words};
use base::{Error, Result};
use regex::Regex;
use serde::{Deserialize, Deserializer, de};
use std::{collections::BTreeSet, fmt, str::FromStr};

/// One way to name nodes. As text: `web1`, `/web[13]/`, `service:web-hello`, `list:front` (or `group:`), `platform:lab`,
/// `where:planet=Mars` (or just `planet=Mars`), `git:PLATFORM:FROM:TO:FLAGS`, `pattern:web:&prod`, `all`; `node:all` is a node that is called so.
#[derive(Clone, Debug)]
pub enum Selector {
    /// Every node.
    All,
    /// The node of this name.
    Node(String),
    /// All whose names the expression matches anywhere.
    Matching(Regex),
    /// The nodes that have this service.
    Service(String),
    /// The nodes of this group or list.
    List(String),
    /// The nodes of this platform.
    Platform(String),
    /// The nodes of which the expression is true.
    Where(Expression),
    /// The nodes that a change in git concerns.
    Impacted(GitChange),
    /// The hosts that a pattern of Ansible selects, on the platforms that are Ansible's.
    Pattern(String),
}

impl Selector {
    /// A name, or between slashes a regular expression over names: `web1`, `/web[13].*/`.
    pub fn node(text: &str) -> Result<Self> {
        if text.is_empty() {
            return Err(Error::new(base::Code::Invalid, "a node's name is not empty"));
        }
        let Some(pattern) = text.strip_prefix('/').and_then(|t| t.strip_suffix('/')) else {
            return Ok(Selector::Node(text.to_owned()));
        };
        Regex::new(pattern).map(Selector::Matching).map_err(|e| {
            Error::new(base::Code::Invalid, format!("'{pattern}' is not a regular expression"))
                .because(e.to_string().lines().last().unwrap_or_default())
                .hint("write one as the crate regex knows them (RE2): no look-around, no back-references")
        })
    }

    /// The names of the nodes that it means. What it names must exist; an expression may be true of none.
    pub async fn names<'a>(&self, inventory: &'a Inventory) -> Result<BTreeSet<&'a str>> {
        let those = |keep: &dyn Fn(&Node) -> bool| -> BTreeSet<&'a str> {
            inventory.nodes.values().filter(|n| keep(n)).map(|n| n.name.as_str()).collect()
        };
        match self {
            Selector::All => Ok(those(&|_| true)),
            Selector::Node(name) => match inventory.nodes.get_key_value(name) {
                Some((name, _)) => Ok([name.as_str()].into()),
                None => Err(no_node(name, inventory)),
            },
            Selector::Matching(pattern) => Ok(those(&|n| pattern.is_match(&n.name))),
            Selector::Service(name) => {
                let found = those(&|n| n.services.contains(name));
                let known = || inventory.nodes.values().flat_map(|n| &n.services);
                if found.is_empty() {
                    Err(unknown("no node has the service", name, known()))
                } else {
                    Ok(found)
                }
            }
            Selector::List(name) => match inventory.groups.get(name) {
                Some(names) => Ok(names.iter().map(String::as_str).collect()),
                None => Err(unknown("there is no list or group", name, inventory.groups.keys())),
            },
            Selector::Platform(name) if inventory.platforms.contains_key(name) => {
                Ok(those(&|n| n.platform == *name))
            }
            Selector::Platform(name) => {
                Err(unknown("there is no platform", name, inventory.platforms.keys()))
            }
            Selector::Where(expression) => Ok(those(&|n| expression.holds(n))),
            Selector::Impacted(change) => {
                let impact = inventory.impact(change).await?;
                Ok(those(&|n| impact.nodes.contains(&n.name)))
            }
            Selector::Pattern(pattern) => {
                if inventory.ansible.is_empty() {
                    return Err(Error::not_found("no platform of this fleet is of type ansible")
                        .hint("patterns are for those; choose by --node, --nodes-list or --where"));
                }
                let mut found = BTreeSet::new();
                for ansible in &inventory.ansible {
                    found.extend(ansible.select(pattern)?);
                }
                Ok(those(&|n| found.contains(n.name.as_str())))
            }
        }
    }
}

fn no_node(name: &str, inventory: &Inventory) -> Error {
    let error = unknown("there is no node", name, inventory.nodes.keys());
    if inventory.groups.contains_key(name) {
        return error.hint(format!("there is a list of this name: --nodes-list {name}"));
    }
    if name.contains(':') {
        return error
            .hint("beside names there are /REGEXP/, service:S, list:L, platform:P, git:P and pattern:P");
    }
    error
}

fn unknown<'a>(what: &str, name: &str, known: impl Iterator<Item = &'a String>) -> Error {
    let known: BTreeSet<&str> = known.map(String::as_str).collect();
    words::hinted(Error::not_found(format!("{what} '{name}'")), name, known)
}

impl FromStr for Selector {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        if text == "all" {
            return Ok(Selector::All);
        }
        if text.starts_with('/') {
            return Selector::node(text);
        }
        let name = |name: &str| -> Result<String> {
            if name.is_empty() {
                return Err(Error::new(base::Code::Invalid, format!("a name is missing in '{text}'")));
            }
            Ok(name.to_owned())
        };
        match text.split_once(':') {
            Some(("node", rest)) => Selector::node(rest),
            Some(("service", rest)) => name(rest).map(Selector::Service),
            Some(("list" | "group", rest)) => name(rest).map(Selector::List),
            Some(("platform", rest)) => name(rest).map(Selector::Platform),
            Some(("where" | "label", rest)) => rest.parse().map(Selector::Where),
            Some(("pattern", rest)) => name(rest).map(Selector::Pattern),
            Some(("git", rest)) => rest.parse().map(Selector::Impacted),
            _ if text.contains(['=', '!', '<', '>', ' ']) => text.parse().map(Selector::Where),
            _ => Selector::node(text),
        }
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Selector::All => f.write_str("all"),
            Selector::Node(name) => write!(f, "node:{name}"),
            Selector::Matching(pattern) => write!(f, "/{pattern}/"),
            Selector::Service(name) => write!(f, "service:{name}"),
            Selector::List(name) => write!(f, "list:{name}"),
            Selector::Platform(name) => write!(f, "platform:{name}"),
            Selector::Where(expression) => write!(f, "where:{expression}"),
            Selector::Impacted(change) => write!(f, "git:{change}"),
            Selector::Pattern(pattern) => write!(f, "pattern:{pattern}"),
        }
    }
}

impl PartialEq for Selector {
    fn eq(&self, other: &Self) -> bool {
        self.to_string() == other.to_string()
    }
}

impl<'de> Deserialize<'de> for Selector {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}
