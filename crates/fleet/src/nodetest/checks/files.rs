//! Files that must be there, or must not.

use crate::nodetest::{
    outcome::Found,
    probe::{Answer, Probe},
    wanted::Both,
};
use std::fmt::Write as _;

/// Says of a path whether it is there; where a directory above it may not be entered, nobody knows.
const SEEN: &str = r#"seen() {
  if [ -e "$1" ] || [ -L "$1" ]; then echo yes; return; fi
  dir=${1%/*}
  while [ -n "$dir" ] && [ ! -e "$dir" ]; do dir=${dir%/*}; done
  if [ -x "${dir:-/}" ]; then echo no; else echo unknown; fi
}
"#;

/// Paths, and whether each must be there.
pub struct Files(Vec<(String, bool)>);

impl Files {
    pub fn new(both: &Both<String>) -> Self {
        let there = both.there.iter().map(|path| (path.clone(), true));
        Files(there.chain(both.not_there.iter().map(|path| (path.clone(), false))).collect())
    }
}

impl Probe for Files {
    fn script(&self) -> String {
        let mut script = SEEN.to_owned();
        for (path, _) in &self.0 {
            let _ = writeln!(script, "seen {}", ssh::quote(path));
        }
        script
    }

    fn judge(&self, answer: &Answer<'_>) -> Found {
        let seen: Vec<&str> = answer.text.lines().collect();
        if answer.code != 0 || seen.len() != self.0.len() {
            return answer.failed();
        }
        let wrong = self.0.iter().zip(seen).filter_map(|((path, wanted), seen)| match (seen, wanted) {
            ("yes", true) | ("no", false) => None,
            ("yes", false) => Some(format!("{path} is there")),
            ("no", true) => Some(format!("{path} is not there")),
            _ => Some(format!("this user may not look whether {path} is there")),
        });
        Found::of(wrong.collect())
    }
}
