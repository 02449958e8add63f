//! `hostler settings`.

use crate::{Failure, Result, app::App, args::Format, failure::OK};
use api::{Patch, Settings, routes::RouteId};
use base::Error;
use clap::Subcommand;
use serde_json::{Map, Value};

/// Settings of the cluster.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show all settings, or one
    Get {
        /// A setting, for example retention.eventDays
        key: Option<String>,
    },
    /// Change settings
    #[command(after_help = "Examples:\n  hostler settings set placementProfile=spread\n  \
                            hostler settings set retention.eventDays=14 retention.auditDays=365")]
    Set {
        /// Settings and their values; nothing after `=` takes one back to its default
        #[arg(required = true, value_name = "KEY=VALUE")]
        pairs: Vec<String>,
    },
}

impl Command {
    pub async fn run(self, app: &App) -> Result {
        let client = app.client()?;
        let settings: Settings = match &self {
            Command::Get { .. } => client.call(RouteId::GetSettings, &[]).send().await?,
            Command::Set { pairs } => {
                let current: Settings = client.call(RouteId::GetSettings, &[]).send().await?;
                let patch = Patch { labels: None, spec: Some(patch(pairs, &value_of(&current)?)?) };
                client.call(RouteId::PatchSettings, &[]).json(&patch).send().await?
            }
        };
        match self {
            Command::Get { key: Some(key) } => show_one(app, &value_of(&settings)?, &key),
            _ if app.printer.format.is_data() => {
                app.printer.value(&settings)?;
                Ok(OK)
            }
            Command::Get { key: None } => {
                show_all(app, &value_of(&settings)?);
                Ok(OK)
            }
            Command::Set { .. } => {
                app.printer.note("settings changed");
                Ok(OK)
            }
        }
    }
}

fn value_of(settings: &Settings) -> Result<Value> {
    let value = serde_json::to_value(&settings.spec);
    Ok(value.map_err(|e| Error::internal("cannot read the settings").because(e))?)
}

fn show_one(app: &App, spec: &Value, key: &str) -> Result {
    let value = spec.pointer(&format!("/{}", key.replace('.', "/"))).ok_or_else(|| unknown(key, spec))?;
    if app.printer.format.is_data() {
        app.printer.value(value)?;
    } else {
        app.printer.line(&plain(value));
    }
    Ok(OK)
}

fn show_all(app: &App, spec: &Value) {
    for (key, value) in leaves(spec) {
        let line = if app.printer.format == Format::Name { key } else { format!("{key}={}", plain(&value)) };
        app.printer.line(&line);
    }
}

/// All settings, `a.b` for `b` within `a`.
fn leaves(spec: &Value) -> Vec<(String, Value)> {
    let Value::Object(fields) = spec else { return Vec::new() };
    let mut all = Vec::new();
    for (key, value) in fields {
        if value.is_object() {
            all.extend(leaves(value).into_iter().map(|(k, v)| (format!("{key}.{k}"), v)));
        } else {
            all.push((key.clone(), value.clone()));
        }
    }
    all
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// A merge patch. The current values say which keys there are, and which are numbers or lists.
fn patch(pairs: &[String], current: &Value) -> Result<Value> {
    let known = leaves(current);
    let mut patch = Value::Object(Map::new());
    for pair in pairs {
        let (key, text) = pair
            .split_once('=')
            .ok_or_else(|| Failure::usage("KEY=VALUE", format!("'{pair}' has no '='")))?;
        let (_, old) = known.iter().find(|(k, _)| k == key).ok_or_else(|| unknown(key, current))?;
        let value = match old {
            _ if text.is_empty() => Value::Null,
            Value::String(_) => Value::from(text),
            Value::Array(_) if !text.starts_with('[') => text.split(',').map(str::trim).collect(),
            _ => serde_json::from_str(text).map_err(|_| {
                Error::invalid(key, format!("'{text}' is not a value for it")).hint(match old {
                    Value::Array(_) => "write values with commas between them",
                    _ => "write a number",
                })
            })?,
        };
        let nested = key
            .rsplit('.')
            .fold(value, |inner, part| Value::Object(Map::from_iter([(part.to_owned(), inner)])));
        deep_insert(&mut patch, nested);
    }
    Ok(patch)
}

/// As a merge patch merges, but nulls stay.
fn deep_insert(target: &mut Value, add: Value) {
    match (target, add) {
        (Value::Object(target), Value::Object(add)) => {
            for (key, value) in add {
                deep_insert(target.entry(key).or_insert(Value::Object(Map::new())), value);
            }
        }
        (target, add) => *target = add,
    }
}

fn unknown(key: &str, spec: &Value) -> Failure {
    let keys: Vec<String> = leaves(spec).into_iter().map(|(k, _)| k).collect();
    Error::invalid(key, "there is no such setting").hint(format!("settings are: {}", keys.join(", "))).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn pairs_become_a_merge_patch() {
        let current = serde_json::to_value(api::SettingsSpec::default()).unwrap();
        let pairs =
            ["placementProfile=spread", "retention.eventDays=3", "retention.auditDays="].map(String::from);
        let expected =
            json!({"placementProfile": "spread", "retention": {"eventDays": 3, "auditDays": null}});
        assert_eq!(patch(&pairs, &current).unwrap(), expected);
        assert!(
            patch(&["retention.x=1".into()], &current)
                .unwrap_err()
                .error
                .error
                .hint
                .unwrap()
                .contains("eventDays")
        );
        assert!(patch(&["workerOfflineSeconds=soon".into()], &current).is_err());
        for list in ["runnerNetworks=10.0.0.0/8, fd00::/8", "runnerNetworks=[\"10.0.0.0/8\",\"fd00::/8\"]"] {
            let expected = json!({"runnerNetworks": ["10.0.0.0/8", "fd00::/8"]});
            assert_eq!(patch(&[list.into()], &current).unwrap(), expected);
        }
    }
}
