//! Inventories in YAML: groups with `hosts`, `vars` and `children`, from the top down.

use super::{
    address,
    builder::Builder,
    data::{Data, Entry, Key, Map},
};
use base::{Error, Result};

const SECTIONS: [&str; 3] = ["vars", "children", "hosts"];

/// Adds what the file says.
pub(super) fn read(path: &str, data: &Data, builder: &mut Builder) -> Result<()> {
    let Data::Map(groups) = data else {
        let message = format!("an inventory in YAML is a map of groups, and this is {}", data.kind());
        return Err(Error::invalid(path, message));
    };
    if let Some(Data::Text(plugin)) = data.get("plugin") {
        return Err(Error::invalid(
            path,
            format!("this configures the inventory plugin '{plugin}' of Ansible"),
        )
        .hint(
            "let Ansible run it: use a script with the lines '#!/bin/sh' and \
             'exec ansible-inventory -i THIS_FILE --list' as the inventory",
        ));
    }
    let mut tree = Tree { path, builder };
    for (name, entry) in groups {
        tree.group(name, entry)?;
    }
    Ok(())
}

struct Tree<'a> {
    path: &'a str,
    builder: &'a mut Builder,
}

impl Tree<'_> {
    /// Adds a group and all below it. What is no group is passed over, with a warning.
    fn group(&mut self, name: &Key, entry: &Entry) -> Result<Option<usize>> {
        let sections = match &entry.value {
            Data::Map(map) => Some(map),
            Data::Null => None,
            other => {
                self.warn(
                    entry,
                    &format!("'{}' is no group but {}, and is passed over", name.text, other.kind()),
                );
                return Ok(None);
            }
        };
        if !name.is_text {
            return Err(self.wrong(entry, format!("the group {} must have a text as its name", name.text)));
        }
        let group = self.builder.add_group(&name.text)?;
        for (section, entry) in sections.into_iter().flatten() {
            self.section(group, &name.text, &section.text, entry)?;
        }
        Ok(Some(group))
    }

    fn section(&mut self, group: usize, name: &str, section: &str, entry: &Entry) -> Result<()> {
        let one;
        let members = match &entry.value {
            Data::Map(map) => map,
            Data::Null => return Ok(()),
            // A single name needs no colon.
            Data::Text(text) if SECTIONS.contains(&section) => {
                one = Map::from([(Key::text(text), Entry { line: entry.line, value: Data::Null })]);
                &one
            }
            other if SECTIONS.contains(&section) => {
                let message =
                    format!("'{section}' of the group '{name}' must be a map and is {}", other.kind());
                return Err(self.wrong(entry, message));
            }
            _ => {
                self.warn(entry, &format!("'{section}' of the group '{name}' is not known and passed over"));
                return Ok(());
            }
        };
        for (key, member) in members {
            match section {
                "vars" => self.set(name, &key.text, member)?,
                "children" => match self.group(key, member)? {
                    Some(child) => {
                        self.builder.add_child(group, child).map_err(|e| e.at(self.place(member)))?;
                    }
                    None => return Err(self.wrong(member, format!("the child '{}' is no group", key.text))),
                },
                "hosts" => self.host(group, key, member)?,
                _ => {
                    self.warn(
                        entry,
                        &format!("'{section}' of the group '{name}' is not known and passed over"),
                    );
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn host(&mut self, group: usize, key: &Key, entry: &Entry) -> Result<()> {
        if !key.is_text {
            return Err(self
                .wrong(entry, format!("the host {} must have a text as its name", key.text))
                .hint("put it in quotes"));
        }
        let (hosts, port) = address::expand(&key.text).map_err(|e| e.at(self.place(entry)))?;
        let none = Map::new();
        let vars = match &entry.value {
            Data::Map(map) => map,
            other if other.is_falsy() => &none,
            other => {
                let message =
                    format!("the variables of '{}' must be a map and are {}", key.text, other.kind());
                return Err(self.wrong(entry, message));
            }
        };
        for host in hosts {
            self.builder.add_host(&host, group, port)?;
            for (name, value) in vars {
                self.set(&host, &name.text, value)?;
            }
        }
        Ok(())
    }

    fn set(&mut self, owner: &str, name: &str, entry: &Entry) -> Result<()> {
        let set = self.builder.set(owner, name, entry.value.clone().into());
        set.map_err(|e| e.at(self.place(entry)))
    }

    fn place(&self, entry: &Entry) -> String {
        if entry.line == 0 { self.path.to_owned() } else { format!("{}:{}", self.path, entry.line) }
    }

    fn wrong(&self, entry: &Entry, message: String) -> Error {
        Error::invalid(self.place(entry), message)
    }

    fn warn(&mut self, entry: &Entry, message: &str) {
        self.builder.warnings.push(format!("{}: {message}", self.place(entry)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ansible::yaml;

    fn place(text: &str) -> String {
        let read =
            yaml::read("a.yml", text).and_then(|data| super::read("a.yml", &data, &mut Builder::new()));
        read.unwrap_err().field.unwrap()
    }

    #[test]
    fn what_is_wrong_has_a_place() {
        assert_eq!(place("- a\n"), "a.yml");
        assert_eq!(place("plugin: aws_ec2\n"), "a.yml");
        assert_eq!(place("all:\n  hosts: [a]\n"), "a.yml:2");
        assert_eq!(place("all:\n  hosts:\n    1:\n"), "a.yml:3");
        assert_eq!(place("all:\n  hosts:\n    a: text\n"), "a.yml:3");
        assert_eq!(place("all:\n  children:\n    all:\n"), "a.yml:3");
        assert_eq!(place("all:\n  children:\n    a: text\n"), "a.yml:3");
        assert_eq!(place("all:\n  vars:\n    ansible_group_priority: high\n"), "a.yml:3");
    }

    #[test]
    fn what_is_not_known_is_passed_over_with_a_warning() {
        let mut builder = Builder::new();
        let data = yaml::read("a.yml", "all:\n  host: {a: {}}\n  foo: 5\nbar: 6\n").unwrap();
        super::read("a.yml", &data, &mut builder).unwrap();
        assert_eq!(builder.warnings.len(), 3, "{:?}", builder.warnings);
        assert!(builder.hosts.is_empty());
    }
}
