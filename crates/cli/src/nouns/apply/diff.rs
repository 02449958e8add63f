//! What would change: two values field by field.

use serde_json::Value;

/// Lines such as `~ spec.cpus: 1 -> 2`, `+ labels.a: "b"`, `- labels.c: "d"`. A null is nothing.
pub fn diff(path: &str, old: &Value, new: &Value) -> Vec<String> {
    match (old, new) {
        _ if old == new => Vec::new(),
        (Value::Object(a), Value::Object(b)) => {
            let mut keys: Vec<&String> = a.keys().chain(b.keys()).collect();
            keys.sort();
            keys.dedup();
            let inner = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
            keys.into_iter()
                .flat_map(|key| {
                    diff(
                        &inner(key),
                        &a.get(key).cloned().unwrap_or_default(),
                        &b.get(key).cloned().unwrap_or_default(),
                    )
                })
                .collect()
        }
        (Value::Null, new) => vec![format!("+ {path}: {new}")],
        (old, Value::Null) => vec![format!("- {path}: {old}")],
        (old, new) => vec![format!("~ {path}: {old} -> {new}")],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_what_differs() {
        let old = json!({"a": 1, "b": {"c": "x", "d": [1]}, "e": null});
        let new = json!({"a": 2, "b": {"d": [1], "f": true}});
        assert_eq!(diff("", &old, &new), ["~ a: 1 -> 2", "- b.c: \"x\"", "+ b.f: true"]);
        assert!(diff("", &old, &old).is_empty());
    }
}
