//! Secret values as YAML or JSON text.

use base::{Error, Result};
use serde_json::Value;
use std::collections::BTreeMap;

/// Reads a map. What is wrong is said by its place alone: the parser's own words may hold a value.
pub fn parse(what: &str, bytes: &[u8]) -> Result<BTreeMap<String, Value>> {
    let wrong = |message: &str| Error::new(base::Code::Invalid, format!("{what}: {message}"));
    let text = std::str::from_utf8(bytes).map_err(|_| wrong("this is not text"))?;
    let value: Value = if text.trim_start().starts_with('{') {
        // Most JSON is YAML, but not all.
        serde_json::from_str(text).or_else(|e| yaml(text).map_err(|_| (e.line(), e.column())))
    } else {
        yaml(text)
    }
    .map_err(|(line, column)| wrong(&format!("line {line}, column {column} is neither YAML nor JSON")))?;
    match value {
        Value::Object(fields) => Ok(fields.into_iter().collect()),
        Value::Null => Ok(BTreeMap::new()),
        _ => Err(wrong("a map of names and values is needed")),
    }
}

fn yaml(text: &str) -> Result<Value, (usize, usize)> {
    serde_saphyr::from_str(text).map_err(|e| {
        let place = e.without_snippet().location();
        place.map_or((1, 1), |at| {
            (usize::try_from(at.line()).unwrap_or(1), usize::try_from(at.column()).unwrap_or(1))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn yaml_and_json_are_read() {
        let read = |text: &str| json!(parse("x", text.as_bytes()).unwrap());
        assert_eq!(
            read("db:\n  password: s3cret\n  port: 5432\n"),
            json!({"db": {"password": "s3cret", "port": 5432}})
        );
        assert_eq!(read(r#"{"a": "\ud83d\ude00\/", "b": [1]}"#), json!({"a": "😀/", "b": [1]}));
        assert_eq!(read("# nothing yet\n"), json!({}));
    }

    #[test]
    fn mistakes_tell_the_place_and_no_value() {
        for text in [
            "db:\n  password: \"hunter2-value\n",
            "{\"password\": \"hunter2-value\" x}",
            "- hunter2-value",
            "a: *hunter2-value",
            "hunter2-value: 1\nhunter2-value: 2",
            "a: !!int hunter2-value",
            "hunter2-value",
        ] {
            let e = parse("secrets.yaml", text.as_bytes()).unwrap_err();
            assert!(!format!("{e:?}").contains("hunter2"), "{e:?}");
            assert!(e.message.starts_with("secrets.yaml: "), "{e:?}");
        }
    }
}
