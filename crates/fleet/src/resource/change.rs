//! What a step would change: in words, as a difference, and as lines for `sh` that do just that.

use serde::{Deserialize, Serialize};

/// One thing that would change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// In words: `Create file /etc/motd`.
    pub title: String,
    /// The difference: lines that begin with `<` for what is, with `>` for what will be.
    pub diff: Vec<String>,
}

/// What a step would change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Each thing.
    pub parts: Vec<Part>,
    /// Lines for `sh`, with the functions of `apply.sh`. They end at the first failure.
    pub script: String,
}

impl Change {
    /// One thing, and the command that does it. One of several lines says itself what ends the step, as one with
    /// `|| return` does.
    pub fn new(title: impl Into<String>, diff: Vec<String>, script: impl Into<String>) -> Self {
        Change { parts: vec![Part { title: title.into(), diff }], script: line(&script.into()) }
    }

    /// Adds what follows it.
    pub fn push(&mut self, next: Change) {
        self.parts.extend(next.parts);
        self.script.push_str(&next.script);
    }

    /// As it is, unless it is nothing.
    pub fn some(self) -> Option<Self> {
        (!self.parts.is_empty()).then_some(self)
    }
}

/// A command on its own line, which ends the step where it fails.
fn line(command: &str) -> String {
    let says_itself = command.contains('\n') || command.ends_with("|| return");
    if says_itself { format!("{command}\n") } else { format!("{command} || return\n") }
}

/// A pair of difference lines.
pub fn pair(what: &str, old: &str, new: &str) -> [String; 2] {
    [format!("< {what} {old}"), format!("> {what} {new}")]
}
