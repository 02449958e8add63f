//! `%h` and its like (ssh_config(5), TOKENS), `~/` and `${NAME}`. Pure.

use super::Surroundings;
use base::{Code, Error, Result};
use std::path::{Path, PathBuf};

/// Replaces `%%` and the tokens given.
///
/// # Errors
/// [`Code::Invalid`] for another token.
pub(crate) fn expand(text: &str, tokens: &[(char, &str)]) -> Result<String> {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('%') => out.push('%'),
            Some(name) => match tokens.iter().find(|(known, _)| *known == name) {
                Some((_, value)) => out.push_str(value),
                None => return Err(unknown(&format!("%{name}"), text)),
            },
            None => return Err(unknown("%", text)),
        }
    }
    Ok(out)
}

fn unknown(token: &str, text: &str) -> Error {
    Error::new(Code::Invalid, format!("the token {token} is not known here"))
        .because(format!("it stands in '{text}'"))
        .hint("write %% for a percent sign")
}

/// Replaces `${NAME}` by variables of the environment.
///
/// # Errors
/// [`Code::Invalid`] for a variable that is not set.
pub(crate) fn variables(text: &str, me: &Surroundings) -> Result<String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        let wrong = |why: String| Error::new(Code::Invalid, why).because(format!("it stands in '{text}'"));
        out.push_str(&rest[..start]);
        let inner = &rest[start + 2..];
        let end = inner.find('}').ok_or_else(|| wrong("a ${ is not closed".into()))?;
        let name = &inner[..end];
        let value =
            me.environment.get(name).ok_or_else(|| wrong(format!("the variable {name} is not set")))?;
        out.push_str(value);
        rest = &inner[end + 1..];
    }
    out.push_str(rest);
    Ok(out)
}

/// Replaces a `~` at the start by the home directory of whoever runs us.
///
/// # Errors
/// [`Code::Invalid`] for the home directory of somebody else.
pub(crate) fn home(text: &str, me: &Surroundings) -> Result<PathBuf> {
    match text.strip_prefix('~') {
        None => Ok(PathBuf::from(text)),
        Some("") => Ok(me.home.clone()),
        Some(rest) => match rest.strip_prefix('/') {
            Some(rest) => Ok(me.home.join(rest.trim_start_matches('/'))),
            None => Err(Error::new(Code::Invalid, format!("we do not know the home directory in '{text}'"))
                .hint("write the path in full")),
        },
    }
}

/// A path below the directory where relative ones start.
pub(crate) fn below(dir: &Path, path: PathBuf) -> PathBuf {
    if path.is_absolute() { path } else { dir.join(path) }
}
