//! Accounts of the node.

use super::{Change, Look, OneOrMany, Presence, World, attributes::is_name, change::pair, world::Account};
use base::{Code, Error, Result};
use serde::{Deserialize, Serialize};
use ssh::quote;
use std::{collections::BTreeSet, fmt::Write as _};

/// An account. What is not said is left as it is, or as the system makes it. `T` is text, before or after its templates
/// are rendered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct User<T> {
    /// Its name.
    pub name: T,
    /// Whether it must be there. One that must not keeps its home directory.
    #[serde(default)]
    pub state: Presence,
    /// Its number.
    #[serde(default = "Option::default")]
    pub uid: Option<T>,
    /// Its primary group, which must be there; without one, new accounts get a group of their own name.
    #[serde(default = "Option::default")]
    pub group: Option<T>,
    /// Other groups that it must be in. It may be in more.
    #[serde(default = "Option::default", bound(deserialize = "T: Deserialize<'de> + super::FromText"))]
    pub groups: Option<OneOrMany<T>>,
    /// Its comment, by convention the full name.
    #[serde(default = "Option::default")]
    pub comment: Option<T>,
    /// Its home directory.
    #[serde(default = "Option::default")]
    pub home: Option<T>,
    /// Its login shell.
    #[serde(default = "Option::default")]
    pub shell: Option<T>,
    /// Whether a new account is one of the system: a low number and no home directory.
    #[serde(default)]
    pub system: bool,
}

impl User<String> {
    /// What has to be seen.
    pub fn look(&self, look: &mut Look) {
        look.user(&self.name);
        self.uid.iter().for_each(|uid| look.account(uid));
        self.named_groups().for_each(|group| look.group(group));
        look.tool("base64");
    }

    /// What would change.
    pub fn plan(&self, world: &mut World) -> Result<Option<Change>> {
        let (name, word) = (&self.name, quote(&self.name));
        let has = world.users.get(name).cloned();
        if self.state == Presence::Present {
            self.possible(has.as_ref(), world)?;
        }
        match (self.state, has) {
            (Presence::Absent, None) => Ok(None),
            (Presence::Absent, Some(has)) => {
                world.users.remove(name);
                world.accounts.remove(name);
                world.accounts.remove(&has.uid);
                Ok(Some(Change::new(
                    format!("Remove user {name}"),
                    Vec::new(),
                    format!("user_remove {word}"),
                )))
            }
            (Presence::Present, None) => {
                let diff = self.differences(&Account::default()).into_iter();
                let diff = diff.map(|d| format!("> {} {}", d.what, d.wanted)).collect();
                world.users.insert(name.clone(), self.applied(&Account::default()));
                if self.group.is_none() {
                    world.groups.insert(name.clone());
                }
                if !self.system {
                    let home = self.home.clone().unwrap_or_else(|| format!("/home/{name}"));
                    world.brought.insert(home);
                }
                Ok(Some(Change::new(format!("Create user {name}"), diff, self.create())))
            }
            (Presence::Present, Some(has)) => {
                let differences = self.differences(&has);
                if differences.is_empty() {
                    return Ok(None);
                }
                let diff = differences.iter().flat_map(|d| pair(d.what, &d.has, &d.wanted)).collect();
                let mut script = String::from("user_change");
                for d in &differences {
                    let _ = write!(script, " {} {}", d.flag, quote(&d.argument));
                }
                world.users.insert(name.clone(), self.applied(&has));
                Ok(Some(Change::new(format!("Change user {name}"), diff, format!("{script} -- {word}"))))
            }
        }
    }

    /// Makes sure that there can be such an account: its groups are there, its number is nobody else's, and what it says
    /// fits into a line of passwd(5).
    fn possible(&self, has: Option<&Account>, world: &World) -> Result<()> {
        self.named_groups().try_for_each(|group| world.group(group))?;
        let taken = |uid: &&String| has.is_none_or(|has| has.uid != **uid) && world.accounts.contains(*uid);
        if let Some(uid) = self.uid.as_ref().filter(taken) {
            return Err(Error::conflict(format!("the uid {uid} is another user's on the node"))
                .hint("choose another number, or none"));
        }
        let fields = [("comment", &self.comment), ("home", &self.home), ("shell", &self.shell)];
        for (what, text) in fields.into_iter().filter_map(|(what, text)| Some((what, text.as_ref()?))) {
            if text.contains([':', '\n']) {
                return Err(Error::new(Code::Invalid, format!("a {what} has no ':' and no line feed in it")));
            }
        }
        Ok(())
    }

    /// The groups that must be there.
    fn named_groups(&self) -> impl Iterator<Item = &str> {
        let all = self.group.iter().chain(self.groups.iter().flat_map(|groups| &groups.0));
        all.map(String::as_str).filter(|group| is_name(group))
    }

    fn differences(&self, has: &Account) -> Vec<Difference> {
        let fields = [
            ("uid", "-u", &self.uid, &has.uid),
            ("group", "-g", &self.group, &has.group),
            ("comment", "-c", &self.comment, &has.comment),
            ("home", "-d", &self.home, &has.home),
            ("shell", "-s", &self.shell, &has.shell),
        ];
        let mut all: Vec<Difference> = fields
            .into_iter()
            .filter_map(|(what, flag, wanted, has)| {
                let wanted = wanted.clone().filter(|w| w != has)?;
                Some(Difference { what, flag, has: has.clone(), argument: wanted.clone(), wanted })
            })
            .collect();
        let wanted: BTreeSet<String> = self.groups.iter().flat_map(|g| g.0.iter().cloned()).collect();
        let more: Vec<String> = wanted.difference(&has.groups).cloned().collect();
        if !more.is_empty() {
            let text = |set: &BTreeSet<String>| set.iter().cloned().collect::<Vec<_>>().join(",");
            all.push(Difference {
                what: "groups",
                flag: "-aG",
                has: text(&has.groups),
                wanted: text(&wanted.union(&has.groups).cloned().collect()),
                argument: more.join(","),
            });
        }
        all
    }

    fn create(&self) -> String {
        let kind = if self.system { "-r" } else { "-m" };
        let groups = self.groups.as_ref().map(|g| g.0.join(","));
        let words = [&self.uid, &self.group, &groups, &self.comment, &self.home, &self.shell];
        let words: Vec<String> = words.map(|w| quote(w.as_deref().unwrap_or_default())).into();
        format!("user_create {} {kind} {}", quote(&self.name), words.join(" "))
    }

    fn applied(&self, has: &Account) -> Account {
        let or = |wanted: &Option<String>, has: &String| wanted.clone().unwrap_or_else(|| has.clone());
        let mut groups = has.groups.clone();
        groups.extend(self.groups.iter().flat_map(|g| g.0.iter().cloned()));
        Account {
            uid: or(&self.uid, &has.uid),
            group: or(&self.group, &has.group),
            comment: or(&self.comment, &has.comment),
            home: or(&self.home, &has.home),
            shell: or(&self.shell, &has.shell),
            groups,
        }
    }
}

/// Something of an account that is not as it should be.
struct Difference {
    what: &'static str,
    /// The flag of `useradd` and `usermod`.
    flag: &'static str,
    has: String,
    wanted: String,
    argument: String,
}
