//! The values of all sources, merged.

use crate::{Redactor, forms};
use base::{Error, Result, Secret};
use serde_json::Value;
use std::{
    collections::{BTreeMap, btree_map::Entry as MapEntry},
    fmt,
    sync::Arc,
};

/// Names from the outermost to the innermost, e.g. `db`, `password`.
type Path = Vec<String>;

/// Secret values by name. Merging is deep: sources may each give a part of the same map.
#[derive(Clone, Default)]
pub struct Secrets(BTreeMap<Path, Entry>);

#[derive(Clone)]
struct Entry {
    leaf: Leaf,
    /// Whether outputs hide it.
    hidden: bool,
    source: Arc<str>,
}

#[derive(Clone, PartialEq)]
enum Leaf {
    Text(Secret),
    /// A number, a truth, nothing, or a list.
    Other(Value),
}

/// What may be told of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its name with dots, e.g. `db.password`.
    pub name: String,
    /// Which source it is from.
    pub source: String,
    /// Whether outputs hide it. Open parts of a source (a user name in KeePass) and very short values are shown.
    pub hidden: bool,
}

impl Secrets {
    /// The values of one source, all hidden. Maps become names; all else is a value.
    pub fn new(source: &str, tree: BTreeMap<String, Value>) -> Self {
        let mut secrets = Secrets::default();
        let source = source.into();
        for (name, value) in tree {
            secrets.add(vec![name], value, &source);
        }
        secrets
    }

    fn add(&mut self, path: Path, value: Value, source: &Arc<str>) {
        let leaf = match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    self.add([path.as_slice(), &[name]].concat(), value, source);
                }
                return;
            }
            Value::String(text) => Leaf::Text(Secret::new(text)),
            other => Leaf::Other(other),
        };
        self.0.insert(path, Entry { leaf, hidden: true, source: source.clone() });
    }

    /// Adds one text, which may be open.
    pub(crate) fn insert(&mut self, path: Path, text: Secret, hidden: bool, source: &Arc<str>) {
        self.0.insert(path, Entry { leaf: Leaf::Text(text), hidden, source: source.clone() });
    }

    pub(crate) fn has(&self, path: &[String]) -> bool {
        self.0.range(path.to_vec()..).next().is_some_and(|(next, _)| next.starts_with(path))
    }

    /// The same values below these names.
    #[must_use]
    pub(crate) fn below(self, at: &[String]) -> Self {
        Secrets(self.0.into_iter().map(|(path, entry)| ([at, &path].concat(), entry)).collect())
    }

    /// Adds the values of another source.
    ///
    /// # Errors
    /// Both give a value to the same name, and it is not the same one; or a name has a value in one and names below it
    /// in the other. The values are not told.
    pub fn merge(&mut self, other: Secrets) -> Result<()> {
        for (path, entry) in other.0 {
            if let Some((name, source)) = self.clash(&path) {
                let below = "has a value in one source and values below it in the other";
                return Err(conflict(&name, below, &source, &entry.source));
            }
            match self.0.entry(path) {
                MapEntry::Vacant(vacant) => {
                    vacant.insert(entry);
                }
                MapEntry::Occupied(mut occupied) => {
                    let mine = occupied.get_mut();
                    if mine.leaf != entry.leaf {
                        let name = occupied.key().join(".");
                        let source = occupied.get().source.clone();
                        return Err(conflict(&name, "has different values", &source, &entry.source));
                    }
                    mine.hidden |= entry.hidden;
                }
            }
        }
        Ok(())
    }

    /// A name that is a value here and has others below it there, or the other way round.
    fn clash(&self, path: &Path) -> Option<(String, Arc<str>)> {
        let above = (1..path.len()).find_map(|n| self.0.get_key_value(&path[..n]));
        let below = || self.0.range(path.clone()..).find(|(other, _)| *other != path);
        let found = above.or_else(|| below().filter(|(other, _)| other.starts_with(path)));
        found.map(|(other, entry)| (other[..other.len().min(path.len())].join("."), entry.source.clone()))
    }

    /// What may be told: names, never values.
    pub fn list(&self) -> Vec<Listed> {
        let listed = |(path, entry): (&Path, &Entry)| Listed {
            name: path.join("."),
            source: entry.source.to_string(),
            hidden: entry.is_hidden(),
        };
        self.0.iter().map(listed).collect()
    }

    /// A text by its name with dots.
    pub fn get(&self, name: &str) -> Option<&Secret> {
        match &self.0.iter().find(|(path, _)| path.join(".") == name)?.1.leaf {
            Leaf::Text(text) => Some(text),
            Leaf::Other(_) => None,
        }
    }

    /// All values in the open, as templates use them. The name is long so that each use can be found.
    pub fn expose_secrets(&self) -> Value {
        let mut tree = Value::Object(serde_json::Map::new());
        for (path, entry) in &self.0 {
            let mut place = &mut tree;
            for name in path {
                place = &mut place[name.as_str()];
            }
            *place = match &entry.leaf {
                Leaf::Text(text) => text.expose_secret().into(),
                Leaf::Other(value) => value.clone(),
            };
        }
        tree
    }

    /// Hides all values, and these too (passwords that were asked for, say).
    ///
    /// # Errors
    /// There is more to hide than a search can hold.
    pub fn redactor<'a>(&self, others: impl IntoIterator<Item = &'a Secret>) -> Result<Redactor> {
        let mut values = Vec::new();
        for entry in self.0.values().filter(|e| e.hidden) {
            entry.leaf.texts(&mut values);
        }
        values.extend(others.into_iter().cloned());
        Redactor::new(&values)
    }
}

impl Entry {
    fn is_hidden(&self) -> bool {
        let mut texts = Vec::new();
        self.leaf.texts(&mut texts);
        self.hidden && texts.iter().any(|t| t.expose_secret().trim().len() >= forms::SHORTEST)
    }
}

impl Leaf {
    /// What outputs hide of it: texts and numbers.
    fn texts(&self, texts: &mut Vec<Secret>) {
        match self {
            Leaf::Text(text) => texts.push(text.clone()),
            Leaf::Other(value) => texts_of(value, texts),
        }
    }
}

fn texts_of(value: &Value, texts: &mut Vec<Secret>) {
    match value {
        Value::String(text) => texts.push(Secret::new(text)),
        Value::Number(number) => texts.push(Secret::new(number.to_string())),
        Value::Array(values) => values.iter().for_each(|v| texts_of(v, texts)),
        Value::Object(fields) => fields.values().for_each(|v| texts_of(v, texts)),
        Value::Bool(_) | Value::Null => {}
    }
}

fn conflict(name: &str, what: &str, one: &str, other: &str) -> Error {
    Error::conflict(format!("the secret '{name}' {what}"))
        .because(format!("it is in {one} and in {other}"))
        .hint("remove it from one of them, or put one below a name of its own with `at`")
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.list().iter().map(|l| &l.name)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of(source: &str, tree: Value) -> Secrets {
        Secrets::new(source, serde_json::from_value(tree).unwrap())
    }

    fn merged(one: Value, other: Value) -> Result<Value> {
        let mut secrets = of("one", one);
        secrets.merge(of("other", other))?;
        Ok(secrets.expose_secrets())
    }

    #[test]
    fn maps_are_merged_and_equal_values_are_no_conflict() {
        let all = merged(
            json!({"db": {"user": "u", "pin": 1}}),
            json!({"db": {"user": "u", "list": [1]}, "x": null}),
        );
        assert_eq!(all, Ok(json!({"db": {"user": "u", "pin": 1, "list": [1]}, "x": null})));
    }

    #[test]
    fn a_conflict_names_the_place_and_both_sources_and_no_value() {
        for (one, other, name) in [
            (json!({"db": {"password": "value-a"}}), json!({"db": {"password": "value-b"}}), "'db.password'"),
            (json!({"db": {"password": "value-a"}}), json!({"db": "value-b"}), "'db'"),
            (json!({"db": "value-a"}), json!({"db": {"password": {"old": "value-b"}}}), "'db'"),
            (json!({"pin": 1234}), json!({"pin": "1234"}), "'pin'"),
        ] {
            let e = merged(one, other).unwrap_err();
            assert_eq!(e.code, base::Code::Conflict);
            assert!(e.message.contains(name), "{e:?}");
            assert_eq!(e.cause.as_deref(), Some("it is in one and in other"));
            assert!(!format!("{e:?}").contains("value-") && !format!("{e:?}").contains("1234"), "{e:?}");
        }
    }

    #[test]
    fn values_are_hidden_and_names_are_listed() {
        let mut secrets =
            of("file", json!({"pin": 987_654, "deep": [{"x": "in-a-list"}], "on": true, "s": "abc"}));
        secrets.insert(vec!["user".into()], Secret::new("open-user"), false, &"kdbx".into());
        let redactor = secrets.redactor([&Secret::new("asked-for")]).unwrap();
        assert_eq!(
            redactor.text("987654 in-a-list asked-for true abc open-user"),
            "******** ******** ******** true abc open-user"
        );
        let listed = secrets.list().into_iter().map(|l| format!("{} {} {}", l.name, l.source, l.hidden));
        let expected =
            ["deep file true", "on file false", "pin file true", "s file false", "user kdbx false"];
        assert_eq!(listed.collect::<Vec<_>>(), expected);
        assert_eq!(format!("{secrets:?}"), r#"["deep", "on", "pin", "s", "user"]"#);
        assert_eq!(secrets.get("user").map(Secret::expose_secret), Some("open-user"));
    }
}
