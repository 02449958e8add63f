//! Reads YAML files into types. What is wrong is said with `file:line:column`, and for a name that is not known with the
//! nearest that is.

use crate::words::nearest;
use base::{Error, Result};
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, IgnoredAny, MapAccess, Visitor},
};
use serde_saphyr::{Location, Spanned};
use std::{
    fmt, fs, io,
    marker::PhantomData,
    path::{Path, PathBuf},
};

/// Where the files of a directory come from: the disk, or a commit.
pub trait Files {
    /// The text of a file of the directory; `None` where there is none.
    fn text(&self, name: &str) -> Result<Option<String>>;
    /// A file, as errors name it.
    fn path(&self, name: &str) -> PathBuf;
}

/// The files of a directory as they are now.
#[derive(Clone, Copy, Debug)]
pub struct OnDisk<'a>(pub &'a Path);

impl Files for OnDisk<'_> {
    fn text(&self, name: &str) -> Result<Option<String>> {
        let path = self.path(name);
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Some(text)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(Error::io(format_args!("read {}", path.display()), &e)),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

/// Reads a file that need not be there.
pub fn read<T: DeserializeOwned>(files: &dyn Files, name: &str) -> Result<Option<T>> {
    let Some(text) = files.text(name)? else { return Ok(None) };
    parse(&files.path(name), &text).map(Some)
}

/// Reads the text of a file.
pub fn parse<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T> {
    serde_saphyr::from_str(filled(text)).map_err(|e| complaint(path, text, &e))
}

/// The place of something in a file, as errors name it.
pub fn place(path: &Path, at: Location) -> String {
    if at.line() == 0 {
        return path.display().to_string();
    }
    format!("{}:{}:{}", path.display(), at.line(), at.column())
}

/// Reads one entry of the map that a file is; `None` where it has no such entry.
pub fn pick<T: DeserializeOwned>(path: &Path, text: &str, key: &'static str) -> Result<Option<T>> {
    serde_saphyr::with_deserializer_from_str(filled(text), |d| d.deserialize_map(Pick(key, PhantomData)))
        .map_err(|e| complaint(path, text, &e))
}

/// A text without any content is an empty map.
fn filled(text: &str) -> &str {
    let blank = text.lines().all(|l| matches!(l.trim(), "" | "---") || l.trim_start().starts_with('#'));
    if blank { "{}" } else { text }
}

/// What a type of Rust is to people.
fn kind(ty: &str) -> String {
    match ty {
        "boolean" => "true or false".into(),
        "u8" => format!("a whole number from 0 to {}", u8::MAX),
        "u16" => format!("a whole number from 0 to {}", u16::MAX),
        "u32" => format!("a whole number from 0 to {}", u32::MAX),
        _ if ty.starts_with(['u', 'i']) => "a whole number".into(),
        _ if ty.starts_with('f') => "a number".into(),
        other => format!("something else (of the type {other})"),
    }
}

fn complaint(path: &Path, text: &str, error: &serde_saphyr::Error) -> Error {
    use serde_saphyr::Error as E;
    let error = error.without_snippet();
    let place = error.location().map_or_else(|| path.display().to_string(), |at| place(path, at));
    let unknown = |what: &str, name: &str, known: &[&'static str]| {
        let hint = nearest(name, known.iter().copied()).unwrap_or_default();
        Error::invalid(place.as_str(), format!("unknown {what} '{name}'")).hint(hint)
    };
    match error {
        E::SerdeUnknownField { field, expected, .. } => unknown("field", field, expected),
        E::SerdeUnknownVariant { variant, expected, .. } => unknown("value", variant, expected),
        E::SerdeMissingField { field, .. } => {
            Error::invalid(place, format!("the field '{field}' is missing"))
        }
        E::DuplicateMappingKey { key, .. } => {
            let key = key.as_deref().map_or_else(|| "a key".into(), |key| format!("'{key}'"));
            Error::invalid(place, format!("{key} stands here a second time")).hint("keep one of the two")
        }
        E::Unexpected { expected: "mapping start", .. } if !is_at_template(text, error) => {
            Error::invalid(place, "this must be a map")
                .hint("write {name: value}, or name: value in lines of their own")
        }
        E::Unexpected { expected: "sequence start", .. } if !is_at_template(text, error) => {
            Error::invalid(place, "this must be a list")
                .hint("write [one, other], or - one in lines of their own")
        }
        E::InvalidScalar { ty, .. } if !is_at_template(text, error) => {
            Error::invalid(place, format!("this must be {}", kind(ty)))
        }
        other => {
            let words = other.to_string();
            let words = words.split(" at line ").next().unwrap_or_default();
            let wrong = Error::invalid(place, words.trim().trim_end_matches('.'));
            if is_at_template(text, error) {
                return wrong.hint("a template in a value that starts with {{ or stands in { ... } needs quotes: \"{{ name }}\"");
            }
            wrong
        }
    }
}

/// Whether the line of an error holds a template, whose braces are YAML's own where nothing quotes them.
fn is_at_template(text: &str, error: &serde_saphyr::Error) -> bool {
    let line = error.location().and_then(|at| usize::try_from(at.line()).ok()).unwrap_or_default();
    line.checked_sub(1).and_then(|n| text.lines().nth(n)).is_some_and(|line| line.contains("{{"))
}

/// The entries of a map in the order of the file, each with the place of its key.
#[derive(Clone, Debug)]
pub struct Entries<T>(pub Vec<(Spanned<String>, T)>);

impl<T> Default for Entries<T> {
    fn default() -> Self {
        Entries(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Entries<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(EntriesVisitor(PhantomData))
    }
}

struct EntriesVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for EntriesVisitor<T> {
    type Value = Entries<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map of names")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries<T>, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Entries(entries))
    }
}

struct Pick<T>(&'static str, PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Pick<T> {
    type Value = Option<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Option<T>, A::Error> {
        let mut found = None;
        while let Some(key) = map.next_key::<String>()? {
            if key == self.0 {
                found = map.next_value::<Option<T>>()?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Entry {
        #[allow(dead_code)]
        #[serde(default)]
        metadata: BTreeMap<String, String>,
    }

    fn wrong(text: &str) -> Error {
        parse::<Entries<Entry>>(Path::new("a.yaml"), text).unwrap_err()
    }

    #[test]
    fn complaints_name_the_place_and_the_nearest_word() {
        let e = wrong("web1:\n  metdata:\n    a: b\n");
        assert_eq!(e.field.as_deref(), Some("a.yaml:2:3"));
        assert_eq!(
            (e.message.as_str(), e.hint.as_deref()),
            ("unknown field 'metdata'", Some("did you mean 'metadata'?"))
        );
        let twice = wrong("web1: {}\nweb1: {}\n");
        assert_eq!(twice.field.as_deref(), Some("a.yaml:2:1"));
        assert_eq!(twice.message, "'web1' stands here a second time");
        let scalar = wrong("web1:\n  metadata: 3\n");
        assert!(scalar.field.unwrap().starts_with("a.yaml:2:"));
        assert_eq!(scalar.message, "this must be a map");
        for (wrong, message) in [
            (
                parse::<u16>(Path::new("a.yaml"), "99999").unwrap_err(),
                "this must be a whole number from 0 to 65535",
            ),
            (parse::<bool>(Path::new("a.yaml"), "maybe").unwrap_err(), "this must be true or false"),
            (parse::<f64>(Path::new("a.yaml"), "x").unwrap_err(), "this must be a number"),
        ] {
            assert_eq!(wrong.message, message);
        }
        let scalar = parse::<Vec<String>>(Path::new("a.yaml"), "web1").unwrap_err();
        assert_eq!(
            (scalar.field.as_deref(), scalar.message.as_str()),
            (Some("a.yaml:1:1"), "this must be a list")
        );
        let template = wrong("web1:\n  metadata: {ip: {{ ip }}, port: 1}\n");
        assert!(template.hint.unwrap().contains("needs quotes"), "{}", template.message);
        assert!(wrong("web1: [\n").field.unwrap().starts_with("a.yaml:"));
    }

    #[test]
    fn an_empty_file_has_no_entries_and_keys_know_their_place() {
        for text in ["", "# nothing\n", "---\n"] {
            assert!(parse::<Entries<Entry>>(Path::new("a"), text).unwrap().0.is_empty(), "{text:?}");
        }
        let entries: Entries<Entry> = parse(Path::new("a"), "web1: {}\n  \nweb2: {}\n").unwrap();
        assert_eq!(place(Path::new("a"), entries.0[1].0.referenced), "a:3:1");
    }
}
