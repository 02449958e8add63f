//! Permissions and owners of paths.

use super::{Look, World, change::pair, world::Seen};
use base::{Error, Result};
use ssh::quote;

/// The setuid and the setgid bit.
const SET_ID: u32 = 0o6000;

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
    /// What has to be seen: whether there are such accounts and groups.
    pub fn look(&self, look: &mut Look) {
        self.owner.iter().filter(|name| is_name(name)).for_each(|name| look.account(name));
        self.group.iter().filter(|name| is_name(name)).for_each(|name| look.group(name));
    }

    /// Makes sure that there are such accounts and groups.
    ///
    /// # Errors
    /// [`base::Code::NotFound`] where there are none.
    pub fn known(&self, world: &World) -> Result<()> {
        self.owner.iter().filter(|name| is_name(name)).try_for_each(|name| world.account(name))?;
        self.group.iter().filter(|name| is_name(name)).try_for_each(|name| world.group(name))
    }

    /// What is said here, and the permissions that a change of the owner of a file would take away.
    #[must_use]
    pub fn keeping(&self, seen: &Seen) -> Self {
        let taken = (seen.mode & SET_ID != 0).then_some(seen.mode);
        Attributes { mode: self.mode.or(taken), ..self.clone() }
    }

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
        // With fewer digits chmod leaves setuid and setgid bits of directories as they are.
        let mode = self.mode.map_or_else(|| "-".into(), |mode| format!("{mode:05o}"));
        let word = |name: &Option<String>| name.as_ref().map_or_else(|| "-".into(), |n| quote(n));
        format!("{mode} {} {}", word(&self.owner), word(&self.group))
    }
}

/// Whether this is no number.
pub fn is_name(text: &str) -> bool {
    !text.bytes().all(|b| b.is_ascii_digit())
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
