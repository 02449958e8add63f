//! From files to the values of one host. The first value of a keyword counts. Pure.

use super::{
    Query, Surroundings,
    keyword::Shape,
    pattern,
    script::{At, Item, Script, Setting},
    tokens,
};
use base::{Code, Error};
use std::collections::BTreeMap;

/// A value and where it was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Value {
    pub(crate) at: At,
    pub(crate) words: Vec<String>,
}

/// What counts for one host, by keyword.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Values(pub(crate) BTreeMap<&'static str, Vec<Value>>);

impl Values {
    /// The one value of a keyword that has one word.
    pub(crate) fn one(&self, keyword: &str) -> Option<(&str, &At)> {
        let value = self.0.get(keyword)?.first()?;
        Some((value.words.first()?, &value.at))
    }

    pub(crate) fn text(&self, keyword: &str) -> Option<&str> {
        self.one(keyword).map(|(word, _)| word)
    }

    /// All words of all values.
    pub(crate) fn all(&self, keyword: &str) -> impl Iterator<Item = &str> {
        self.0.get(keyword).into_iter().flatten().flat_map(|v| v.words.iter().map(String::as_str))
    }

    /// Takes a value by the rule of its keyword.
    pub(crate) fn take(&mut self, setting: &Setting) {
        if self.is_taken(setting.keyword) {
            return;
        }
        let values = self.0.entry(setting.keyword).or_default();
        let counts = match setting.shape {
            Shape::One | Shape::Words | Shape::Rest => values.is_empty(),
            Shape::Each => !values.iter().any(|v| v.words == setting.words),
            Shape::EachWord => true,
            Shape::Unused | Shape::Foreign => false,
        };
        if counts {
            values.push(Value { at: setting.at.clone(), words: setting.words.clone() });
        }
        if values.is_empty() {
            self.0.remove(setting.keyword);
        }
    }

    /// Of the two ways through another host, whichever is said first counts; but a command may follow `ProxyJump none`.
    fn is_taken(&self, keyword: &str) -> bool {
        match keyword {
            "proxyjump" => self.0.contains_key("proxycommand"),
            "proxycommand" => self.text("proxyjump").is_some_and(|jump| !jump.eq_ignore_ascii_case("none")),
            _ => false,
        }
    }
}

/// Why the files alone do not give an answer.
#[derive(Debug)]
pub(crate) enum Stuck {
    /// They are wrong.
    Wrong(Error),
    /// Only OpenSSH itself can tell.
    Foreign(Error),
}

impl From<Error> for Stuck {
    fn from(e: Error) -> Self {
        Stuck::Wrong(e)
    }
}

fn foreign(at: &At, what: impl Into<String>) -> Stuck {
    Stuck::Foreign(Error::new(Code::Invalid, what).at(at.to_string()))
}

/// The values for a host: what is given first, then the files in their order; once more with the final host name where
/// the query or a `Match final` asks for it.
pub(crate) fn values(query: &Query, me: &Surroundings, files: &[Script]) -> Result<Values, Stuck> {
    let mut pass = Pass { query, me, values: Values::default(), host: query.host.clone(), last: None };
    for setting in &query.given {
        pass.values.take(setting);
    }
    pass.files(files)?;
    if let Some((canonicalize, at)) = pass.values.one("canonicalizehostname")
        && !["no", "false", "none"].contains(&canonicalize.to_ascii_lowercase().as_str())
    {
        return Err(foreign(at, "host names are made canonical by OpenSSH only"));
    }
    let again = pass.last == Some(Final::Wanted) || query.address.is_some();
    pass.host = final_name(query, &pass.values)?;
    let name =
        Setting { at: At::given(), keyword: "hostname", shape: Shape::One, words: vec![pass.host.clone()] };
    pass.values.0.remove("hostname");
    pass.values.take(&name);
    if again {
        pass.last = Some(Final::Now);
        pass.files(files)?;
    }
    Ok(pass.values)
}

/// The name to connect to, after `HostName`.
fn final_name(query: &Query, values: &Values) -> Result<String, Error> {
    let name = match values.one("hostname") {
        Some((name, at)) => tokens::expand(name, &[('h', &query.host)]).map_err(|e| e.at(at.to_string()))?,
        None => query.host.clone(),
    };
    // Addresses keep their letters, since OpenSSH looks at them as addresses.
    let is_address = name.parse::<std::net::IpAddr>().is_ok();
    Ok(if is_address { name } else { name.to_ascii_lowercase() })
}

/// The second reading of the files.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Final {
    Wanted,
    Now,
}

struct Pass<'a> {
    query: &'a Query,
    me: &'a Surroundings,
    values: Values,
    /// What `Host` compares with.
    host: String,
    last: Option<Final>,
}

impl Pass<'_> {
    fn files(&mut self, files: &[Script]) -> Result<(), Stuck> {
        files.iter().try_for_each(|file| self.script(file, true))
    }

    /// One file. What is included from a block that does not apply never applies, whatever it says.
    fn script(&mut self, script: &Script, reachable: bool) -> Result<(), Stuck> {
        let mut active = reachable;
        for item in &script.items {
            match item {
                Item::Host(_, patterns) => {
                    active = reachable && pattern::any(patterns.iter().map(String::as_str), &self.host);
                }
                Item::Match(at, criteria) => active = self.applies(at, criteria, reachable)?,
                Item::Include(files) => {
                    for file in files {
                        self.script(file, active)?;
                    }
                }
                Item::Set(setting) if active && setting.shape == Shape::Foreign => {
                    return Err(foreign(
                        &setting.at,
                        format!("{} is understood by OpenSSH only", setting.keyword),
                    ));
                }
                Item::Set(setting) if active => self.values.take(setting),
                Item::Set(_) => {}
                Item::Unknown(at, keyword) => self.unknown(at, keyword)?,
            }
        }
        Ok(())
    }

    /// OpenSSH ends at a keyword that it does not know, also where it does not apply.
    fn unknown(&self, at: &At, keyword: &str) -> Result<(), Stuck> {
        let ignored = self.values.text("ignoreunknown").unwrap_or_default();
        let ignored = ignored.to_ascii_lowercase();
        if !ignored.is_empty() && pattern::listed(&ignored, keyword) {
            return Ok(());
        }
        Err(foreign(at, format!("we do not know the keyword '{keyword}'")))
    }

    fn applies(&mut self, at: &At, criteria: &[String], reachable: bool) -> Result<bool, Stuck> {
        let wrong = |why: String| Stuck::Wrong(Error::invalid(at.to_string(), why));
        let mut result = true;
        let mut words = criteria.iter();
        let mut number = 0;
        if criteria.is_empty() {
            return Err(wrong("Match needs a criterion".into()));
        }
        while let Some(word) = words.next() {
            let (negated, name) = match word.strip_prefix('!') {
                Some(name) => (true, name),
                None => (false, word.as_str()),
            };
            let name = name.to_ascii_lowercase();
            let holds = match name.as_str() {
                "all" if words.next().is_none() && number == usize::from(names_a_pass(criteria)) => true,
                "all" => return Err(wrong("'all' does not go with other criteria".into())),
                "final" | "canonical" => {
                    if name == "final" && self.last.is_none() {
                        self.last = Some(Final::Wanted);
                    }
                    self.last == Some(Final::Now)
                }
                _ => {
                    let argument = words.next().ok_or_else(|| wrong(format!("{name} needs a value")))?;
                    match name.as_str() {
                        "host" => is_host(argument, &self.name_now()?),
                        "originalhost" => is_host(argument, &self.query.host),
                        "user" => {
                            let user = self.values.text("user").unwrap_or(&self.me.user);
                            pattern::listed(argument, user)
                        }
                        "localuser" => pattern::listed(argument, &self.me.user),
                        // Not run where nothing depends on it.
                        "exec" if !reachable || !result => false,
                        "exec" => {
                            return Err(foreign(at, "commands of 'Match exec' are run by OpenSSH only"));
                        }
                        _ => return Err(foreign(at, format!("we do not know the criterion '{name}'"))),
                    }
                }
            };
            number += 1;
            result &= holds != negated;
        }
        Ok(reachable && result)
    }

    /// The host name as far as it is known now.
    fn name_now(&self) -> Result<String, Error> {
        match (self.last, self.values.one("hostname")) {
            (Some(Final::Now), _) => Ok(self.host.clone()),
            (_, Some((name, at))) => {
                tokens::expand(name, &[('h', &self.query.host)]).map_err(|e| e.at(at.to_string()))
            }
            _ => Ok(self.query.host.clone()),
        }
    }
}

/// Names of hosts are compared without regard to large and small letters here, unlike in `Host` lines.
fn is_host(patterns: &str, name: &str) -> bool {
    pattern::listed(&patterns.to_ascii_lowercase(), &name.to_ascii_lowercase())
}

/// Whether a line starts with a criterion that `all` may follow.
fn names_a_pass(criteria: &[String]) -> bool {
    let first = criteria.first().map(|w| w.trim_start_matches('!').to_ascii_lowercase());
    matches!(first.as_deref(), Some("final" | "canonical"))
}
