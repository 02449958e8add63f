//! Options as Ruby's OptionParser reads them: each word of a name may be cut short (`--node-service` for
//! `--nodes-service`, `--all` for `--all-nodes`), `_` is `-`, capitals do not count, `--name=value`, `-nvalue`, `-pW`.

use super::tools::{Means, Opt, Tool};
use crate::{Failure, Result};
use base::{Code, Error};
use std::{ffi::OsString, os::unix::ffi::OsStringExt};

/// An option on the command line.
#[derive(Debug)]
pub struct Given {
    pub option: &'static Opt,
    pub value: Option<OsString>,
}

impl Given {
    /// The command of ours that it asks for in the place of the tool's own.
    pub fn instead(&self) -> Option<&'static [&'static str]> {
        if let Means::Instead(words) = self.option.means { Some(words) } else { None }
    }

    /// What it is on our command line.
    pub fn ours(&self, tool: &Tool) -> Result<Vec<OsString>> {
        let value = || self.value.clone();
        match self.option.means {
            Means::Flag(flag) => Ok(std::iter::once(flag.into()).chain(value()).collect()),
            Means::Words(words) => Ok(words.iter().map(Into::into).collect()),
            Means::Instead(_) => Ok(Vec::new()),
            Means::Usual(usual, _) if value().is_some_and(|v| v == usual) => Ok(Vec::new()),
            Means::Usual(_, hint) => {
                let given = value().unwrap_or_default();
                let what = format!("--{} {}", self.option.long, given.to_string_lossy());
                Err(unknown_yet(tool, &what, hint))
            }
            Means::NotYet(hint) => Err(unknown_yet(tool, &format!("--{}", self.option.long), hint)),
        }
    }
}

fn unknown_yet(tool: &Tool, what: &str, hint: &str) -> Failure {
    Error::new(Code::Invalid, format!("{} does not know {what} yet", tool.name)).hint(hint).into()
}

/// Reads all arguments.
pub fn read(tool: &'static Tool, args: &[OsString]) -> Result<Vec<Given>> {
    let mut given = Vec::new();
    let mut args = args.iter().map(|a| a.clone().into_vec());
    while let Some(arg) = args.next() {
        let mut next = |option: &Opt| {
            let missing = || wrong(tool, format!("--{} needs a value", option.long));
            args.next().ok_or_else(missing)
        };
        if let Some(long) = arg.strip_prefix(b"--").filter(|l| !l.is_empty()) {
            let end = long.iter().position(|b| *b == b'=').unwrap_or(long.len());
            let name = String::from_utf8_lossy(&long[..end]).into_owned();
            let option = find(tool, &name)?;
            let value = match (option.value, long.get(end + 1..)) {
                (true, Some(value)) => Some(value.to_vec()),
                (true, None) => Some(next(option)?),
                (false, None) => None,
                (false, Some(_)) => return Err(wrong(tool, format!("--{} takes no value", option.long))),
            };
            given.push(Given { option, value: value.map(OsString::from_vec) });
        } else if let Some(mut letters) = arg.strip_prefix(b"-").filter(|l| !l.is_empty()) {
            while let [letter, rest @ ..] = letters {
                let option = short(tool, char::from(*letter))?;
                let value = match (option.value, rest) {
                    (true, []) => Some(next(option)?),
                    (true, rest) => Some(rest.to_vec()),
                    (false, _) => None,
                };
                letters = if option.value { &[] } else { rest };
                given.push(Given { option, value: value.map(OsString::from_vec) });
            }
        } else {
            return Err(wrong(tool, format!("unknown argument '{}'", String::from_utf8_lossy(&arg))));
        }
    }
    Ok(given)
}

fn short(tool: &'static Tool, letter: char) -> Result<&'static Opt> {
    // Where two groups of options use a letter, that system gives it to the one that is registered later.
    tool.options()
        .filter(|o| o.short == Some(letter))
        .last()
        .ok_or_else(|| wrong(tool, format!("unknown option '-{letter}'")))
}

/// The option of that name, or the only one that it may be short for. Of several the shortest is meant, where its name
/// begins all others (`--node`, not `--nodes-list`).
fn find(tool: &'static Tool, name: &str) -> Result<&'static Opt> {
    let name = name.to_lowercase().replace('_', "-");
    if let Some(exact) = tool.options().find(|o| o.long == name) {
        return Ok(exact);
    }
    let mut candidates: Vec<&Opt> = tool.options().filter(|o| is_short_for(&name, o.long)).collect();
    candidates.sort_by_key(|o| o.long.len());
    match candidates[..] {
        [] => Err(wrong(tool, format!("unknown option '--{name}'"))),
        [first, ref others @ ..] if others.iter().all(|o| o.long.starts_with(first.long)) => Ok(first),
        _ => {
            let names: Vec<String> = candidates.iter().map(|o| format!("--{}", o.long)).collect();
            Err(wrong(tool, format!("'--{name}' may be {}", names.join(" or "))))
        }
    }
}

fn is_short_for(name: &str, long: &str) -> bool {
    let mut parts = long.split('-');
    name.split('-').all(|word| parts.next().is_some_and(|part| part.starts_with(word)))
}

fn wrong(tool: &Tool, message: String) -> Failure {
    Error::new(Code::Invalid, message).hint(format!("see {} --help", tool.name)).into()
}
