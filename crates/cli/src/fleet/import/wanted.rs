//! From words about when and whether nodes are well to the sections `tests`, `schedules` and `deploy`.

use super::carry::{Verdict, scope};
use fleet::{nodetest::Kind, ruby::Statement};
use serde::Serialize;
use serde_json::{Map, Value, json};

/// The sections.
#[derive(Debug, Default, Serialize)]
pub struct Wanted {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    schedules: Vec<Value>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    tests: Map<String, Value>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    deploy: Map<String, Value>,
}

/// Words whose arguments are one list of a rule, and what that is called here.
const LISTS: [(&str, &str); 7] = [
    ("check_opened_ports", "opened_ports"),
    ("check_closed_ports", "closed_ports"),
    ("check_files_do_exist", "files"),
    ("check_files_do_not_exist", "no_files"),
    ("check_local_users_do_exist", "users"),
    ("check_local_users_do_not_exist", "no_users"),
    ("ignore_orphan_files_from", "ignore_orphans"),
];

impl Wanted {
    /// Adds what a line says; `None` where the line is about something else.
    pub fn add(&mut self, statement: &Statement) -> Option<Verdict> {
        let word = statement.word.as_str();
        if let Some((_, list)) = LISTS.iter().find(|(theirs, _)| *theirs == word) {
            return Some(self.rule(statement, list, &members(&statement.arguments)));
        }
        Some(match word {
            "check_mounts_do_include" => {
                mounts(statement).and_then(|all| self.rule(statement, "mounts", &all))
            }
            "check_mounts_do_not_include" => {
                mounts(statement).and_then(|all| self.rule(statement, "no_mounts", &all))
            }
            "expect_tests_to_fail" => self.expected_failures(statement),
            "deployment_schedule" => self.schedule(statement),
            "retry_deploy_for_errors_on_stdout" => self.retry(statement, "stdout"),
            "retry_deploy_for_errors_on_stderr" => self.retry(statement, "stderr"),
            "os_image" => self.image(statement),
            "tests_provisioner" => provisioner(statement),
            _ => return None,
        })
    }

    fn push_test(&mut self, list: &str, entry: Value) {
        push(&mut self.tests, list, entry);
    }

    fn rule(&mut self, statement: &Statement, name: &str, all: &[Value]) -> Verdict {
        if all.iter().any(is_pattern) {
            return Err("only plain values are known, not regular expressions".into());
        }
        self.push_test("rules", json!({ "for": scope(statement)?, name: all }));
        Ok(())
    }

    /// Tests that are not here cannot fail here.
    fn expected_failures(&mut self, statement: &Statement) -> Verdict {
        let Some((Value::String(reason), tests)) = statement.arguments.split_last() else {
            return Err("it gives no reason".into());
        };
        let names = members(tests);
        let (known, unknown): (Vec<&str>, Vec<&str>) =
            names.iter().filter_map(Value::as_str).partition(|name| name.parse::<Kind>().is_ok());
        if !known.is_empty() {
            let entry = json!({"tests": known, "for": scope(statement)?, "reason": reason});
            self.push_test("expected_failures", entry);
        }
        match unknown[..] {
            [] => Ok(()),
            _ => Err(format!("there is no test called {}", unknown.join(", "))),
        }
    }

    fn schedule(&mut self, statement: &Statement) -> Verdict {
        let given = statement.arguments.first().unwrap_or(&Value::Null);
        let by_hand = || "only daily_at and weekly_at are known".to_owned();
        let at = given.get("at").and_then(Value::as_str).ok_or_else(by_hand)?;
        let at: jiff::civil::Time = at.parse().map_err(|_| format!("'{at}' is no time of day"))?;
        let mut entry =
            json!({"nodes": scope(statement)?, "at": at.to_string(), "duration": given["seconds"]});
        if let Some(days) = given["every"].as_array() {
            let days = days.iter().filter_map(Value::as_str).map(str::to_lowercase);
            entry["days"] = days.collect::<Vec<_>>().into();
        }
        self.schedules.push(entry);
        Ok(())
    }

    /// There, `--retries-on-error` alone says how often.
    fn retry(&mut self, statement: &Statement, stream: &str) -> Verdict {
        let mut expressions = Vec::new();
        for given in members(&statement.arguments) {
            let text = given.as_str().unwrap_or_default();
            let expression = pattern(text).map_or_else(|| regex::escape(text), ToOwned::to_owned);
            regex::Regex::new(&expression)
                .map_err(|_| format!("/{expression}/ is written in another way here"))?;
            expressions.push(expression);
        }
        push(&mut self.deploy, "retry", json!({"nodes": scope(statement)?, stream: expressions, "times": 0}));
        Ok(())
    }

    /// The nodes whose metadata names the image are tried on it.
    fn image(&mut self, statement: &Statement) -> Verdict {
        let [Value::String(id), Value::String(dir), ..] = &statement.arguments[..] else {
            return Err("it names no directory".into());
        };
        let image = format!("hpc_image_{id}");
        let entry = json!({"for": [format!("image={id}")], "image": image});
        self.push_test("rules", entry);
        Err(format!(
            "carried over, but images are not built by hostler; do it once: docker build -t {image} {dir}"
        ))
    }
}

fn push(section: &mut Map<String, Value>, list: &str, entry: Value) {
    match section.entry(list).or_insert_with(|| Value::Array(Vec::new())) {
        Value::Array(all) => all.push(entry),
        other => *other = entry,
    }
}

/// Containers of Docker are made here too.
fn provisioner(statement: &Statement) -> Verdict {
    match statement.arguments.first().and_then(Value::as_str) {
        Some("docker") => Ok(()),
        other => Err(format!("there is no provisioner called {}", other.unwrap_or_default())),
    }
}

/// `{source: target}` as mounts.
fn mounts(statement: &Statement) -> Result<Vec<Value>, String> {
    let mut mounts = Vec::new();
    for (source, target) in statement.arguments.iter().filter_map(Value::as_object).flatten() {
        // What was a regular expression as a key is this as a text.
        if source.starts_with("(?") || is_pattern(target) {
            return Err("only plain values are known, not regular expressions".into());
        }
        mounts.push(json!({"source": source, "target": target}));
    }
    Ok(mounts)
}

/// Arguments, be they given one by one or as a list.
fn members(arguments: &[Value]) -> Vec<Value> {
    let several = |argument: &Value| argument.as_array().cloned().unwrap_or_else(|| vec![argument.clone()]);
    arguments.iter().flat_map(several).collect()
}

/// What is between the slashes of a regular expression. A path does not end with one.
fn pattern(text: &str) -> Option<&str> {
    text.strip_prefix('/')?.strip_suffix('/')
}

fn is_pattern(value: &Value) -> bool {
    value.as_str().is_some_and(|text| pattern(text).is_some())
}
