//! Patterns that select hosts: `all`, `web*`, `~regex`, `web[0:2]`, and these with `:` or `,` between, `&` for those in
//! both and `!` for those not in it.

use super::{address, glob::Glob, inventory::AnsibleInventory};
use base::{Code, Error, Result};
use fancy_regex::Regex;
use indexmap::IndexSet;
use std::{collections::HashSet, sync::Arc};

/// Names for this machine, which is there without being in any inventory.
pub(super) const LOCALHOST: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

impl AnsibleInventory {
    /// The hosts that a pattern selects, in Ansible's order, each once. Plain patterns count first, then those with `&`,
    /// then those with `!`. None at all is not an error. `localhost` selects this machine even where no source names it.
    pub fn select(&self, pattern: &str) -> Result<Vec<Arc<str>>> {
        let mut selector = Selector { inventory: self, this_machine: None };
        selector.evaluate(&split(pattern)).map(|hosts| hosts.into_iter().collect())
    }
}

/// The parts of a pattern. Where there is a comma, colons separate nothing, nor do those of addresses and ranges.
fn split(pattern: &str) -> Vec<&str> {
    let parts = if pattern.contains(',') {
        pattern.split(',').collect()
    } else if address::parse(pattern).is_some() {
        vec![pattern]
    } else {
        split_at_colons(pattern)
    };
    parts.into_iter().map(str::trim).filter(|p| !p.is_empty()).collect()
}

fn split_at_colons(pattern: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut begin, mut at) = (0, 0);
    while let Some(c) = pattern[at..].chars().next() {
        if c == '['
            && let Some(end) = pattern[at..].find(']')
        {
            at += end + 1;
            continue;
        }
        let next = at + c.len_utf8();
        if matches!(c, ':' | '[' | ']') || c.is_whitespace() {
            parts.push(&pattern[begin..at]);
            begin = next;
        }
        at = next;
    }
    parts.push(&pattern[begin..]);
    parts
}

struct Selector<'a> {
    inventory: &'a AnsibleInventory,
    /// The name that this machine got first, where no source has one for it.
    this_machine: Option<Arc<str>>,
}

impl Selector<'_> {
    fn evaluate(&mut self, parts: &[&str]) -> Result<IndexSet<Arc<str>>> {
        let (mut both, mut without, mut plain) = (Vec::new(), Vec::new(), Vec::new());
        for part in parts {
            match part.as_bytes()[0] {
                b'!' => without.push(&part[1..]),
                b'&' => both.push(&part[1..]),
                _ => plain.push(*part),
            }
        }
        if plain.is_empty() {
            plain.push("all");
        }
        let mut hosts = IndexSet::new();
        for part in plain {
            match self.inventory.hosts.get_key_value(part) {
                Some((name, _)) => drop(hosts.insert(name.clone())),
                None => hosts.extend(self.one(part)?),
            }
        }
        for part in both {
            let those: HashSet<_> = self.one(part)?.into_iter().collect();
            hosts.retain(|host| those.contains(host));
        }
        for part in without {
            let those: HashSet<_> = self.one(part)?.into_iter().collect();
            hosts.retain(|host| !those.contains(host));
        }
        Ok(hosts)
    }

    /// The hosts of one part, perhaps some of them twice.
    fn one(&mut self, part: &str) -> Result<Vec<Arc<str>>> {
        let (expression, subscript) = match Subscript::split(part)? {
            Some((expression, subscript)) => (expression, Some(subscript)),
            None => (part, None),
        };
        let hosts = self.matches(expression)?;
        match subscript {
            Some(subscript) if !hosts.is_empty() => subscript.of(hosts).ok_or_else(|| {
                Error::new(Code::NotFound, format!("the pattern '{part}' asks for a host that is not there"))
            }),
            _ => Ok(hosts),
        }
    }

    fn matches(&mut self, expression: &str) -> Result<Vec<Arc<str>>> {
        let names = Names::new(expression)?;
        let mut found = Vec::new();
        let mut groups = 0;
        for group in self.inventory.groups.keys().filter(|name| names.matches(name)) {
            groups += 1;
            found.extend(self.inventory.members(group));
        }
        let hosts = &self.inventory.hosts;
        let mut found: Vec<Arc<str>> = found
            .into_iter()
            .filter_map(|name| hosts.get_key_value(name))
            .map(|(name, _)| name.clone())
            .collect();
        // The name of a group is only that; what is no plain name may be both.
        if groups == 0 || expression.starts_with('~') || expression.contains(['.', '?', '*', '[']) {
            found.extend(hosts.keys().filter(|name| names.matches(name)).cloned());
        }
        if found.is_empty() && LOCALHOST.contains(&expression) {
            found.push(self.this_machine(expression));
        }
        Ok(found)
    }

    fn this_machine(&mut self, name: &str) -> Arc<str> {
        let named = self.inventory.hosts.keys().find(|name| LOCALHOST.contains(&&***name));
        named.cloned().unwrap_or_else(|| self.this_machine.get_or_insert_with(|| name.into()).clone())
    }
}

/// What names are compared with.
enum Names {
    Glob(Glob),
    Regex(Regex),
}

impl Names {
    fn new(expression: &str) -> Result<Self> {
        let Some(regex) = expression.strip_prefix('~') else { return Ok(Names::Glob(Glob::new(expression))) };
        let regex = Regex::new(&format!("^(?:{regex})")).map_err(|e| {
            Error::new(Code::Invalid, format!("the pattern '{expression}' is not a regular expression"))
                .because(e)
        })?;
        Ok(Names::Regex(regex))
    }

    fn matches(&self, name: &str) -> bool {
        match self {
            Names::Glob(glob) => glob.matches(name),
            Names::Regex(regex) => regex.is_match(name).unwrap_or(false),
        }
    }
}

/// Which of the hosts of a part: `[2]`, `[-1]`, `[1:3]` with both ends, `[1:]`.
#[derive(Clone, Copy)]
enum Subscript {
    One(i64),
    Between(usize, Option<usize>),
}

impl Subscript {
    fn split(part: &str) -> Result<Option<(&str, Self)>> {
        let empty = || Error::new(Code::Invalid, "a pattern has '!' or '&' with nothing behind");
        let first = part.chars().next().ok_or_else(empty)?;
        let split = || {
            let (expression, inner) = part.strip_suffix(']')?.rsplit_once('[')?;
            Some((expression, Self::read(inner)?)).filter(|_| !expression.is_empty())
        };
        Ok(if first == '~' { None } else { split() })
    }

    fn read(inner: &str) -> Option<Self> {
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if digits(inner.strip_prefix('-').unwrap_or(inner)) {
            return Some(Subscript::One(inner.parse().ok()?));
        }
        let (from, to) = inner.split_once([':', '-'])?;
        let to = if to.is_empty() { None } else { Some(to.parse().ok().filter(|_| digits(to))?) };
        Some(Subscript::Between(from.parse().ok().filter(|_| digits(from))?, to))
    }

    fn of(self, hosts: Vec<Arc<str>>) -> Option<Vec<Arc<str>>> {
        let one = |at: usize| hosts.get(at).map(|host| vec![host.clone()]);
        match self {
            Subscript::One(at) => {
                let back = usize::try_from(at.unsigned_abs()).ok()?;
                if at < 0 { one(hosts.len().checked_sub(back)?) } else { one(back) }
            }
            // An end of 0 is no end for Ansible.
            Subscript::Between(from, Some(0)) => one(from),
            Subscript::Between(from, to) => {
                let take = to.map_or(usize::MAX, |to| (to + 1).saturating_sub(from));
                Some(hosts.into_iter().skip(from).take(take).collect())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colons_separate_only_where_they_are_of_nothing_else() {
        for (pattern, parts) in [
            ("web:&prod:!web3", &["web", "&prod", "!web3"][..]),
            ("a,b:c, ,d", &["a", "b:c", "d"]),
            ("web[0:2]:db", &["web[0:2]", "db"]),
            ("web[1:3]", &["web[1:3]"]),
            ("::1", &["::1"]),
            ("web1:22", &["web1:22"]),
            ("a b:c", &["a", "b", "c"]),
            (" ", &[]),
        ] {
            assert_eq!(split(pattern), parts, "{pattern}");
        }
    }
}
