//! Reads YAML and JSON as Ansible does: JSON where it is JSON, else one document of YAML 1.1 with anchors, merge keys and
//! the tags `!vault` and `!unsafe`.

use super::{
    data::{Data, Entry, Key, Map},
    scalar,
};
use base::{Error, Result};
use granit_parser::{Event, Parser, ScalarStyle, ScanError, Span, StrInput, Tag};
use std::collections::HashMap;

/// How many values the aliases of a file may add to it, so that a small file stays small.
const ALIASED: usize = 1_000_000;
const CORE: &str = "tag:yaml.org,2002:";

/// Reads the text of a file; `place` is its name in errors. A file without content is [`Data::Null`].
pub(super) fn read(place: &str, text: &str) -> Result<Data> {
    let looks_like_json = text.trim_start().starts_with(['{', '[', '"']);
    if let Some(data) = looks_like_json.then(|| serde_json::from_str(text).ok()).flatten() {
        return Ok(data);
    }
    Reader { place, events: Parser::new_from_str(text), anchors: HashMap::new(), aliased: 0 }.document()
}

struct Reader<'a> {
    place: &'a str,
    events: Parser<'a, StrInput<'a>>,
    anchors: HashMap<usize, (Data, usize)>,
    aliased: usize,
}

impl<'a> Reader<'a> {
    fn document(mut self) -> Result<Data> {
        let mut found = None;
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::StreamEnd => return Ok(found.unwrap_or(Data::Null)),
                Event::DocumentStart(..) if found.is_some() => {
                    return Err(self.wrong(span, "a second document begins here, and only one is read"));
                }
                event if event.is_node() => found = Some(self.node(event, span)?),
                _ => {}
            }
        }
    }

    fn next(&mut self) -> Result<(Event<'a>, Span)> {
        loop {
            let (event, span) = match self.events.next_event() {
                Some(next) => next.map_err(|e| self.unreadable(&e))?,
                None => return Ok((Event::StreamEnd, Span::default())),
            };
            if !matches!(event, Event::Comment(..)) {
                return Ok((event, span));
            }
        }
    }

    fn node(&mut self, event: Event<'a>, span: Span) -> Result<Data> {
        let (data, anchor) = match event {
            Event::Alias(id) => return self.alias(id, span),
            Event::Scalar(text, style, anchor, tag) => {
                (self.scalar(&text, style, tag.as_deref(), span)?, anchor)
            }
            Event::SequenceStart(_, anchor, tag) => {
                let list = self.list()?;
                (self.collection(list, tag.as_deref(), "seq", span)?, anchor)
            }
            Event::MappingStart(_, anchor, tag) => {
                let map = self.map()?;
                (self.collection(map, tag.as_deref(), "map", span)?, anchor)
            }
            _ => return Err(self.wrong(span, "a value is missing here")),
        };
        if anchor != 0 {
            let size = data.size();
            self.anchors.insert(anchor, (data.clone(), size));
        }
        Ok(data)
    }

    fn alias(&mut self, id: usize, span: Span) -> Result<Data> {
        let Some((data, size)) = self.anchors.get(&id) else {
            return Err(self.wrong(span, "this alias stands for something that contains it"));
        };
        self.aliased += size;
        if self.aliased > ALIASED {
            return Err(self.wrong(span, format!("the aliases of this file stand for over {ALIASED} values")));
        }
        Ok(data.clone())
    }

    fn list(&mut self) -> Result<Data> {
        let mut list = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if matches!(event, Event::SequenceEnd) {
                return Ok(Data::List(list));
            }
            list.push(self.node(event, span)?);
        }
    }

    fn map(&mut self) -> Result<Data> {
        let mut own = Vec::new();
        let mut map = Map::new();
        loop {
            let (event, span) = self.next()?;
            if matches!(event, Event::MappingEnd) {
                break;
            }
            let merges = matches!(&event, Event::Scalar(text, ScalarStyle::Plain, _, None) if text == "<<");
            let key = self.node(event, span)?;
            let (event, value_span) = self.next()?;
            let value = self.node(event, value_span)?;
            if merges {
                self.merge(&mut map, value, value_span)?;
                continue;
            }
            let key = Key::of(key).ok_or_else(|| self.wrong(span, "a list or a map cannot name an entry"))?;
            own.push((key, Entry { line: span.start.line(), value }));
        }
        // What is merged stands before what the map has itself, and yields to it.
        map.extend(own);
        Ok(Data::Map(map))
    }

    /// The entries that a merge key brings. Of several maps in a list the first counts most.
    fn merge(&self, into: &mut Map, value: Data, span: Span) -> Result<()> {
        let wrong = || self.wrong(span, "a map, or a list of maps, must follow '<<'");
        match value {
            Data::Map(map) => into.extend(map),
            Data::List(list) => {
                for data in list.into_iter().rev() {
                    let Data::Map(map) = data else { return Err(wrong()) };
                    into.extend(map);
                }
            }
            _ => return Err(wrong()),
        }
        Ok(())
    }

    fn collection(&self, data: Data, tag: Option<&Tag>, natural: &str, span: Span) -> Result<Data> {
        match tag.map(Tag::parts) {
            None | Some(("" | "!", "")) => Ok(data),
            Some((CORE, name)) if name == natural => Ok(data),
            Some(("!", "unsafe")) => Ok(data.into_unsafe()),
            Some(_) => Err(self.foreign(tag, span)),
        }
    }

    fn scalar(&self, text: &str, style: ScalarStyle, tag: Option<&Tag>, span: Span) -> Result<Data> {
        let as_text = || Data::Text(text.to_owned());
        let no = |kind: &str| self.wrong(span, format!("'{text}' is not {kind}"));
        Ok(match tag.map(Tag::parts) {
            None if style == ScalarStyle::Plain => scalar::resolve(text),
            None | Some(("" | "!", "") | (CORE, "str")) => as_text(),
            Some(("!", "vault" | "vault-encrypted")) => Data::Vault(text.to_owned()),
            Some(("!", "unsafe")) => Data::Unsafe(text.to_owned()),
            Some((CORE, "null")) => Data::Null,
            Some((CORE, "bool")) => match scalar::resolve(&text.to_lowercase()) {
                yes @ Data::Bool(_) => yes,
                _ => return Err(no("a truth value")),
            },
            Some((CORE, "int")) => scalar::integer(&text.replace('_', "")).ok_or_else(|| no("an integer"))?,
            Some((CORE, "float")) => {
                let digits = text.replace('_', "");
                let plain = digits.parse().ok().map(|number| Data::float(number, text));
                plain.or_else(|| scalar::float(&digits)).ok_or_else(|| no("a number"))?
            }
            Some((CORE, "timestamp")) => scalar::timestamp(text).ok_or_else(|| no("a date"))?,
            Some(_) => return Err(self.foreign(tag, span)),
        })
    }

    fn foreign(&self, tag: Option<&Tag>, span: Span) -> Error {
        let tag = tag.map(Tag::original).unwrap_or_default();
        self.wrong(span, format!("the tag {tag} is not one that is read here"))
            .hint("known are !vault and !unsafe")
    }

    fn wrong(&self, span: Span, message: impl Into<String>) -> Error {
        let at = span.start;
        Error::invalid(format!("{}:{}:{}", self.place, at.line(), at.col() + 1), message)
    }

    fn unreadable(&self, error: &ScanError) -> Error {
        let at = error.marker();
        Error::invalid(format!("{}:{}:{}", self.place, at.line(), at.col() + 1), "this is not YAML")
            .because(error.info())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn value(text: &str) -> Value {
        read("a.yml", text).unwrap().into()
    }

    fn place(text: &str) -> String {
        read("a.yml", text).unwrap_err().field.unwrap()
    }

    #[test]
    fn merged_entries_yield_to_own_ones_and_stand_first() {
        let text = "a: &a {x: 1, y: 1}\nb: &b {y: 2}\nc:\n  z: 3\n  <<: [*b, *a]\n  x: 4\n";
        assert_eq!(value(text)["c"], json!({"x": 4, "y": 2, "z": 3}));
        let data = read("a.yml", text).unwrap();
        let Some(Data::Map(map)) = data.get("c") else { panic!("{data:?}") };
        assert_eq!(map.keys().map(|k| k.text.as_str()).collect::<Vec<_>>(), ["x", "y", "z"]);
        assert_eq!(value("\"<<\": 1\n"), json!({"<<": 1}));
    }

    #[test]
    fn tags_are_those_of_ansible() {
        let text = "a: !vault |\n  $ANSIBLE_VAULT;1.1;AES256\n  3031\nb: !unsafe '{{ x }}'\nc: !!str 5\nd: !!float 5\n";
        let expected = json!({
            "a": {"__ansible_vault": "$ANSIBLE_VAULT;1.1;AES256\n3031\n"},
            "b": {"__ansible_unsafe": "{{ x }}"},
            "c": "5",
            "d": 5.0,
        });
        assert_eq!(value(text), expected);
        assert_eq!(place("a: !!python/object:os.system x\n"), "a.yml:1:30");
    }

    #[test]
    fn keys_of_other_types_are_spelled_as_json_does() {
        assert_eq!(
            value("1: a\nyes: b\n~: c\n1.5: d\n"),
            json!({"1": "a", "true": "b", "null": "c", "1.5": "d"})
        );
    }

    #[test]
    fn what_is_wrong_has_a_place() {
        assert_eq!(place("a: [\n"), "a.yml:1:4");
        assert_eq!(place("a: 1\n---\nb: 2\n"), "a.yml:2:1");
        assert_eq!(place("a:\n  <<: 5\n"), "a.yml:2:7");
        assert_eq!(value("# nothing\n"), Value::Null);
    }

    #[test]
    fn aliases_do_not_grow_without_bound() {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for i in 1..20 {
            let refs = vec![format!("*a{}", i - 1); 10].join(", ");
            text.extend(["a", &i.to_string(), ": &a", &i.to_string(), " [", &refs, "]\n"]);
        }
        assert!(read("a.yml", &text).unwrap_err().message.contains("stand for over"));
        assert_eq!(place("a: &a [*a]\n"), "a.yml:1:8");
    }
}
