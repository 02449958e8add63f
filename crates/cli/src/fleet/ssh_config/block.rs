//! One `Host` block of ssh_config(5).

use base::{Code, Error, Result};
use serde::{Serialize, Serializer, ser::SerializeMap};
use std::{fmt, path::Path};

/// A `Host` block; without settings a remark that there is none.
#[derive(Debug)]
pub struct Block {
    /// The alias.
    pub host: String,
    remark: String,
    settings: Vec<(&'static str, String)>,
}

impl Block {
    /// A block for this alias, with a remark before it.
    pub fn new(host: &str, remark: &str) -> Self {
        let remark = remark.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        Block { host: host.to_owned(), remark, settings: Vec::new() }
    }

    /// Whether `Host` would take the name for what it is.
    pub fn can_be(host: &str) -> bool {
        let plain = |c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | ':' | '@' | '+' | '/');
        !host.is_empty() && !host.starts_with('-') && host.chars().all(plain)
    }

    /// What it says for a keyword, as it is written.
    pub fn get(&self, keyword: &str) -> Option<&str> {
        self.settings.iter().find(|(known, _)| *known == keyword).map(|(_, value)| value.as_str())
    }

    /// One word as the value of a keyword that expands nothing.
    pub fn word(&mut self, keyword: &'static str, value: &str) -> Result<()> {
        self.set(keyword, quoted(value))
    }

    /// One word as the value of a keyword that expands `%`.
    pub fn expanded(&mut self, keyword: &'static str, value: &str) -> Result<()> {
        self.set(keyword, quoted(&value.replace('%', "%%")))
    }

    /// Paths; none at all is `none`.
    pub fn paths(&mut self, keyword: &'static str, paths: &[impl AsRef<Path>]) -> Result<()> {
        let word = |path: &Path| quoted(&path.display().to_string().replace('%', "%%"));
        let words: Vec<String> = paths.iter().map(|path| word(path.as_ref())).collect();
        self.set(keyword, if words.is_empty() { "none".into() } else { words.join(" ") })
    }

    /// The rest of a line, as it is but for `%`.
    pub fn line(&mut self, keyword: &'static str, value: &str) -> Result<()> {
        self.set(keyword, value.replace('%', "%%"))
    }

    /// Nothing from an inventory may begin a line of its own.
    fn set(&mut self, keyword: &'static str, value: String) -> Result<()> {
        if value.chars().any(char::is_control) {
            let message =
                format!("the {keyword} of {} has a line break or another control character", self.host);
            return Err(Error::new(Code::Invalid, message));
        }
        self.settings.push((keyword, value));
        Ok(())
    }
}

/// In double quotes where it must be.
fn quoted(value: &str) -> String {
    let plain = |c: char| !c.is_whitespace() && !matches!(c, '"' | '\'' | '#' | '\\');
    if !value.is_empty() && value.chars().all(plain) {
        return value.to_owned();
    }
    format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
}

impl fmt::Display for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.remark.is_empty() {
            writeln!(f, "# {}: {}", self.host, self.remark)?;
        }
        if !self.settings.is_empty() {
            writeln!(f, "Host {}", self.host)?;
        }
        self.settings.iter().try_for_each(|(keyword, value)| writeln!(f, "    {keyword} {value}"))
    }
}

impl Serialize for Block {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("Host", &self.host)?;
        for (i, (keyword, value)) in self.settings.iter().enumerate() {
            // A keyword that stands there twice is a list.
            if self.settings[..i].iter().any(|(before, _)| before == keyword) {
                continue;
            }
            let values: Vec<&str> =
                self.settings.iter().filter(|(k, _)| k == keyword).map(|(_, v)| v.as_str()).collect();
            match values.as_slice() {
                [_] => map.serialize_entry(keyword, value)?,
                several => map.serialize_entry(keyword, several)?,
            }
        }
        map.end()
    }
}
