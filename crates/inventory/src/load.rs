//! From a fleet directory to its inventory.

use crate::{
    FleetFile, Inventory, Platform, PlatformEntry, PlatformType,
    platform::Found,
    platform::yaml,
    sources::{HostIp, Sources},
};
use base::{Error, Result};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

/// What reading an inventory takes from the surroundings.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The user's home, for paths that begin with `~/`.
    pub home: Option<PathBuf>,
}

/// Reads all platforms of a fleet directory.
pub async fn load(dir: &Path, options: &Options) -> Result<Inventory> {
    let file = FleetFile::read(dir)?;
    let entries: Vec<PlatformEntry> = file.section("platforms")?;
    let mut sources = Sources::new(file.section("metadata_masters")?);
    sources.add(Arc::new(HostIp));
    let mut inventory = Inventory { sources, ..Inventory::default() };
    for entry in entries {
        let (platform, place) = describe(&file, &entry, dir, options)?;
        if inventory.platforms.contains_key(&platform.name) {
            let message = format!("there is another platform '{}'", platform.name);
            return Err(Error::invalid(place, message).hint("give one of them another name"));
        }
        let found = find(&platform).await.map_err(|e| if e.field.is_some() { e } else { e.at(place) })?;
        inventory.add(platform, found)?;
    }
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
    let place = entry.path.as_ref().map_or_else(|| file.place(&entry.r#type), |path| file.place(path));
    let path = entry.path.as_ref().map(|path| absolute(&path.value, dir, options)).transpose();
    let Some(path) = path.map_err(|e| e.at(place.as_str()))? else {
        let message = format!("a platform of type {} needs a path", kind.as_str());
        return Err(Error::invalid(place, message));
    };
    let last = || path.file_name().map(|n| n.to_string_lossy().into_owned());
    let name = entry.name.as_ref().map(|n| n.value.clone()).or_else(last);
    match name.filter(|n| !n.is_empty()) {
        Some(name) => Ok((Platform { name, kind, path: Some(path) }, place)),
        None => Err(Error::invalid(place, "this platform needs a name")),
    }
}

fn absolute(path: &str, dir: &Path, options: &Options) -> Result<PathBuf> {
    let path = match path.strip_prefix("~/") {
        Some(rest) => {
            let home = options.home.as_ref();
            home.ok_or_else(|| Error::new(base::Code::Invalid, "there is no home for ~/"))?.join(rest)
        }
        None => dir.join(path),
    };
    // The last part of `.` and `..` is a name only once they are followed.
    Ok(path.canonicalize().unwrap_or(path))
}

#[allow(clippy::unused_async)] // other platforms ask others
async fn find(platform: &Platform) -> Result<Found> {
    match (platform.kind, &platform.path) {
        (PlatformType::Yaml, Some(path)) => yaml::read(path),
        (PlatformType::Yaml, None) => Ok(Found::default()),
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
        self.platforms.insert(platform.name.clone(), platform);
        Ok(())
    }
}
