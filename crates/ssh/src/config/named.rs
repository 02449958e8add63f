//! The hosts that a configuration names.

use super::script::{Item, Script};
use std::collections::HashSet;

/// A host that a `Host` line names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// Its name.
    pub name: String,
    /// The line, as `file:line`.
    pub place: String,
}

/// Those of these files and of what they include. Patterns and names that are negated name nobody.
pub(super) fn of(files: &[Script]) -> Vec<Named> {
    let mut found = Vec::new();
    for file in files {
        collect(file, &mut found);
    }
    let mut seen = HashSet::new();
    found.retain(|named| seen.insert(named.name.clone()));
    found
}

fn collect(script: &Script, found: &mut Vec<Named>) {
    for item in &script.items {
        match item {
            Item::Host(at, patterns) => {
                let names = patterns.iter().filter(|p| !p.contains(['*', '?', '!']));
                found.extend(names.map(|name| Named { name: name.clone(), place: at.to_string() }));
            }
            Item::Include(files) => files.iter().for_each(|file| collect(file, found)),
            Item::Match(..) | Item::Set(_) | Item::Unknown(..) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Config, Files, Surroundings};

    #[test]
    fn patterns_name_nobody_and_includes_are_followed() {
        let dir = tempfile::TempDir::new().unwrap();
        let path = dir.path().join("config");
        let more = dir.path().join("more");
        std::fs::write(&more, "Host db\n Port 1\nHost web\n").unwrap();
        let text = format!("Host web !gate *.lab app\nHost *\n Include {}\nMatch host x\n", more.display());
        std::fs::write(&path, text).unwrap();
        let config = Config::load(&Files::Only(path.clone()), &Surroundings::default()).unwrap();
        let named: Vec<_> = config.named().into_iter().map(|n| (n.name, n.place)).collect();
        let at = |path: &std::path::Path, line: u32| format!("{}:{line}", path.display());
        let wanted =
            [("web".into(), at(&path, 1)), ("app".into(), at(&path, 1)), ("db".into(), at(&more, 1))];
        assert_eq!(named, wanted);
    }
}
