//! One service, as its file defines it.

use super::{
    file::{Does, ServiceFile},
    step::InRuby,
    text::{Source, environment},
};
use base::{Error, Result};
use inventory::document;
use minijinja::Environment;
use std::path::Path;

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
        // A restart that is no handler would happen at each deployment.
        for step in file.steps.iter().chain(&file.check).chain(&file.deploy) {
            if matches!(step.value.does(), Ok(Does::Restart(_) | Does::Reload(_))) {
                let place = source.place(step.referenced);
                return Err(Error::invalid(place, "restart and reload are for handlers")
                    .hint("put it under `handlers`, and let the steps that matter `notify` it"));
            }
        }
        let mut notifying = file.handlers.0.iter().filter(|(_, step)| !step.value.notify.0.is_empty());
        if let Some((_, handler)) = notifying.next() {
            let place = source.place(handler.referenced);
            return Err(Error::invalid(place, "a handler notifies no other")
                .hint("let the steps notify both; they run in the order in which they are written"));
        }
        if !file.steps.is_empty() && !file.deploy.is_empty() {
            let place = source.place(file.deploy[0].referenced);
            return Err(Error::invalid(place, "a service has either steps or deploy")
                .hint("put all of them under `steps`"));
        }
        let environment = environment(source.dir());
        Ok(Definition { name: name.to_owned(), file, ruby: None, source, environment })
    }

    /// Takes a `service_NAME.rb` as it is. What is wrong in it shows when it is evaluated.
    pub(super) fn in_ruby(name: &str, platform: &str, path: &Path) -> Result<Self> {
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
