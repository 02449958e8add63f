//! Expressions over what is known of a node: `planet=Mars,os in (debian,ubuntu),!retired`.
//!
//! Terms, separated by commas, must all be true. A term is one of
//! - `KEY` and `!KEY`: the node has a value there, or none;
//! - `KEY=VALUE` (or `==`), `KEY!=VALUE`: it is this value, or not; of a list one member is enough;
//! - `KEY in (A,B)`, `KEY notin (A,B)`: it is one of these, or none of them;
//! - `KEY=~REGEXP`, `KEY!~REGEXP`: the expression matches it anywhere, or nowhere;
//! - `KEY<N`, `KEY<=N`, `KEY>N`, `KEY>=N`: it is a number, and compares so.
//!
//! A value may stand in single or double quotes. A key with dots looks into maps. Where metadata has no such key, it
//! is looked for in the map `labels`, and `name`, `platform`, `services` and `groups` are the node's own. The terms that say "not" are true where there is no value.

use crate::Node;
use base::{Code, Error, Result};
use regex::Regex;
use serde_json::Value;
use std::{borrow::Cow, fmt, str::FromStr};

/// A parsed expression.
#[derive(Clone, Debug)]
pub struct Expression {
    text: String,
    terms: Vec<Term>,
}

#[derive(Clone, Debug)]
struct Term {
    key: String,
    test: Test,
    /// Whether the test must fail.
    not: bool,
}

#[derive(Clone, Debug)]
enum Test {
    Exists,
    OneOf(Vec<String>),
    Matches(Regex),
    Less(f64),
    LessOrEqual(f64),
}

impl Expression {
    /// Whether it is true of this node.
    pub fn holds(&self, node: &Node) -> bool {
        self.terms.iter().all(|term| term.holds(node))
    }

    /// The keys that it looks at.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.terms.iter().map(|t| t.key.as_str())
    }
}

impl Term {
    fn holds(&self, node: &Node) -> bool {
        let Some(value) = look_up(node, &self.key) else {
            // A number that is not there is neither above nor below another.
            return self.not && !matches!(self.test, Test::Less(_) | Test::LessOrEqual(_));
        };
        let number = || match &*value {
            Value::Number(n) => n.as_f64(),
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        };
        match &self.test {
            Test::Exists => !self.not,
            Test::OneOf(words) => any_member(&value, |text| words.iter().any(|w| w == text)) != self.not,
            Test::Matches(pattern) => any_member(&value, |text| pattern.is_match(text)) != self.not,
            Test::Less(limit) => number().is_some_and(|n| (n < *limit) != self.not),
            Test::LessOrEqual(limit) => number().is_some_and(|n| (n <= *limit) != self.not),
        }
    }
}

/// What a node has under this key; null is nothing.
fn look_up<'a>(node: &'a Node, key: &str) -> Option<Cow<'a, Value>> {
    let found = node.metadata.get(key).or_else(|| {
        let mut parts = key.split('.');
        let first = node.metadata.get(parts.next()?)?;
        parts.try_fold(first, |value, part| value.get(part))
    });
    let found = found.or_else(|| node.metadata.get("labels")?.get(key));
    if let Some(value) = found {
        return (!value.is_null()).then_some(Cow::Borrowed(value));
    }
    let list =
        |texts: Vec<&String>| (!texts.is_empty()).then(|| Cow::Owned(texts.into_iter().cloned().collect()));
    match key {
        "name" => Some(Cow::Owned(node.name.clone().into())),
        "platform" => Some(Cow::Owned(node.platform.clone().into())),
        "services" => list(node.services.iter().collect()),
        "groups" => list(node.groups.iter().collect()),
        _ => None,
    }
}

/// Whether a value, or a member of a list, is so. Maps are not.
fn any_member(value: &Value, is_so: impl Fn(&str) -> bool + Copy) -> bool {
    match value {
        Value::String(text) => is_so(text),
        Value::Bool(_) | Value::Number(_) => is_so(&value.to_string()),
        Value::Array(members) => members.iter().any(|m| any_member(m, is_so)),
        Value::Null | Value::Object(_) => false,
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Expression {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let mut parser = Parser { text, at: 0 };
        let mut terms = vec![parser.term()?];
        while parser.take(",") {
            terms.push(parser.term()?);
        }
        if parser.rest().is_empty() {
            return Ok(Expression { text: text.trim().to_owned(), terms });
        }
        Err(parser.wrong("a comma or the end"))
    }
}

/// Reads an expression from left to right.
struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Parser<'a> {
    /// What is left, without blanks before it.
    fn rest(&mut self) -> &'a str {
        let rest = self.text[self.at..].trim_start();
        self.at = self.text.len() - rest.len();
        rest
    }

    fn take(&mut self, token: &str) -> bool {
        let found = self.rest().starts_with(token);
        if found {
            self.at += token.len();
        }
        found
    }

    /// A word that is not the beginning of a longer one.
    fn take_word(&mut self, word: &str) -> bool {
        let ends = |rest: &str| !rest.starts_with(is_key);
        self.rest().strip_prefix(word).is_some_and(ends) && self.take(word)
    }

    fn term(&mut self) -> Result<Term> {
        if self.take("!") {
            return Ok(Term { key: self.key()?, test: Test::Exists, not: true });
        }
        let key = self.key()?;
        let (test, not) = self.test()?;
        Ok(Term { key, test, not })
    }

    fn test(&mut self) -> Result<(Test, bool)> {
        // Longer tokens stand before those that they begin with.
        let tokens = ["=~", "!~", "==", "!=", "=", "<=", ">=", "<", ">"];
        let found = tokens.into_iter().find(|t| self.take(t));
        Ok(match found {
            Some("=~") => (self.pattern()?, false),
            Some("!~") => (self.pattern()?, true),
            Some("!=") => (Test::OneOf(vec![self.value()?]), true),
            Some("=" | "==") => (Test::OneOf(vec![self.value()?]), false),
            Some("<=") => (Test::LessOrEqual(self.number()?), false),
            Some(">=") => (Test::Less(self.number()?), true),
            Some("<") => (Test::Less(self.number()?), false),
            Some(_) => (Test::LessOrEqual(self.number()?), true),
            None if self.take_word("in") => (self.set()?, false),
            None if self.take_word("notin") => (self.set()?, true),
            None if self.take_word("not") && self.take_word("in") => (self.set()?, true),
            None => (Test::Exists, false),
        })
    }

    fn key(&mut self) -> Result<String> {
        let rest = self.rest();
        let length = rest.find(|c| !is_key(c)).unwrap_or(rest.len());
        if length == 0 {
            return Err(self.wrong("a key"));
        }
        self.at += length;
        Ok(rest[..length].to_owned())
    }

    fn value(&mut self) -> Result<String> {
        let rest = self.rest();
        if let Some(quote) = rest.chars().next().filter(|c| matches!(c, '"' | '\'')) {
            let Some((inner, _)) = rest[1..].split_once(quote) else {
                return Err(self.wrong("a text that ends with the same quote"));
            };
            self.at += inner.len() + 2;
            return Ok(inner.to_owned());
        }
        let length = rest.find([',', '(', ')']).unwrap_or(rest.len());
        self.at += length;
        Ok(rest[..length].trim_end().to_owned())
    }

    fn set(&mut self) -> Result<Test> {
        if !self.take("(") {
            return Err(self.wrong("( and values"));
        }
        let mut values = vec![self.value()?];
        while self.take(",") {
            values.push(self.value()?);
        }
        if self.take(")") { Ok(Test::OneOf(values)) } else { Err(self.wrong(")")) }
    }

    fn number(&mut self) -> Result<f64> {
        let before = self.at;
        let text = self.value()?;
        text.parse().map_err(|_| {
            self.at = before;
            self.wrong("a number")
        })
    }

    fn pattern(&mut self) -> Result<Test> {
        let before = self.at;
        let text = self.value()?;
        Regex::new(&text).map(Test::Matches).map_err(|_| {
            self.at = before;
            self.wrong("a regular expression")
        })
    }

    fn wrong(&mut self, expected: &str) -> Error {
        let rest = self.rest();
        let found = if rest.is_empty() { "the end".to_owned() } else { format!("'{rest}'") };
        Error::new(Code::Invalid, format!("expected {expected}, found {found}, in '{}'", self.text))
            .hint("write for example planet=Mars,os in (debian,ubuntu),!retired")
    }
}

fn is_key(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '/')
}
