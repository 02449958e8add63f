//! A configuration file as a list of what it says, line by line. Pure: files that it includes come in through a
//! function.

use super::{
    keyword::{self, Shape},
    words,
};
use base::{Code, Error, Result};
use std::{fmt, sync::Arc};

/// A line of a file.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct At {
    pub(crate) file: Arc<str>,
    /// Counted from 1; 0 where there are no lines.
    pub(crate) line: usize,
}

impl At {
    /// What was given directly, not by a file.
    pub(crate) fn given() -> Self {
        At { file: Arc::from("the options given"), line: 0 }
    }
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line == 0 { f.write_str(&self.file) } else { write!(f, "{}:{}", self.file, self.line) }
    }
}

/// The value of a keyword.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Setting {
    pub(crate) at: At,
    pub(crate) keyword: &'static str,
    pub(crate) shape: Shape,
    pub(crate) words: Vec<String>,
}

/// One thing that a file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Item {
    Host(At, Vec<String>),
    Match(At, Vec<String>),
    Include(Vec<Script>),
    Set(Setting),
    /// A keyword that nobody knows here.
    Unknown(At, String),
}

/// A file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Script {
    pub(crate) items: Vec<Item>,
}

/// Finds the files of an `Include` line.
pub(crate) type Includes<'a> = &'a mut dyn FnMut(&At, &[String]) -> Result<Vec<Script>>;

/// Reads a file's text.
///
/// # Errors
/// [`Code::Invalid`] with the place of a line that cannot be read.
pub(crate) fn parse(name: &str, text: &str, includes: Includes<'_>) -> Result<Script> {
    let file: Arc<str> = Arc::from(name);
    let mut items = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let at = At { file: Arc::clone(&file), line: number + 1 };
        if let Some((keyword, rest)) = words::keyword(line) {
            items.push(item(at, keyword, rest, includes)?);
        }
    }
    Ok(Script { items })
}

fn item(at: At, keyword: String, rest: &str, includes: Includes<'_>) -> Result<Item> {
    match keyword.as_str() {
        "host" => {
            let patterns = arguments(&at, &keyword, rest)?;
            Ok(Item::Host(at, patterns))
        }
        "match" => {
            let criteria = words::criteria(rest).ok_or_else(|| open_quote(&at))?;
            Ok(Item::Match(at, criteria))
        }
        "include" => {
            let names = arguments(&at, &keyword, rest)?;
            Ok(Item::Include(includes(&at, &names)?))
        }
        _ => match keyword::find(&keyword) {
            Some(_) => Ok(Item::Set(setting(at, &keyword, rest)?)),
            None => Ok(Item::Unknown(at, keyword)),
        },
    }
}

/// The value of a known keyword.
///
/// # Errors
/// [`Code::Invalid`] for a keyword that is not known, and for too many or too few words.
pub(crate) fn setting(at: At, name: &str, rest: &str) -> Result<Setting> {
    let (keyword, shape) = keyword::find(name)
        .ok_or_else(|| Error::invalid(at.to_string(), format!("'{name}' is not a keyword of ssh_config")))?;
    let words = match shape {
        Shape::Rest => {
            let text = rest.trim_start_matches([' ', '\t', '=']);
            if text.is_empty() {
                return Err(missing(&at, name));
            }
            vec![text.to_owned()]
        }
        Shape::Unused => Vec::new(),
        _ => arguments(&at, name, rest)?,
    };
    if matches!(shape, Shape::One | Shape::Each) && words.len() > 1 {
        return Err(Error::invalid(at.to_string(), format!("{name} takes one argument"))
            .because(format!("{} words follow it", words.len()))
            .hint("put a value with blanks into double quotes"));
    }
    Ok(Setting { at, keyword, shape, words })
}

fn arguments(at: &At, keyword: &str, rest: &str) -> Result<Vec<String>> {
    let words = words::split(rest).ok_or_else(|| open_quote(at))?;
    if words.is_empty() { Err(missing(at, keyword)) } else { Ok(words) }
}

fn missing(at: &At, keyword: &str) -> Error {
    Error::new(Code::Invalid, format!("{keyword} needs an argument")).at(at.to_string())
}

fn open_quote(at: &At) -> Error {
    Error::new(Code::Invalid, "a quote is not closed").at(at.to_string())
}
