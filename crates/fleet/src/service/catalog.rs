//! Which services there are, and in which order a node gets its own.

use super::{
    file::ServiceFile,
    step::{InRuby, Work},
    text::{Source, environment},
};
use base::{Error, Result};
use inventory::{Inventory, Node, document};
use minijinja::{Environment, Value};
use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    path::{Path, PathBuf},
    sync::Arc,
};

/// A service, read from its file.
#[derive(Debug)]
pub struct Definition {
    /// Its name.
    pub name: String,
    /// Its file, as it is written.
    pub file: ServiceFile,
    /// Where it is a `service_NAME.rb` instead, what is known of that.
    pub(super) ruby: Option<InRuby>,
    pub(super) source: Source,
    pub(super) environment: Environment<'static>,
}

impl Definition {
    /// Reads a `service.yaml`. What can be wrong without a node is found here.
    pub fn read(name: &str, path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path)
            .map_err(|e| Error::io(format_args!("read {}", path.display()), &e))?;
        let file: ServiceFile = document::parse(path, &text)?;
        let source = Source { path: path.to_owned(), text };
        let handlers = file.handlers.0.iter().map(|(_, step)| step);
        for step in file.steps.iter().chain(&file.check).chain(&file.deploy).chain(handlers) {
            step.value.does().map_err(|e| e.at(source.place(step.referenced)))?;
        }
        if !file.steps.is_empty() && !file.deploy.is_empty() {
            let place = source.place(file.deploy[0].referenced);
            return Err(Error::invalid(place, "a service has either steps or deploy")
                .hint("put all of them under `steps`"));
        }
        let environment = environment(source.dir());
        Ok(Definition { name: name.to_owned(), file, ruby: None, source, environment })
    }
}

impl Definition {
    /// Takes a `service_NAME.rb` as it is. What is wrong in it shows when it is evaluated.
    fn in_ruby(name: &str, platform: &str, path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path)
            .map_err(|e| Error::io(format_args!("read {}", path.display()), &e))?;
        let source = Source { path: path.to_owned(), text: String::new() };
        let ruby = InRuby {
            platform: platform.to_owned(),
            directory: source.dir().to_owned(),
            name: name.to_owned(),
            text,
        };
        let environment = environment(source.dir());
        Ok(Definition {
            name: name.to_owned(),
            file: ServiceFile::default(),
            ruby: Some(ruby),
            source,
            environment,
        })
    }
}

/// The services of a fleet.
#[derive(Debug, Default)]
pub struct Catalog {
    /// Directories with `services`, by platform; `None` is the fleet directory.
    dirs: Vec<(Option<String>, PathBuf)>,
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
        let platforms = inventory.platforms.values();
        let own =
            platforms.filter_map(|p| Some((Some(p.name.clone()), p.path.clone().filter(|p| p.is_dir())?)));
        let dirs = std::iter::once((None, fleet_dir.to_owned())).chain(own).collect();
        let mut catalog = Catalog { dirs, known: BTreeMap::new() };
        for node in nodes {
            for service in &node.services {
                let (platform, path) = path(&catalog.dirs, node, service)?;
                if let Entry::Vacant(new) = catalog.known.entry(path) {
                    let definition = match new.key().extension() {
                        Some(extension) if extension == "rb" => {
                            Definition::in_ruby(service, platform, new.key())?
                        }
                        _ => Definition::read(service, new.key())?,
                    };
                    new.insert(Arc::new(definition));
                }
            }
        }
        Ok(catalog)
    }

    /// The services of a node in the order in which it gets them: as in the inventory, but each after those it needs.
    ///
    /// # Errors
    /// [`base::Code::Invalid`] where services need each other.
    pub fn of(&self, node: &Node) -> Result<Vec<Arc<Definition>>> {
        let found = node.services.iter().map(|s| Ok(self.known.get(&path(&self.dirs, node, s)?.1).cloned()));
        let all: Vec<Arc<Definition>> = found.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect();
        let needs = |d: &Arc<Definition>| d.file.needs.services.clone();
        let order = super::order::sorted(all.iter().map(|d| (d.name.as_str(), needs(d))));
        let order = order.map_err(|cycle| {
            Error::new(base::Code::Invalid, format!("these services need each other: {cycle}"))
                .hint("take one of them out of `needs`")
        })?;
        Ok(order.into_iter().map(|i| Arc::clone(&all[i])).collect())
    }

    /// All that is done on a node. `context` is what names mean there.
    pub fn work(&self, node: &Node, context: &Value) -> Result<Work> {
        let mut work = Work::default();
        for definition in self.of(node)? {
            let (service, handlers) = definition.render(context)?;
            work.services.push(service);
            work.handlers.extend(handlers);
        }
        check(&work)?;
        Ok(work)
    }
}

/// The file of a node's service: of its own platform, else of the fleet directory, else of another platform; and the name
/// of that platform.
fn path<'a>(dirs: &'a [(Option<String>, PathBuf)], node: &Node, service: &str) -> Result<(&'a str, PathBuf)> {
    let rank = |platform: &Option<String>| match platform {
        Some(name) if *name == node.platform => 0,
        None => 1,
        Some(_) => 2,
    };
    let mut dirs: Vec<_> = dirs.iter().collect();
    dirs.sort_by_key(|(platform, _)| rank(platform));
    let plain = !service.is_empty() && !service.contains(['/', '\0']) && service != "..";
    let paths = dirs.iter().flat_map(|(platform, dir)| {
        let platform = platform.as_deref().unwrap_or_default();
        let native = dir.join("services").join(service).join("service.yaml");
        let in_ruby = dir.join(format!("service_{service}.rb"));
        [(platform, native), (platform, in_ruby)]
    });
    paths.filter(|_| plain).find(|(_, path)| path.is_file()).ok_or_else(|| {
        Error::not_found(format!("nothing says what the service '{service}' is"))
            .because(format!("the node {} has it", node.name))
            .hint(format!("write services/{service}/service.yaml in the fleet directory or in its platform"))
    })
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
