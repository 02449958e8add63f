//! Query strings from the types of `api::query`.

use base::{Error, Result};
use serde::Serialize;
use serde_json::Value;

/// `a=1&b=x%20y`, in the order of the type's fields. Absent and null fields are left out; lists are repeated.
pub(crate) fn encode(query: &impl Serialize) -> Result<String> {
    let value =
        serde_json::to_value(query).map_err(|e| Error::internal("cannot write a query").because(e))?;
    let Value::Object(fields) = value else {
        return Err(Error::internal("a query must have named fields"));
    };
    let mut pairs = Vec::new();
    for (name, value) in fields {
        match value {
            Value::Null => {}
            Value::Array(items) => pairs.extend(items.iter().map(|item| pair(&name, item))),
            value => pairs.push(pair(&name, &value)),
        }
    }
    Ok(pairs.join("&"))
}

fn pair(name: &str, value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    format!("{}={}", api::routes::encode(name), api::routes::encode(&text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::{query::WatchQuery, stream::ExecRequest};

    #[test]
    fn fields_become_pairs() {
        let since = Some(base::Revision::new(1, 7));
        let watch = WatchQuery { kinds: Some("vm,worker".into()), project: None, since };
        assert_eq!(encode(&watch).unwrap(), "kinds=vm%2Cworker&since=1-7");
        let exec =
            ExecRequest { command: Some("a b&c".into()), tty: true, rows: 24, ..ExecRequest::default() };
        assert_eq!(encode(&exec).unwrap(), "command=a%20b%26c&rows=24&tty=true");
        assert_eq!(encode(&ExecRequest::default()).unwrap(), "");
    }
}
