//! JSON merge patches (RFC 7396).

use serde_json::{Map, Value};

/// Changes `target` as `patch` says: null removes, objects merge, all else replaces.
pub fn merge(target: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *target = patch;
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(target) = target else { return };
    for (key, value) in patch {
        if value.is_null() {
            target.remove(&key);
        } else {
            merge(target.entry(key).or_insert(Value::Null), value);
        }
    }
}

/// Labels to set, `key=value`, and to remove, `key-`.
pub fn labels(changes: &[String]) -> Result<Value, base::Error> {
    let mut patch = Map::new();
    for change in changes {
        let (key, value) = match (change.split_once('='), change.strip_suffix('-')) {
            (Some((key, value)), _) => (key, Value::from(value)),
            (None, Some(key)) => (key, Value::Null),
            (None, None) => {
                return Err(base::Error::invalid(
                    "label",
                    format!("'{change}' neither sets nor removes a label"),
                )
                .hint(format!("write {change}=VALUE to set it, {change}- to remove it")));
            }
        };
        patch.insert(key.to_owned(), value);
    }
    Ok(Value::Object(patch))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn as_the_rfc_says() {
        let cases = [
            (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "b", "b": "c"}), json!({"a": null}), json!({"b": "c"})),
            (json!({"a": {"b": "c"}}), json!({"a": {"b": "d", "c": null}}), json!({"a": {"b": "d"}})),
            (json!({"a": [1]}), json!({"a": [2, 3]}), json!({"a": [2, 3]})),
            (json!({"a": "c"}), json!({"a": {"b": {"x": null}}}), json!({"a": {"b": {}}})),
        ];
        for (mut target, patch, result) in cases {
            merge(&mut target, patch);
            assert_eq!(target, result);
        }
    }

    #[test]
    fn labels_are_set_and_removed() {
        assert_eq!(labels(&["a=1".into(), "b-".into()]).unwrap(), json!({"a": "1", "b": null}));
        assert!(labels(&["a".into()]).unwrap_err().hint.unwrap().contains("a-"));
    }
}
