//! Failures after which a node is done again, from the start: `retry` in the section `deploy` of `hostler.yaml`.

use base::{Error, Result};
use inventory::{Inventory, Selection, Selector};
use regex::{Regex, RegexBuilder};
use serde::Deserialize;
use std::{collections::BTreeMap, time::Duration};

/// Failures of some nodes that may go away by themselves.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RetryRule {
    /// The nodes; all where none is named.
    pub nodes: Vec<Selector>,
    /// Regular expressions: one of them matches what was said on standard output.
    pub stdout: Vec<String>,
    /// Regular expressions: one of them matches what was said on standard error.
    pub stderr: Vec<String>,
    /// How often.
    pub times: u32,
    /// How long to wait before, in seconds.
    pub delay: u32,
}

impl Default for RetryRule {
    fn default() -> Self {
        RetryRule { nodes: Vec::new(), stdout: Vec::new(), stderr: Vec::new(), times: 1, delay: 0 }
    }
}

/// When one node is done again.
#[derive(Clone, Debug, Default)]
pub struct Again {
    rules: Vec<Compiled>,
    /// How often, whatever the rules say.
    pub times: Option<u32>,
}

#[derive(Clone, Debug)]
struct Compiled {
    stdout: Vec<Regex>,
    stderr: Vec<Regex>,
    times: u32,
    delay: Duration,
}

impl Again {
    /// How long to wait before a node that failed is done again; `None` where it is not. It failed as often as `attempts`
    /// says.
    pub fn pause(&self, attempts: u32, stdout: &str, stderr: &str) -> Option<Duration> {
        let said = |expressions: &[Regex], text: &str| expressions.iter().any(|e| e.is_match(text));
        let declared = self.rules.iter().filter(|r| said(&r.stdout, stdout) || said(&r.stderr, stderr));
        declared.filter(|r| attempts <= self.times.unwrap_or(r.times)).map(|r| r.delay).min()
    }
}

/// What rules say of each node that they mean.
///
/// # Errors
/// Nodes are named that do not exist, or an expression is none.
pub async fn of_all(rules: &[RetryRule], inventory: &Inventory) -> Result<BTreeMap<String, Again>> {
    let mut all: BTreeMap<String, Again> = BTreeMap::new();
    for rule in rules {
        let include = if rule.nodes.is_empty() { vec![Selector::All] } else { rule.nodes.clone() };
        let selection = Selection { include, allow_empty: true, ..Selection::default() };
        let nodes = selection.select(inventory).await.map_err(|e| e.at("deploy.retry"))?;
        let compiled = Compiled {
            stdout: compile(&rule.stdout)?,
            stderr: compile(&rule.stderr)?,
            times: rule.times,
            delay: Duration::from_secs(rule.delay.into()),
        };
        for node in nodes {
            all.entry(node.name.clone()).or_default().rules.push(compiled.clone());
        }
    }
    Ok(all)
}

fn compile(expressions: &[String]) -> Result<Vec<Regex>> {
    let one = |text: &String| {
        // As where these come from: `^` and `$` are the ends of lines.
        RegexBuilder::new(text).multi_line(true).build().map_err(|e| {
            Error::invalid("deploy.retry", format!("'{text}' is not a regular expression")).because(e)
        })
    };
    expressions.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use inventory::Node;

    async fn of(yaml: &str) -> Result<BTreeMap<String, Again>> {
        let node = |name: &str| (name.to_owned(), Node { name: name.into(), ..Node::default() });
        let mut inventory = Inventory::default();
        inventory.nodes = [node("web1"), node("web2")].into();
        of_all(&serde_saphyr::from_str::<Vec<RetryRule>>(yaml).unwrap(), &inventory).await
    }

    #[tokio::test]
    async fn only_declared_errors_of_the_nodes_that_are_meant_are_tried_again() {
        let yaml = "[{stderr: ['lost$'], times: 2, delay: 3}, {nodes: [web2], stdout: [busy]}]";
        let mut all = of(yaml).await.unwrap();
        let second = Duration::from_secs(3);
        assert_eq!(all["web1"].pause(2, "busy", "it was lost\nat 9\n"), Some(second));
        assert_eq!(all["web1"].pause(3, "", "it was lost"), None);
        assert_eq!(all["web1"].pause(1, "busy", "lost it"), None);
        assert_eq!(all["web2"].pause(1, "busy", ""), Some(Duration::ZERO));
        let web1 = all.get_mut("web1").unwrap();
        web1.times = Some(5);
        assert_eq!(web1.pause(5, "", "it was lost"), Some(second));
        web1.times = Some(0);
        assert_eq!(web1.pause(1, "", "it was lost"), None);
        for wrong in ["[{stderr: ['(']}]", "[{nodes: [web9]}]"] {
            assert_eq!(of(wrong).await.unwrap_err().field.as_deref(), Some("deploy.retry"));
        }
    }
}
