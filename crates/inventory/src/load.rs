//! From a fleet directory to its inventory.

use crate::{
    FleetFile, Inventory, Platform, PlatformEntry, PlatformType, assign,
    platform::{
        Found, ansible,
        pool::{self, Pool},
        ssh_config, yaml,
    },
    sources::{HostIp, Sources},
    words,
};
use base::{Code, Error, Result};
use ssh::config::{Files, Surroundings};
use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

/// What reading an inventory takes from the surroundings.
#[derive(Clone, Default)]
pub struct Options {
    /// Who and where we are.
    pub me: Surroundings,
    /// The SSH configuration that counts, for platforms that are one and name no other.
    pub ssh_files: Files,
    /// Who asks the controller, for platforms that are its VMs.
    pub pool: Option<Arc<dyn Pool>>,
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Options { me, ssh_files, pool: _ } = self;
        f.debug_struct("Options").field("me", me).field("ssh_files", ssh_files).finish_non_exhaustive()
    }
}

/// Reads all platforms of a fleet directory, and what `hostler.yaml` assigns to their nodes.
pub async fn load(dir: &Path, options: &Options) -> Result<Inventory> {
    let file = FleetFile::read(dir)?;
    let entries: Vec<PlatformEntry> = file.section("platforms")?;
    let mut sources = Sources::read(&file)?;
    sources.add(Arc::new(HostIp));
    let mut inventory = Inventory { sources, ..Inventory::default() };
    for entry in entries {
        let (platform, place) = describe(&file, &entry, dir, options)?;
        if inventory.platforms.contains_key(&platform.name) {
            let message = format!("there is another platform '{}'", platform.name);
            return Err(Error::invalid(place, message).hint("give one of them another name"));
        }
        let found = find(&platform, &entry, dir, options).await;
        inventory.add(platform, found.map_err(|e| if e.field.is_some() { e } else { e.at(place) })?)?;
    }
    assign::apply(&mut inventory, &file).await?;
    Ok(inventory)
}

/// A platform, as its entry describes it, and the place that its errors name.
fn describe(
    file: &FleetFile,
    entry: &PlatformEntry,
    dir: &Path,
    options: &Options,
) -> Result<(Platform, String)> {
    let kind = entry.r#type.value;
    if let Some((field, value)) = entry.given().find(|(field, _)| !kind.fields().contains(field)) {
        let message = format!("a platform of type {} has no {field}", kind.as_str());
        return Err(words::hinted(
            Error::invalid(file.place(value), message),
            field,
            kind.fields().iter().copied(),
        ));
    }
    let place = entry.path.as_ref().map_or_else(|| file.place(&entry.r#type), |path| file.place(path));
    let path = entry.path.as_ref().map(|path| absolute(&path.value, dir, options)).transpose();
    let path = path.map_err(|e| e.at(place.as_str()))?;
    if path.is_none() && kind.needs_path() {
        let message = format!("a platform of type {} needs a path", kind.as_str());
        return Err(Error::invalid(place, message).hint("say where its nodes are: path: NAME"));
    }
    let last = || path.as_ref()?.file_name().map(|name| name.to_string_lossy().into_owned());
    let name = entry.name.as_ref().map(|n| n.value.clone()).or_else(last);
    let name = name.unwrap_or_else(|| kind.as_str().to_owned());
    if name.is_empty() {
        return Err(Error::invalid(place, "a platform's name is not empty"));
    }
    Ok((Platform { name, kind, path }, place))
}

fn absolute(path: &str, dir: &Path, options: &Options) -> Result<PathBuf> {
    let path = match path.strip_prefix("~/") {
        Some(_) if !options.me.home.is_absolute() => {
            return Err(Error::new(Code::Invalid, "there is no home for ~/").hint("set HOME"));
        }
        Some(rest) => options.me.home.join(rest),
        None => dir.join(path),
    };
    // The last part of `.` and `..` is a name only once they are followed.
    Ok(path.canonicalize().unwrap_or(path))
}

async fn find(platform: &Platform, entry: &PlatformEntry, dir: &Path, options: &Options) -> Result<Found> {
    let path = platform.path.as_deref().unwrap_or(dir);
    match platform.kind {
        PlatformType::Yaml => yaml::read(path),
        PlatformType::Ansible => ansible::read(path, entry, dir).await,
        PlatformType::SshConfig => ssh_config::read(platform.path.as_deref(), options),
        PlatformType::Pool => {
            let pool = options.pool.as_deref().ok_or_else(|| {
                Error::new(Code::Invalid, "VMs of a controller cannot be nodes here")
                    .hint("choose a cluster: hostler context list")
            })?;
            pool::read(pool, entry.project.as_ref().map(|p| p.value.as_str())).await
        }
    }
}

impl Inventory {
    fn add(&mut self, platform: Platform, found: Found) -> Result<()> {
        for mut node in found.nodes {
            node.platform.clone_from(&platform.name);
            if let Some(other) = self.nodes.get(&node.name) {
                let message = format!("there is another node '{}'", node.name);
                return Err(Error::conflict(message)
                    .at(node.origin)
                    .because(format!("it is in {} already", other.origin))
                    .hint("names are unique over all platforms: rename one of the two"));
            }
            self.nodes.insert(node.name.clone(), node);
        }
        for (name, nodes) in found.groups {
            self.groups.entry(name).or_default().extend(nodes);
        }
        self.ansible.extend(found.ansible);
        self.platforms.insert(platform.name.clone(), platform);
        Ok(())
    }
}
