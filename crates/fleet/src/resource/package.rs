//! Packages of the system: apt, dnf and apk.

use super::{Change, Look, OneOrMany, Presence, World};
use base::{Error, Result};
use serde::{Deserialize, Serialize};
use ssh::quote;

/// Packages. `T` is text, before or after its templates are rendered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Package<T> {
    /// Their names.
    #[serde(bound(deserialize = "T: Deserialize<'de> + super::FromText"))]
    pub name: OneOrMany<T>,
    /// The version that it must have, as the package manager writes it; only for a single name.
    #[serde(default = "Option::default")]
    pub version: Option<T>,
    /// Whether they must be installed.
    #[serde(default)]
    pub state: Presence,
    /// Whether the package manager first asks its sources what is new, where something has to be installed.
    #[serde(default)]
    pub update: bool,
}

impl Package<String> {
    /// What has to be seen. `key` is of this step alone.
    pub fn look(&self, look: &mut Look, key: usize) {
        look.packages(self.name.0.iter().map(String::as_str));
        look.tool("base64");
        if !self.update {
            let words: Vec<String> = self.name.0.iter().map(|n| self.word(n)).collect();
            look.foretell(key, self.verb(), &words);
        }
    }

    /// What would change.
    pub fn plan(&self, world: &mut World, key: usize) -> Result<Option<Change>> {
        if world.manager.is_empty() {
            return Err(Error::not_found("the node has no package manager that is known")
                .hint("known are apt, dnf and apk"));
        }
        let off: Vec<&String> = self.name.0.iter().filter(|n| !self.holds(world, n)).collect();
        if off.is_empty() {
            return Ok(None);
        }
        if let Some(why) = world.cannot.get(&key).filter(|_| !world.loose) {
            let verb = self.verb();
            let names = off.iter().map(|n| n.as_str()).collect::<Vec<_>>().join(", ");
            return Err(Error::not_found(format!("{} cannot {verb} {names}", world.manager))
                .because(last_words(why))
                .hint("check the name; where the lists of the node are old, say `update: true`"));
        }
        let diff = world.would.get(&key).map_or_else(
            || off.iter().map(|n| self.sentence(world, n)).collect(),
            |lines| lines.iter().filter_map(|l| apt_line(l)).collect(),
        );
        let names: Vec<String> = off.iter().map(|n| quote(&self.managed_word(world, n))).collect();
        let update =
            if self.update && self.state == Presence::Present { "managed update || return\n" } else { "" };
        let script = format!("{update}managed {} {}", self.verb(), names.join(" "));
        for name in &off {
            match self.state {
                Presence::Present => {
                    world.packages.insert((*name).clone(), self.version.clone().unwrap_or_default());
                }
                Presence::Absent => drop(world.packages.remove(*name)),
            }
        }
        // Packages bring files, users and tools.
        world.loose |= self.state == Presence::Present;
        let what = if off.len() == 1 { "package" } else { "packages" };
        let title = match self.state {
            Presence::Present => format!("Install {what} {}", list(&off)),
            Presence::Absent => format!("Remove {what} {}", list(&off)),
        };
        let script = if update.is_empty() { script } else { format!("{script} || return") };
        Ok(Some(Change::new(title, diff, script)))
    }

    fn holds(&self, world: &World, name: &str) -> bool {
        match (self.state, world.packages.get(name), &self.version) {
            (Presence::Present, Some(has), Some(wanted)) => {
                has == wanted || (world.manager == "dnf" && is_rpm_version(has, wanted))
            }
            (Presence::Present, has, _) => has.is_some(),
            (Presence::Absent, has, _) => has.is_none(),
        }
    }

    fn verb(&self) -> &'static str {
        if self.state == Presence::Present { "install" } else { "remove" }
    }

    /// A name with its version, as apt and apk write it.
    fn word(&self, name: &str) -> String {
        self.version.as_ref().map_or_else(|| name.to_owned(), |v| format!("{name}={v}"))
    }

    fn managed_word(&self, world: &World, name: &str) -> String {
        match (&self.version, world.manager.as_str()) {
            (Some(version), "dnf") => format!("{name}-{version}"),
            _ => self.word(name),
        }
    }

    fn sentence(&self, world: &World, name: &str) -> String {
        let has = world.packages.get(name);
        match (self.state, has) {
            (Presence::Absent, has) => format!("< package {name} {}", has.map_or("", String::as_str)),
            (Presence::Present, _) => format!("> package {}", self.word(name)),
        }
    }
}

/// Whether a version of rpm, `[EPOCH:]VERSION-RELEASE`, is one that may be written without its epoch and its release.
fn is_rpm_version(has: &str, wanted: &str) -> bool {
    let plain = has.split_once(':').map_or(has, |(_, rest)| rest);
    let is =
        |has: &str| has.strip_prefix(wanted).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'));
    is(has) || is(plain)
}

/// `Inst NAME [OLD] (NEW ...)` and `Remv NAME [OLD]`, as `apt-get -s` prints them.
fn apt_line(line: &str) -> Option<String> {
    let mut words = line.split(' ');
    let (verb, name) = (words.next()?, words.next()?);
    let mut words = words.peekable();
    let old = words.next_if(|w| w.starts_with('[')).map(|w| w.trim_matches(['[', ']']));
    match verb {
        "Inst" => {
            let new = words.next()?.trim_start_matches('(');
            let from = old.map(|o| format!(" (now {o})")).unwrap_or_default();
            Some(format!("> package {name} {new}{from}"))
        }
        "Remv" => Some(format!("< package {name} {}", old.unwrap_or_default())),
        _ => None,
    }
}

fn list(names: &[&String]) -> String {
    names.iter().map(|n| n.as_str()).collect::<Vec<_>>().join(", ")
}

/// What a tool calls an error, else what it says last, is why it failed. dnf 5 ends with advice.
fn last_words(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
    let is_error = |line: &&&str| ["E:", "Error:", "No match for"].iter().any(|mark| line.starts_with(mark));
    lines.iter().rev().find(is_error).or(lines.last()).map_or("", |l| l).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_apt_are_read() {
        let line = "Inst jq [1.6-1] (1.6-2.1 Debian:12/stable [amd64])";
        assert_eq!(apt_line(line).unwrap(), "> package jq 1.6-2.1 (now 1.6-1)");
        assert_eq!(apt_line("Inst jq (1.6-2.1 Debian)").unwrap(), "> package jq 1.6-2.1");
        assert_eq!(apt_line("Remv jq [1.6-2.1]").unwrap(), "< package jq 1.6-2.1");
        assert_eq!(apt_line("Conf jq (1.6)"), None);
    }

    #[test]
    fn rpm_versions_may_be_written_short() {
        for wanted in ["1:2.3-4", "2.3-4", "2.3"] {
            assert!(is_rpm_version("1:2.3-4", wanted), "{wanted}");
        }
        for wanted in ["2.3-5", "2", "2.", "3-4"] {
            assert!(!is_rpm_version("1:2.3-4", wanted), "{wanted}");
        }
    }

    #[test]
    fn the_reason_is_what_a_manager_calls_an_error() {
        let said = "Reading package lists...\nE: Unable to locate package nosuch\n\n";
        assert_eq!(last_words(said), "E: Unable to locate package nosuch");
        let said = "Failed to resolve the transaction:\nNo match for argument: nosuch\nYou can try to add to command line:\n  --skip-unavailable to skip unavailable packages\n";
        assert_eq!(last_words(said), "No match for argument: nosuch");
    }
}
