//! Permissions and owners of paths.

use super::{change::pair, world::Seen};
use base::{Error, Result};
use ssh::quote;

/// What a path should have; what is not said is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Attributes {
    /// Permissions.
    pub mode: Option<u32>,
    /// The user who owns it, by name or number.
    pub owner: Option<String>,
    /// Its group, by name or number.
    pub group: Option<String>,
}

impl Attributes {
    /// The lines of the difference.
    pub fn diff(&self, seen: &Seen) -> Vec<String> {
        let mut lines = Vec::new();
        if let Some(mode) = self.mode.filter(|m| *m != seen.mode) {
            lines.extend(pair("mode", &octal(seen.mode), &octal(mode)));
        }
        for (what, wanted, has) in [("owner", &self.owner, &seen.owner), ("group", &self.group, &seen.group)]
        {
            if let Some(wanted) = wanted.as_ref().filter(|w| !has.contains(w)) {
                lines.extend(pair(what, &has[1], wanted));
            }
        }
        lines
    }

    /// What a path has once these are applied.
    pub fn applied(&self, seen: &Seen) -> Seen {
        let mut seen = seen.clone();
        seen.mode = self.mode.unwrap_or(seen.mode);
        for (wanted, has) in [(&self.owner, &mut seen.owner), (&self.group, &mut seen.group)] {
            if let Some(wanted) = wanted.as_ref().filter(|w| !has.contains(w)) {
                *has = [wanted.clone(), wanted.clone()];
            }
        }
        seen
    }

    /// What is said here, and for the rest what there is: a file that is written anew loses nothing.
    #[must_use]
    pub fn or(&self, seen: &Seen) -> Self {
        let number = |of: &[String; 2]| Some(of[0].clone()).filter(|n| !n.is_empty());
        Attributes {
            mode: self.mode.or(Some(seen.mode)),
            owner: self.owner.clone().or_else(|| number(&seen.owner)),
            group: self.group.clone().or_else(|| number(&seen.group)),
        }
    }

    /// What is said here, and for the rest what new paths get.
    #[must_use]
    pub fn or_mode(&self, mode: u32) -> Self {
        Attributes { mode: self.mode.or(Some(mode)), ..self.clone() }
    }

    /// Three words for the functions of `apply.sh`; `-` is what is not said.
    pub fn words(&self) -> String {
        let mode = self.mode.map_or_else(|| "-".into(), octal);
        let word = |name: &Option<String>| name.as_ref().map_or_else(|| "-".into(), |n| quote(n));
        format!("{mode} {} {}", word(&self.owner), word(&self.group))
    }
}

/// Four octal digits.
pub fn octal(mode: u32) -> String {
    format!("{mode:04o}")
}

/// Reads `0644` or `644`.
pub fn mode(text: &str) -> Result<u32> {
    let digits = matches!(text.len(), 3..=5) && text.bytes().all(|b| matches!(b, b'0'..=b'7'));
    match u32::from_str_radix(text, 8) {
        Ok(mode) if digits && mode <= 0o7777 => Ok(mode),
        _ => Err(Error::new(base::Code::Invalid, format!("'{text}' is not a mode"))
            .hint("write it in octal digits, for example 0644")),
    }
}
