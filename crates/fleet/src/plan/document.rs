//! Plans as data: for people's programs, and to be executed later.

use super::{Foretold, Plan, Planned};
use crate::resource::Part;
use base::{Code, Error, Result};
use secrets::Redactor;
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, collections::BTreeMap};

/// What is shown of a line that a secret takes the place of.
const HIDDEN: &str = "< (hidden, since a secret takes its place)";

/// The version of the format. Readers refuse others.
pub const VERSION: u32 = 1;

/// The plans of all nodes of a check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Document {
    /// The version of the format.
    pub version: u32,
    /// When it was made.
    pub made: jiff::Timestamp,
    /// By node.
    pub nodes: BTreeMap<String, NodeDocument>,
}

/// The plan of one node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeDocument {
    /// The digest of all that should be.
    pub inputs: String,
    /// The digest of all that was seen.
    pub observed: String,
    /// How many steps would change something.
    pub changes: usize,
    /// How many steps run code whose effects nobody knows.
    pub unknown: usize,
    /// All steps, in their order.
    pub steps: Vec<StepDocument>,
    /// The handlers that would run.
    pub handlers: Vec<StepDocument>,
}

/// What is foretold of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Prediction {
    /// Nothing changes.
    Same,
    /// What is said changes.
    Change,
    /// Nobody knows.
    Unknown,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StepDocument {
    /// Its service.
    pub service: String,
    /// What it is called.
    pub step: String,
    /// What is foretold.
    pub prediction: Prediction,
    /// What would change.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<Part>,
    /// Whether it runs code that may write, even in a check.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub may_write: bool,
}

impl Document {
    /// Reads a plan that was written before.
    ///
    /// # Errors
    /// [`Code::Invalid`] where it is none, or of another version.
    pub fn read(text: &str) -> Result<Self> {
        let wrong = |why: &dyn std::fmt::Display| {
            Error::new(Code::Invalid, "this is not a plan")
                .because(why)
                .hint("make one with `hostler check -o plan.json`")
        };
        let version = serde_json::from_str::<serde_json::Value>(text).map_err(|e| wrong(&e))?;
        match version.get("version").and_then(serde_json::Value::as_u64) {
            Some(v) if v == u64::from(VERSION) => serde_json::from_str(text).map_err(|e| wrong(&e)),
            Some(v) => Err(wrong(&format!("its version is {v}, and this program reads {VERSION}"))),
            None => Err(wrong(&"it has no version")),
        }
    }
}

impl NodeDocument {
    /// Whether nothing would be done.
    pub fn is_empty(&self) -> bool {
        self.changes == 0 && self.unknown == 0 && self.handlers.is_empty()
    }

    /// A plan without its secrets.
    pub fn new(plan: &Plan<'_>, redactor: &Redactor) -> Self {
        let steps = |all: &[Planned<'_>]| all.iter().map(|p| StepDocument::new(p, redactor)).collect();
        NodeDocument {
            inputs: plan.inputs.clone(),
            observed: plan.observed.clone(),
            changes: plan.changes(),
            unknown: plan.unknown(),
            steps: steps(&plan.steps),
            handlers: steps(&plan.handlers),
        }
    }
}

impl StepDocument {
    fn new(planned: &Planned<'_>, redactor: &Redactor) -> Self {
        let (prediction, parts) = match &planned.foretold {
            Foretold::Same => (Prediction::Same, Vec::new()),
            Foretold::Change(_) => (Prediction::Change, shown(planned, redactor)),
            Foretold::Unknown => (Prediction::Unknown, Vec::new()),
        };
        StepDocument {
            service: planned.service.to_owned(),
            step: redactor.text(&planned.step.name).into_owned(),
            prediction,
            parts,
            may_write: prediction == Prediction::Unknown,
        }
    }
}

/// What may be shown of a change.
pub fn shown(planned: &Planned<'_>, redactor: &Redactor) -> Vec<Part> {
    let Foretold::Change(change) = &planned.foretold else { return Vec::new() };
    let hidden = |part: &Part| {
        let lines = if part.diff.is_empty() { vec![] } else { vec!["(the difference is hidden)".to_owned()] };
        Part { title: redactor.text(&part.title).into_owned(), diff: lines }
    };
    let clear = |part: &Part| {
        // As one text, since a secret may have several lines.
        let diff = without_old_secrets(&part.diff, redactor).join("\n");
        let diff = redactor.text(&diff);
        Part {
            title: redactor.text(&part.title).into_owned(),
            diff: diff.lines().map(str::to_owned).collect(),
        }
    };
    change.parts.iter().map(|part| if planned.step.sensitive { hidden(part) } else { clear(part) }).collect()
}

/// A difference without what a secret takes the place of: that was a secret too, which nobody knows any more.
fn without_old_secrets(diff: &[String], redactor: &Redactor) -> Vec<String> {
    let of_hunk = |line: &String| ["<", ">", "---", "\\"].iter().any(|mark| line.starts_with(mark));
    let hunks = diff.chunk_by(|_, next| of_hunk(next));
    let clear = |hunk: &[String]| {
        let new: Vec<&str> = hunk.iter().filter_map(|line| line.strip_prefix("> ")).collect();
        let is_secret = matches!(redactor.text(&new.join("\n")), Cow::Owned(_));
        let line =
            |line: &String| if is_secret && line.starts_with('<') { HIDDEN.to_owned() } else { line.clone() };
        hunk.iter().map(line).collect::<Vec<_>>()
    };
    hunks.flat_map(clear).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::texts;
    use base::Secret;

    #[test]
    fn what_a_secret_takes_the_place_of_is_hidden_too() {
        let redactor = Redactor::new(&[Secret::new("new word")]).unwrap();
        let diff = texts(b"a\nkey old word\nb\nc\n", b"A\nkey new word\nb\nC\n");
        assert_eq!(
            without_old_secrets(&diff, &redactor),
            ["1,2c1,2", HIDDEN, HIDDEN, "---", "> A", "> key new word", "4c4", "< c", "---", "> C"]
        );
        let pair = ["< comment old word".to_owned(), "> comment new word".to_owned()];
        assert_eq!(without_old_secrets(&pair, &redactor), [HIDDEN, "> comment new word"]);
        assert_eq!(without_old_secrets(&diff, &Redactor::default()), diff);
    }
}
