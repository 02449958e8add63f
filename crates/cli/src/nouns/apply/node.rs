//! YAML with the place of every value, so that any later complaint about a field can name its line.

use serde::{
    Deserialize, Deserializer,
    de::{Error as _, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Number, Value};
use serde_saphyr::{Location, Spanned};
use std::fmt;

/// A value and where it is.
#[derive(Clone, Debug)]
pub struct Node {
    /// What it is.
    pub content: Content,
    /// Where it begins.
    pub at: Place,
}

/// A line and a column, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The line.
    pub line: u64,
    /// The column.
    pub column: u64,
}

impl Place {
    /// From the parser's own.
    pub fn new(location: Location) -> Self {
        Place { line: location.line().max(1), column: location.column().max(1) }
    }
}

/// What YAML values are.
#[derive(Clone, Debug)]
pub enum Content {
    /// Null, a truth value, a number or a text.
    Scalar(Value),
    /// A list.
    List(Vec<Node>),
    /// A map, in the order of the file.
    Map(Vec<(Key, Node)>),
}

/// A key of a map and where it is.
#[derive(Clone, Debug)]
pub struct Key {
    /// The key.
    pub text: String,
    /// Where it begins.
    pub at: Place,
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Content>::deserialize(d)?;
        Ok(Node { content: spanned.value, at: Place::new(spanned.referenced) })
    }
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_any(ContentVisitor)
    }
}

struct ContentVisitor;

impl<'de> Visitor<'de> for ContentVisitor {
    type Value = Content;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }
    fn visit_bool<E>(self, v: bool) -> Result<Content, E> {
        Ok(Content::Scalar(v.into()))
    }
    fn visit_i64<E>(self, v: i64) -> Result<Content, E> {
        Ok(Content::Scalar(v.into()))
    }
    fn visit_u64<E>(self, v: u64) -> Result<Content, E> {
        Ok(Content::Scalar(v.into()))
    }
    fn visit_f64<E: serde::de::Error>(self, v: f64) -> Result<Content, E> {
        let number = Number::from_f64(v).ok_or_else(|| E::custom("not a number that JSON has"))?;
        Ok(Content::Scalar(Value::Number(number)))
    }
    fn visit_str<E>(self, v: &str) -> Result<Content, E> {
        Ok(Content::Scalar(v.into()))
    }
    fn visit_unit<E>(self) -> Result<Content, E> {
        Ok(Content::Scalar(Value::Null))
    }
    fn visit_none<E>(self) -> Result<Content, E> {
        Ok(Content::Scalar(Value::Null))
    }
    fn visit_some<D: Deserializer<'de>>(self, d: D) -> Result<Content, D::Error> {
        Content::deserialize(d)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Content, A::Error> {
        let mut list = Vec::new();
        while let Some(node) = seq.next_element()? {
            list.push(node);
        }
        Ok(Content::List(list))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Content, A::Error> {
        let mut entries: Vec<(Key, Node)> = Vec::new();
        while let Some(key) = map.next_key::<Spanned<String>>()? {
            let key = Key { at: Place::new(key.referenced), text: key.value };
            if entries.iter().any(|(k, _)| k.text == key.text) {
                return Err(A::Error::custom(format!("the key '{}' is there twice", key.text)));
            }
            entries.push((key, map.next_value()?));
        }
        Ok(Content::Map(entries))
    }
}

impl Node {
    /// The value alone.
    pub fn to_value(&self) -> Value {
        match &self.content {
            Content::Scalar(value) => value.clone(),
            Content::List(list) => list.iter().map(Node::to_value).collect(),
            Content::Map(entries) => {
                let map: Map<_, _> = entries.iter().map(|(k, v)| (k.text.clone(), v.to_value())).collect();
                Value::Object(map)
            }
        }
    }

    /// The entries of a map.
    pub fn entries(&self) -> Option<&[(Key, Node)]> {
        if let Content::Map(entries) = &self.content { Some(entries) } else { None }
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entries()?.iter().find(|(k, _)| k.text == key).map(|(_, v)| v)
    }

    /// Where a JSON pointer (RFC 6901) leads: to the value, or to the last part of the way that is there. An unknown
    /// field is meant by its key.
    pub fn locate(&self, pointer: &str) -> Place {
        let (mut node, mut place) = (self, self.at);
        for part in pointer.split('/').skip(1) {
            let part = part.replace("~1", "/").replace("~0", "~");
            let next = match &node.content {
                Content::Scalar(_) => None,
                Content::List(list) => {
                    part.parse::<usize>().ok().and_then(|i| list.get(i)).map(|n| (n.at, n))
                }
                Content::Map(entries) => {
                    entries.iter().find(|(k, _)| k.text == part).map(|(k, v)| (key_or_value(k, v), v))
                }
            };
            let Some((at, inner)) = next else { break };
            (node, place) = (inner, at);
        }
        place
    }
}

/// A short value is pointed at itself; for a block it is its key that one looks for.
fn key_or_value(key: &Key, value: &Node) -> Place {
    if matches!(value.content, Content::Scalar(_)) { value.at } else { key.at }
}
