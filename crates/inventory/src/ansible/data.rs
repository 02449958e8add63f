//! Data as a file has it: in the order of the file, before anybody knows what it means.

use indexmap::IndexMap;
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};
use serde_json::{Number, Value, json};
use std::{fmt, hash::Hash};

/// The key that marks an encrypted text in JSON, as Ansible writes it.
pub(super) const VAULT: &str = "__ansible_vault";
/// The key that marks a text in JSON that is never a template.
pub(super) const UNSAFE: &str = "__ansible_unsafe";

/// A piece of data.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Data {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    /// A text that is not a template, whatever it looks like.
    Unsafe(String),
    /// An encrypted text, with its envelope.
    Vault(String),
    List(Vec<Data>),
    Map(Map),
}

/// Entries in the order of their first appearance. A name that comes again replaces the value and keeps the place.
pub(super) type Map = IndexMap<Key, Entry>;

/// The name of an entry. YAML and Python allow other things than texts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    /// How JSON spells it.
    pub(super) text: String,
    /// Whether it was written as a text.
    pub(super) is_text: bool,
}

/// The value of an entry.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    /// The line of its key, from 1; 0 where that is not known.
    pub(super) line: usize,
    pub(super) value: Data,
}

impl Key {
    pub(super) fn text(text: impl Into<String>) -> Self {
        Key { text: text.into(), is_text: true }
    }

    /// The key that some data makes; lists and maps make none.
    pub(super) fn of(data: Data) -> Option<Self> {
        let text = match data {
            Data::Text(text) | Data::Unsafe(text) | Data::Vault(text) => return Some(Key::text(text)),
            Data::Null => "null".to_owned(),
            Data::Bool(yes) => yes.to_string(),
            Data::Number(n) => n.to_string(),
            Data::List(_) | Data::Map(_) => return None,
        };
        Some(Key { text, is_text: false })
    }
}

impl Data {
    /// An integer of any size. What no machine number holds exactly becomes a text.
    pub(super) fn integer(value: Option<i128>, text: &str) -> Self {
        match value.map(|v| (i64::try_from(v), u64::try_from(v))) {
            Some((Ok(small), _)) => Data::Number(small.into()),
            Some((_, Ok(large))) => Data::Number(large.into()),
            _ => Data::Text(text.to_owned()),
        }
    }

    /// A floating point number. What JSON has no number for becomes a text.
    pub(super) fn float(value: f64, text: &str) -> Self {
        Number::from_f64(value).map_or_else(|| Data::Text(text.to_owned()), Data::Number)
    }

    /// An entry of a map.
    pub(super) fn get(&self, name: &str) -> Option<&Data> {
        match self {
            Data::Map(map) => map.get(&Key::text(name)).map(|e| &e.value),
            _ => None,
        }
    }

    /// What it is, for messages.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Data::Null => "nothing",
            Data::Bool(_) => "a truth value",
            Data::Number(_) => "a number",
            Data::Text(_) | Data::Unsafe(_) => "a text",
            Data::Vault(_) => "an encrypted text",
            Data::List(_) => "a list",
            Data::Map(_) => "a map",
        }
    }

    /// Whether Python takes it for false.
    pub(super) fn is_falsy(&self) -> bool {
        match self {
            Data::Null => true,
            Data::Bool(yes) => !yes,
            Data::Number(n) => n.as_f64() == Some(0.0),
            Data::Text(text) | Data::Unsafe(text) => text.is_empty(),
            Data::Vault(_) => false,
            Data::List(list) => list.is_empty(),
            Data::Map(map) => map.is_empty(),
        }
    }

    /// How many pieces it has, itself included.
    pub(super) fn size(&self) -> usize {
        match self {
            Data::List(list) => 1 + list.iter().map(Data::size).sum::<usize>(),
            Data::Map(map) => 1 + map.values().map(|e| e.value.size()).sum::<usize>(),
            _ => 1,
        }
    }

    /// The same with every text kept from being a template.
    pub(super) fn into_unsafe(self) -> Self {
        match self {
            Data::Text(text) => Data::Unsafe(text),
            Data::List(list) => Data::List(list.into_iter().map(Data::into_unsafe).collect()),
            Data::Map(mut map) => {
                for entry in map.values_mut() {
                    entry.value = std::mem::replace(&mut entry.value, Data::Null).into_unsafe();
                }
                Data::Map(map)
            }
            other => other,
        }
    }
}

impl From<Data> for Value {
    fn from(data: Data) -> Value {
        match data {
            Data::Null => Value::Null,
            Data::Bool(yes) => Value::Bool(yes),
            Data::Number(n) => Value::Number(n),
            Data::Text(text) => Value::String(text),
            Data::Unsafe(text) => json!({ UNSAFE: text }),
            Data::Vault(text) => json!({ VAULT: text }),
            Data::List(list) => list.into_iter().map(Value::from).collect(),
            Data::Map(map) => Value::Object(map.into_iter().map(|(k, e)| (k.text, e.value.into())).collect()),
        }
    }
}

impl<'de> Deserialize<'de> for Data {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(DataVisitor)
    }
}

struct DataVisitor;

impl<'de> Visitor<'de> for DataVisitor {
    type Value = Data;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("data")
    }

    fn visit_unit<E>(self) -> Result<Data, E> {
        Ok(Data::Null)
    }

    fn visit_bool<E>(self, yes: bool) -> Result<Data, E> {
        Ok(Data::Bool(yes))
    }

    fn visit_i64<E>(self, n: i64) -> Result<Data, E> {
        Ok(Data::Number(n.into()))
    }

    fn visit_u64<E>(self, n: u64) -> Result<Data, E> {
        Ok(Data::Number(n.into()))
    }

    fn visit_f64<E>(self, n: f64) -> Result<Data, E> {
        Ok(Data::float(n, &n.to_string()))
    }

    fn visit_str<E>(self, text: &str) -> Result<Data, E> {
        Ok(Data::Text(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Data, E> {
        Ok(Data::Text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Data, A::Error> {
        let mut list = Vec::new();
        while let Some(data) = seq.next_element()? {
            list.push(data);
        }
        Ok(Data::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Data, A::Error> {
        let mut map = Map::new();
        while let Some((key, value)) = access.next_entry::<String, Data>()? {
            map.insert(Key::text(key), Entry { line: 0, value });
        }
        // Ansible's own marks, which its JSON may have anywhere.
        for (mark, make) in [(VAULT, Data::Vault as fn(String) -> Data), (UNSAFE, Data::Unsafe)] {
            if let Some(Entry { value: Data::Text(text), .. }) = map.get_mut(&Key::text(mark)) {
                return Ok(make(std::mem::take(text)));
            }
        }
        Ok(Data::Map(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_keeps_its_order_and_the_last_of_two_values() {
        let data: Data = serde_json::from_str(r#"{"b": 1, "a": [null, 1.0], "b": 2}"#).unwrap();
        let Data::Map(map) = &data else { panic!("{data:?}") };
        assert_eq!(map.keys().map(|k| k.text.as_str()).collect::<Vec<_>>(), ["b", "a"]);
        assert_eq!(Value::from(data), json!({"a": [null, 1.0], "b": 2}));
    }

    #[test]
    fn marks_survive_the_way_through_json() {
        for mark in [VAULT, UNSAFE] {
            let value = json!({"x": {mark: "text"}});
            let data: Data = serde_json::from_value(value.clone()).unwrap();
            assert_eq!(Value::from(data), value);
        }
    }

    #[test]
    fn integers_that_no_machine_number_holds_stay_as_written() {
        let big = "123456789012345678901234567890";
        assert_eq!(Data::integer(big.parse().ok(), big), Data::Text(big.to_owned()));
        assert_eq!(Value::from(Data::integer(Some(i128::from(u64::MAX)), "")), json!(u64::MAX));
    }
}
