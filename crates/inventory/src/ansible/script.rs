//! Inventories that a program prints. It is the user's code: it runs as this user, with this environment.

use super::{
    builder::Builder,
    data::{Data, Key, Map},
    yaml,
};
use base::{Error, Result};
use futures::{StreamExt, TryStreamExt, stream};
use indexmap::{IndexMap, IndexSet};
use rt::process;
use std::{path::Path, time::Duration};

/// How many questions about single hosts are open at once.
const AT_ONCE: usize = 4;

/// What a program said.
pub(super) struct Said {
    groups: Data,
    /// The variables of each host.
    hosts: IndexMap<String, Data>,
}

/// Asks a program for its groups (`--list`), and where these come without `_meta.hostvars` for each host (`--host NAME`).
/// Each run may take as long as `limit`.
pub(super) async fn run(program: &Path, directory: &Path, limit: Duration) -> Result<Said> {
    let name = program.display().to_string();
    let groups: Data = ask(program, directory, &["--list"], limit).await?;
    let Data::Map(map) = &groups else {
        return Err(Error::invalid(
            name,
            format!("--list must print a map of groups, not {}", groups.kind()),
        ));
    };
    let hosts = hosts_of(map);
    let hosts = if let Some(told) = groups.get("_meta").and_then(|meta| meta.get("hostvars")) {
        hosts.into_iter().filter_map(|host| told.get(&host).cloned().map(|vars| (host, vars))).collect()
    } else {
        let asked = stream::iter(hosts.into_iter().map(|host| async {
            let vars = ask(program, directory, &["--host", &host], limit).await?;
            Ok::<_, Error>((host, vars))
        }));
        asked.buffered(AT_ONCE).try_collect::<Vec<_>>().await?.into_iter().collect()
    };
    Ok(Said { groups, hosts })
}

async fn ask(program: &Path, directory: &Path, args: &[&str], limit: Duration) -> Result<Data> {
    let name = format!("{} {}", program.display(), args.join(" "));
    let mut command = process::command(program);
    command.args(args).current_dir(directory);
    let output = process::run(command, limit).await.map_err(|e| e.at(name.as_str()))?;
    if args[0] == "--list" {
        return serde_json::from_str(&output.stdout)
            .map_err(|e| Error::invalid(name, "what it prints is not JSON").because(e));
    }
    yaml::read(&name, &output.stdout)
}

/// The hosts that the groups name, each once.
fn hosts_of(groups: &Map) -> IndexSet<String> {
    let mut hosts = IndexSet::new();
    for (group, entry) in groups.iter().filter(|(name, _)| name.text != "_meta") {
        let Data::List(list) = members(&group.text, &entry.value).0 else { continue };
        hosts.extend(list.into_iter().filter_map(|host| match host {
            Data::Text(name) => Some(name),
            _ => None,
        }));
    }
    hosts
}

/// The hosts, variables and children of a group. A list alone is its hosts; a map without any of the three names is the
/// variables of one host that has the name of the group.
fn members(group: &str, data: &Data) -> (Data, Option<Data>, Option<Data>) {
    let Data::Map(map) = data else { return (data.clone(), None, None) };
    let part = |name: &str| map.get(&Key::text(name)).map(|entry| entry.value.clone());
    if ["hosts", "vars", "children"].iter().all(|name| part(name).is_none()) {
        return (Data::List(vec![Data::Text(group.to_owned())]), Some(data.clone()), None);
    }
    (part("hosts").unwrap_or(Data::List(Vec::new())), part("vars"), part("children"))
}

/// Adds what the program said.
pub(super) fn read(path: &str, said: Said, builder: &mut Builder) -> Result<()> {
    let Data::Map(groups) = &said.groups else { return Ok(()) };
    for (name, entry) in groups.iter().filter(|(name, _)| name.text != "_meta") {
        add(path, &name.text, &entry.value, builder)?;
    }
    for (host, vars) in said.hosts {
        match vars {
            Data::Map(vars) => {
                for (name, entry) in vars {
                    builder.set(&host, &name.text, entry.value.into()).map_err(|e| e.at(path))?;
                }
            }
            Data::Null => {}
            other => {
                let message = format!("the variables of '{host}' must be a map and are {}", other.kind());
                return Err(Error::invalid(path, message));
            }
        }
    }
    Ok(())
}

fn add(path: &str, name: &str, data: &Data, builder: &mut Builder) -> Result<()> {
    let wrong = |what: &str, data: &Data| {
        Error::invalid(path, format!("{what} of the group '{name}' cannot be {}", data.kind()))
    };
    let group = builder.add_group(name)?;
    let (hosts, vars, children) = members(name, data);
    let Data::List(hosts) = hosts else { return Err(wrong("hosts", &hosts)) };
    for host in hosts {
        let Data::Text(host) = host else { return Err(wrong("a host", &host)) };
        builder.add_host(&host, group, None)?;
    }
    match vars {
        None => {}
        Some(Data::Map(vars)) => {
            for (key, entry) in vars {
                builder.set(name, &key.text, entry.value.into()).map_err(|e| e.at(path))?;
            }
        }
        Some(other) => return Err(wrong("the variables", &other)),
    }
    match children {
        None => {}
        Some(Data::List(children)) => {
            for child in children {
                let Data::Text(child) = child else { return Err(wrong("a child", &child)) };
                let child = builder.add_group(&child)?;
                builder.add_child(group, child).map_err(|e| e.at(path))?;
            }
        }
        Some(other) => return Err(wrong("the children", &other)),
    }
    Ok(())
}
