//! Single lines of files that others own.

use super::{Attributes, Change, Content, File, Kind, Look, Presence, World, word};
use base::{Error, Result};
use bytes::Bytes;
use regex::Regex;
use serde::{Deserialize, Serialize};
use ssh::quote;

/// A line of a file. `T` is text, before or after its templates are rendered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line<T> {
    /// The file, absolute or from `~/`. It must be there.
    pub path: T,
    /// The line, without its end. With `absent`, `matching` may stand for it.
    #[serde(default = "none")]
    pub line: Option<T>,
    /// A regular expression for the line that it takes the place of; the last such line is meant. Where none matches, the
    /// line is added at the end. With `absent`, all that match are removed.
    #[serde(default = "none")]
    pub matching: Option<T>,
    /// Whether it must be there.
    #[serde(default)]
    pub state: Presence,
}

fn none<T>() -> Option<T> {
    None
}

impl Line<String> {
    /// What has to be seen.
    pub fn look(&self, look: &mut Look) {
        look.path(&self.path, Content::Always);
    }

    /// What would change.
    pub fn plan(&self, world: &mut World) -> Result<Option<Change>> {
        let path = world.absolute(&self.path);
        let Some(seen) = world.paths.get(&path) else {
            return match (self.state, world.may_have(&path) && self.matching.is_none()) {
                (Presence::Absent, _) => Ok(None),
                // A package of an earlier step may bring the file.
                (Presence::Present, true) => {
                    let line = self.line.as_deref().unwrap_or_default();
                    let script = format!("line {} {}", word(&self.path), quote(line));
                    let diff = vec![format!("> {line}")];
                    Ok(Some(Change::new(format!("Change file {path}"), diff, script)))
                }
                (Presence::Present, false) => Err(Error::not_found(format!("there is no file {path}"))
                    .hint("add a step before this one that creates it")),
            };
        };
        let Kind::File(_) = seen.kind else {
            return Err(super::in_the_way(&path, seen.kind.noun(), "file"));
        };
        let Some(old) = &seen.content else {
            return Err(super::file::unreadable(&path, seen.size));
        };
        let Ok(text) = std::str::from_utf8(old) else {
            return Err(Error::conflict(format!("{path} is not a text")));
        };
        let new = self.edited(text)?;
        if new == text {
            return Ok(None);
        }
        File::new(self.path.clone(), Some(Bytes::from(new)), Attributes::default()).plan(world)
    }

    /// The text with the line in it, or without it.
    fn edited(&self, text: &str) -> Result<String> {
        let expression = self.matching.as_deref().map(Regex::new).transpose().map_err(|e| {
            Error::new(base::Code::Invalid, "the expression of `matching` is not one").because(e)
        })?;
        let wanted = self.line.as_deref();
        let matches = |line: &str| {
            let line = line.strip_suffix('\n').unwrap_or(line);
            wanted == Some(line) || expression.as_ref().is_some_and(|e| e.is_match(line))
        };
        let mut lines: Vec<&str> = text.split_inclusive('\n').collect();
        if self.state == Presence::Absent {
            lines.retain(|l| !matches(l));
            return Ok(lines.concat());
        }
        if lines.iter().any(|l| Some(l.strip_suffix('\n').unwrap_or(l)) == wanted) {
            return Ok(text.to_owned());
        }
        let wanted = format!("{}\n", wanted.unwrap_or_default());
        if let Some(place) = lines.iter().rposition(|l| matches(l)) {
            lines[place] = &wanted;
        } else {
            if lines.last().is_some_and(|l| !l.ends_with('\n')) {
                lines.push("\n");
            }
            lines.push(&wanted);
        }
        Ok(lines.concat())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn line(line: &str, matching: Option<&str>, state: Presence) -> Line<String> {
        Line { path: "/f".into(), line: Some(line.into()), matching: matching.map(Into::into), state }
    }

    #[test]
    fn a_line_is_added_or_takes_the_place_of_another() {
        let present = |matching| line("a=2", matching, Presence::Present);
        assert_eq!(present(None).edited("x\n").unwrap(), "x\na=2\n");
        assert_eq!(present(None).edited("x").unwrap(), "x\na=2\n");
        assert_eq!(present(Some("^a=")).edited("a=1\nx\na=3\n").unwrap(), "a=1\nx\na=2\n");
        assert_eq!(present(Some("^a=")).edited("a=2\n").unwrap(), "a=2\n");
        assert_eq!(line("a", Some("^b"), Presence::Absent).edited("b1\na\nb2").unwrap(), "");
        assert!(present(Some("(")).edited("").is_err());
        let without = Line { line: None, ..line("", Some("^b"), Presence::Absent) };
        assert_eq!(without.edited("b\n\na\n").unwrap(), "\na\n");
    }

    proptest! {
        #[test]
        fn what_is_edited_needs_no_second_edit(text in "([abx]=?[12]?\n){0,6}[ab]?", wanted in "[ab]=[12]", absent: bool) {
            let state = if absent { Presence::Absent } else { Presence::Present };
            let step = line(&wanted, Some("^a="), state);
            let once = step.edited(&text).unwrap();
            prop_assert_eq!(step.edited(&once).unwrap(), once);
        }
    }
}
