//! Inventories in the form of INI files: `[group]` with hosts and their variables, `[group:vars]`, `[group:children]`.

use super::{
    address,
    builder::{Builder, UNGROUPED},
    literal, words,
};
use base::{Code, Error, Result};
use indexmap::IndexMap;

/// What a section holds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Holds {
    Hosts,
    Vars,
    Children,
}

/// A group that was named before anything declared it.
enum Pending {
    /// By its variables, at this line.
    Vars(usize),
    /// As a child of these groups, first at this line.
    Child(usize, Vec<String>),
}

/// Adds what the file says.
pub(super) fn read(path: &str, text: &str, builder: &mut Builder) -> Result<()> {
    let mut ini = Ini { builder, pending: IndexMap::new(), group: "ungrouped".into(), at: UNGROUPED };
    let mut holds = Holds::Hosts;
    let text = text.replace("\r\n", "\n");
    for (number, line) in text.split(ENDS).enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        let read = match section(line) {
            Some((group, kind)) => ini.section(group, kind, number + 1).map(|kind| holds = kind),
            None => ini.entry(line, holds, number + 1),
        };
        read.map_err(|e| placed(e, path, number + 1))?;
    }
    ini.undeclared(path)
}

/// Where lines end for Python; `\r\n` is one end and not two.
const ENDS: [char; 10] =
    ['\n', '\r', '\u{b}', '\u{c}', '\u{1c}', '\u{1d}', '\u{1e}', '\u{85}', '\u{2028}', '\u{2029}'];

fn wrong(message: impl Into<String>) -> Error {
    Error::new(Code::Invalid, message)
}

/// The error with its line; what it named before goes into its message.
fn placed(mut error: Error, path: &str, line: usize) -> Error {
    if let Some(field) = error.field.take().filter(|f| f != path) {
        error.message = format!("{field}: {}", error.message);
    }
    error.at(format!("{path}:{line}"))
}

/// The name and the kind of a header like `[web:vars]`.
fn section(line: &str) -> Option<(&str, Option<&str>)> {
    let (inner, rest) = line.strip_prefix('[')?.split_once(']')?;
    let rest = rest.trim_start();
    if !rest.is_empty() && !rest.starts_with('#') {
        return None;
    }
    let (name, kind) = match inner.split_once(':') {
        Some((name, kind)) => (name, Some(kind)),
        None => (inner, None),
    };
    let is_word = |kind: &str| !kind.is_empty() && kind.chars().all(|c| c.is_alphanumeric() || c == '_');
    let fits = !name.is_empty() && !name.contains(char::is_whitespace) && kind.is_none_or(is_word);
    fits.then_some((name, kind))
}

struct Ini<'a> {
    builder: &'a mut Builder,
    pending: IndexMap<String, Pending>,
    /// The group of the current section.
    group: String,
    at: usize,
}

impl Ini<'_> {
    fn section(&mut self, group: &str, kind: Option<&str>, line: usize) -> Result<Holds> {
        let holds = match kind {
            None | Some("hosts") => Holds::Hosts,
            Some("vars") => Holds::Vars,
            Some("children") => Holds::Children,
            Some(other) => {
                return Err(wrong(format!("'{other}' is not a kind of section"))
                    .hint("use [group], [group:vars] or [group:children]"));
            }
        };
        let is_new = !self.builder.groups.contains_key(group);
        if is_new && holds == Holds::Vars {
            self.pending.entry(group.to_owned()).or_insert(Pending::Vars(line));
        }
        group.clone_into(&mut self.group);
        self.at = self.builder.add_group(group)?;
        if holds != Holds::Vars {
            self.declare(group)?;
        }
        Ok(holds)
    }

    /// Settles what was waiting for this group.
    fn declare(&mut self, group: &str) -> Result<()> {
        let Some(Pending::Child(_, parents)) = self.pending.shift_remove(group) else { return Ok(()) };
        let child = self.builder.add_group(group)?;
        for parent in parents {
            let at = self.builder.add_group(&parent)?;
            self.builder.add_child(at, child)?;
            if matches!(self.pending.get(&parent), Some(Pending::Child(..))) {
                self.declare(&parent)?;
            }
        }
        Ok(())
    }

    fn entry(&mut self, line: &str, holds: Holds, number: usize) -> Result<()> {
        if line.starts_with('[') && line.ends_with(']') {
            return Err(wrong(format!("'{line}' is not a header of a section"))
                .hint("use [group], [group:vars] or [group:children], without spaces"));
        }
        match holds {
            Holds::Hosts => self.hosts(line),
            Holds::Vars => {
                let (name, value) = assignment(line)?;
                let group = self.group.clone();
                self.builder.set(&group, name.trim(), literal::read(value.trim())?.into())
            }
            Holds::Children => self.child(line, number),
        }
    }

    fn hosts(&mut self, line: &str) -> Result<()> {
        let words = words::split(line, true).map_err(wrong)?;
        let Some((pattern, assignments)) = words.split_first() else { return Ok(()) };
        let (hosts, port) = address::expand(pattern)?;
        if pattern.trim().ends_with(':') && port.is_none() {
            return Err(wrong(format!("the host '{pattern}' ends with a colon but has no port")));
        }
        if hosts.iter().any(|h| h.trim() == "---") {
            return Err(wrong("'---' begins a YAML file, and this is read as INI"));
        }
        let mut vars = IndexMap::new();
        for word in assignments {
            let (name, value) = assignment(word)?;
            vars.insert(name, serde_json::Value::from(literal::read(value)?));
        }
        for host in hosts {
            self.builder.add_host(&host, self.at, port)?;
            for (name, value) in &vars {
                self.builder.set(&host, name, value.clone())?;
            }
        }
        Ok(())
    }

    fn child(&mut self, line: &str, number: usize) -> Result<()> {
        let name = child_name(line).ok_or_else(|| wrong(format!("'{line}' is not the name of a group")))?;
        if let Some(child) = self.builder.groups.get_index_of(name) {
            return self.builder.add_child(self.at, child);
        }
        let waiting = self.pending.entry(name.to_owned()).or_insert(Pending::Child(number, Vec::new()));
        if let Pending::Child(_, parents) = waiting {
            parents.push(self.group.clone());
        }
        Ok(())
    }

    /// The first group that something named and nothing declared.
    fn undeclared(&self, path: &str) -> Result<()> {
        let Some((name, pending)) = self.pending.first() else { return Ok(()) };
        let (line, message) = match pending {
            Pending::Vars(line) => (line, format!("'{name}' has variables but is no group")),
            Pending::Child(line, parents) => {
                let parent = parents.last().map_or("", String::as_str);
                (line, format!("'{parent}' has the child '{name}', which is no group"))
            }
        };
        Err(Error::invalid(format!("{path}:{line}"), message).hint(format!("add a section [{name}]")))
    }
}

/// A name with perhaps a comment behind it; a `#` within the name belongs to it.
fn child_name(line: &str) -> Option<&str> {
    let end = line.find(|c: char| matches!(c, ':' | ']') || c.is_whitespace()).unwrap_or(line.len());
    let (name, rest) = line.split_at(end);
    let rest = rest.trim_start();
    if rest.is_empty() || rest.starts_with('#') {
        return Some(name).filter(|n| !n.is_empty());
    }
    name.rsplit_once('#').map(|(name, _)| name).filter(|n| !n.is_empty())
}

fn assignment(text: &str) -> Result<(&str, &str)> {
    text.split_once('=').ok_or_else(|| wrong(format!("'{text}' is not an assignment name=value")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(text: &str) -> String {
        read("hosts", text, &mut Builder::new()).unwrap_err().field.unwrap()
    }

    #[test]
    fn what_is_wrong_has_a_place() {
        assert_eq!(place("a\n[web:foo]\n"), "hosts:2");
        assert_eq!(place("[web x]\n"), "hosts:1");
        assert_eq!(place("a b\n"), "hosts:1");
        assert_eq!(place("a x='b\n"), "hosts:1");
        assert_eq!(place("[a:vars]\nx=1\n"), "hosts:1");
        assert_eq!(place("[a:children]\n\nb\n"), "hosts:3");
        assert_eq!(place("[a:vars]\nx\n[a]\n"), "hosts:2");
        assert_eq!(place("a:\n"), "hosts:1");
        assert_eq!(place("[a:vars]\nx={{}}\n"), "hosts:2");
    }
}
