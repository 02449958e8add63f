//! The small questions of all tests of a node, as one script, and the answers taken apart again.

use super::{Kind, outcome::Found, way::Way};
use crate::session::{Command, Ended};
use base::Result;
use std::{fmt::Write as _, time::Duration};

/// The most that the answers of one node may be long.
const MOST: usize = 4 << 20;
/// How long all answers together may take: `df` waits for file systems of hosts that are down.
const PATIENCE: Duration = Duration::from_mins(1);

/// A question that a node answers at once, without being changed.
pub trait Probe: Send + Sync {
    /// Lines for `sh`.
    fn script(&self) -> String;

    /// What the answer means. Standard error is part of it.
    fn judge(&self, answer: &Answer<'_>) -> Found;
}

/// What a node answered.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    pub code: u32,
    pub text: &'a str,
}

impl Answer<'_> {
    /// The answer as a complaint, for a question that no node should fail to answer.
    pub fn failed(&self) -> Found {
        let text = self.text.trim();
        let said = if text.is_empty() { String::new() } else { format!(": {text}") };
        Found::wrong(format!("the command for it ended with {}{said}", self.code))
    }
}

/// Asks all questions in one command.
///
/// # Errors
/// The node was lost.
pub async fn ask(way: &Way, probes: &[(Kind, Box<dyn Probe>)]) -> Result<Vec<Found>> {
    let mark = format!("hostler-{}", rt::ids::uid());
    let command = Command { timeout: Some(PATIENCE), ..Command::sh(script(&mark, probes)) };
    let output = way.output(command, MOST).await?;
    let text = String::from_utf8_lossy(&output.stdout);
    let mut answers = answers(&mark, &text);
    let missing = match output.ended {
        _ if output.truncated => "the node said more than 4 MiB".to_owned(),
        Ended::Timeout => format!("the node did not answer within {} s", PATIENCE.as_secs()),
        Ended::Code(code) => format!("the shell of the node ended with {code} before it answered"),
        Ended::Signal(name) => format!("the shell of the node was ended by signal {name}"),
    };
    Ok(probes
        .iter()
        .map(|(_, probe)| {
            answers.next().map_or_else(|| Found::wrong(&missing), |answer| probe.judge(&answer))
        })
        .collect())
}

/// Each question in a shell of its own, after each answer the mark and the code.
fn script(mark: &str, probes: &[(Kind, Box<dyn Probe>)]) -> String {
    let mut script = String::from("LC_ALL=C; export LC_ALL\n");
    for (_, probe) in probes {
        let lines = probe.script();
        let _ = write!(script, "(\n{lines}\n) 2>&1 </dev/null\nprintf '\\n{mark} %d\\n' \"$?\"\n");
    }
    script
}

fn answers<'a>(mark: &'a str, text: &'a str) -> impl Iterator<Item = Answer<'a>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (text, after) = rest.split_once(mark)?;
        let (code, after) = after.split_once('\n')?;
        rest = after;
        Some(Answer { code: code.trim().parse().ok()?, text: text.strip_suffix('\n').unwrap_or(text) })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn answers_are_taken_apart_as_they_were_put_together(
            said in prop::collection::vec(("[a-z\n ]{0,20}", 0..256_u32), 0..6), cut in any::<prop::sample::Index>(),
        ) {
            let text = said.iter().fold(String::new(), |all, (text, code)| format!("{all}{text}\nMARK {code}\n"));
            let found: Vec<_> = answers("MARK", &text).map(|a| (a.text.to_owned(), a.code)).collect();
            prop_assert_eq!(&found, &said);
            // What was cut off is missing, and what came before is whole.
            let part: Vec<_> =
                answers("MARK", &text[..cut.index(text.len() + 1)]).map(|a| (a.text.to_owned(), a.code)).collect();
            prop_assert!(said.starts_with(&part));
        }
    }
}
