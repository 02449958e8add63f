//! Which services there are, and in which order a node gets its own.

use super::{definition::Definition, step::Work};
use base::{Error, Result};
use inventory::{Inventory, Node};
use minijinja::Value;
use secrets::Redactor;
use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    path::{Path, PathBuf},
    sync::Arc,
};

/// A directory with services.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Its name: that of the platform, or of the fleet directory.
    pub name: String,
    /// Where it is.
    pub dir: PathBuf,
}

/// The largest file that is looked through for a word, bytes: larger ones are no templates.
const LARGEST_TEMPLATE: u64 = 1 << 20;

/// Which of these words stand in files of a directory.
fn mentions<'a>(dir: &Path, words: &BTreeSet<&'a str>, found: &mut BTreeSet<&'a str>) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let Ok(metadata) = entry.metadata() else { continue };
        if metadata.is_dir() {
            mentions(&entry.path(), words, found);
        } else if metadata.is_file() && metadata.len() <= LARGEST_TEMPLATE {
            let text = std::fs::read(entry.path()).unwrap_or_default();
            let in_it = text.split(|b| !b.is_ascii_alphanumeric() && *b != b'_');
            found.extend(in_it.filter_map(|word| words.get(std::str::from_utf8(word).ok()?)));
        }
    }
}

/// The services of a fleet.
#[derive(Debug, Default)]
pub struct Catalog {
    /// The fleet directory, then those of the platforms.
    origins: Vec<Origin>,
    known: BTreeMap<PathBuf, Arc<Definition>>,
}

impl Catalog {
    /// Reads the services that these nodes have.
    ///
    /// # Errors
    /// [`base::Code::NotFound`] for a service that is nowhere; what is wrong in the files.
    pub fn read<'a>(
        fleet_dir: &Path,
        inventory: &Inventory,
        nodes: impl IntoIterator<Item = &'a Node>,
    ) -> Result<Self> {
        let name = fleet_dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let own = inventory.platforms.values().filter_map(|platform| {
            let dir = platform.path.clone().filter(|path| path.is_dir())?;
            Some(Origin { name: platform.name.clone(), dir })
        });
        let origins = std::iter::once(Origin { name, dir: fleet_dir.to_owned() }).chain(own).collect();
        let mut catalog = Catalog { origins, known: BTreeMap::new() };
        for node in nodes {
            for service in &node.services {
                let (origin, path) = find(&catalog.origins, node, service)?;
                if let Entry::Vacant(new) = catalog.known.entry(path) {
                    let definition = match new.key().extension() {
                        Some(extension) if extension == "rb" => {
                            Definition::in_ruby(service, &origin.name, new.key())?
                        }
                        _ => Definition::read(service, new.key())?,
                    };
                    new.insert(Arc::new(definition));
                }
            }
        }
        for definition in catalog.known.values() {
            needs_exist(&catalog.origins, definition)?;
        }
        Ok(catalog)
    }

    /// The services of a node in the order in which it gets them: as in the inventory, but each after those it needs.
    ///
    /// # Errors
    /// [`base::Code::Invalid`] where services need each other.
    pub fn of(&self, node: &Node) -> Result<Vec<(&Origin, &Arc<Definition>)>> {
        let mut all = Vec::with_capacity(node.services.len());
        for service in &node.services {
            let (origin, path) = find(&self.origins, node, service)?;
            all.extend(self.known.get(&path).map(|definition| (origin, definition)));
        }
        let needs = all.iter().map(|(_, d)| (d.name.as_str(), d.file.needs.services.clone()));
        let order = super::order::sorted(needs).map_err(|cycle| {
            Error::new(base::Code::Invalid, format!("these services need each other: {cycle}"))
                .hint("take one of them out of `needs`")
        })?;
        Ok(order.into_iter().map(|i| all[i]).collect())
    }

    /// Which of these words files of these services hold. What they never name, nobody has to find out for them.
    pub fn mentioned<'a>(&self, words: &BTreeSet<&'a str>) -> BTreeSet<&'a str> {
        let mut found = BTreeSet::new();
        let native = self.known.keys().filter(|file| file.extension().is_none_or(|e| e != "rb"));
        for dir in native.filter_map(|file| file.parent()) {
            mentions(dir, words, &mut found);
        }
        found
    }

    /// Services whose nodes come before a node, because one of its services needs that.
    pub fn nodes_with(&self, node: &Node) -> Result<BTreeSet<String>> {
        let of = self.of(node)?.into_iter();
        Ok(of.flat_map(|(_, definition)| definition.file.needs.nodes_with.clone()).collect())
    }

    /// All that is done on a node. `context` is what names mean there, `hidden` what may be no argument.
    pub fn work(&self, node: &Node, context: &Value, hidden: &Redactor) -> Result<Work> {
        let mut work = Work::default();
        for (_, definition) in self.of(node)? {
            let (service, handlers) = definition.render(context, hidden)?;
            work.services.push(service);
            work.handlers.extend(handlers);
        }
        check(&work)?;
        Ok(work)
    }
}

/// The file of a node's service: of its own platform, else of the fleet directory, else of another platform.
fn find<'a>(origins: &'a [Origin], node: &Node, service: &str) -> Result<(&'a Origin, PathBuf)> {
    let own = origins.iter().skip(1).filter(|o| o.name == node.platform);
    first(own.chain(origins), service).ok_or_else(|| {
        Error::not_found(format!("nothing says what the service '{service}' is"))
            .because(format!("the node {} has it", node.name))
            .hint(format!("write services/{service}/service.yaml in the fleet directory or in its platform"))
    })
}

/// The first of these directories that says what a service is, and where.
fn first<'a>(mut origins: impl Iterator<Item = &'a Origin>, service: &str) -> Option<(&'a Origin, PathBuf)> {
    let plain = !service.is_empty() && !service.contains(['/', '\0']) && service != "..";
    let files = |origin: &Origin| {
        let native = origin.dir.join("services").join(service).join("service.yaml");
        [native, origin.dir.join(format!("service_{service}.rb"))]
    };
    let found = |origin: &'a Origin| Some((origin, files(origin).into_iter().find(|path| path.is_file())?));
    plain.then(|| origins.find_map(found)).flatten()
}

/// A service that another one needs may be on no node, but it must be one.
fn needs_exist(origins: &[Origin], definition: &Definition) -> Result<()> {
    let needs = &definition.file.needs;
    let mut all = needs.services.iter().chain(&needs.nodes_with);
    match all.find(|service| first(origins.iter(), service).is_none()) {
        None => Ok(()),
        Some(unknown) => {
            let message =
                format!("{} needs the service '{unknown}', and nothing says what that is", definition.name);
            let place = definition.source.path.display().to_string();
            Err(Error::not_found(message).at(place).hint("check how it is written under `needs`"))
        }
    }
}

/// What no service can see alone: handlers of others, and paths that two steps want.
fn check(work: &Work) -> Result<()> {
    let known: BTreeSet<&str> = work.handlers.iter().map(|h| h.name.as_str()).collect();
    let mut paths: BTreeMap<&str, String> = BTreeMap::new();
    for (service, step) in work.services.iter().flat_map(|s| s.steps.iter().map(move |step| (s, step))) {
        if let Some(unknown) = step.notify.iter().find(|n| !known.contains(n.as_str())) {
            return Err(Error::invalid(&step.place, format!("the node has no handler '{unknown}'")));
        }
        let super::Action::Resource(resource) = &step.action else { continue };
        for path in resource.paths() {
            let here = format!("{} of {}", step.name, service.name);
            if let Some(other) = paths.insert(path, here.clone()) {
                return Err(Error::conflict(format!("two steps say what is at {path}"))
                    .at(&step.place)
                    .because(format!("{other} and {here}"))
                    .hint("leave one of them out"));
            }
        }
    }
    Ok(())
}
