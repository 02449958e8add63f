//! Jinja in variables. A variable is evaluated when it is needed: its templates, those of the variables that it names, and
//! so on, with all variables of its host, `hostvars`, `groups` and what else Ansible has without asking.

use super::{
    data::{UNSAFE, VAULT},
    filters,
    inventory::{AnsibleInventory, Host},
    pattern::LOCALHOST,
};
use base::Result;
use minijinja::{
    Environment, Error, ErrorKind, UndefinedBehavior, Value,
    syntax::SyntaxConfig,
    value::{Enumerator, Object},
};
use parking_lot::Mutex;
use serde_json::Value as Json;
use std::{
    borrow::Cow,
    sync::{Arc, OnceLock},
};

/// Variables within variables: more than anybody writes, and far from the end of the stack.
const DEPTH: usize = 32;

/// What all evaluations on an inventory share.
#[derive(Debug)]
pub(super) struct Engine {
    environment: Environment<'static>,
    /// The hosts of every group, once somebody asked for them.
    groups: OnceLock<Value>,
}

impl Engine {
    pub(super) fn new() -> Self {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        // Without it an error does not tell which name is undefined; by default only debug builds have it.
        environment.set_debug(true);
        // The delimiters are the usual ones, which are never refused.
        let syntax = SyntaxConfig::builder().trim_blocks(true).keep_trailing_newline(true).build();
        environment.set_syntax(syntax.unwrap_or_default());
        environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        filters::add(&mut environment);
        Engine { environment, groups: OnceLock::new() }
    }
}

/// Evaluates variables.
#[derive(Debug)]
pub(super) struct Templates {
    inventory: Arc<AnsibleInventory>,
    /// The variables that are evaluated now, each because of the one before it.
    open: Mutex<Vec<(Arc<str>, String)>>,
}

impl Templates {
    pub(super) fn new(inventory: Arc<AnsibleInventory>) -> Arc<Self> {
        Arc::new(Templates { inventory, open: Mutex::default() })
    }

    /// A variable of a host, evaluated; `None` where the host has none of that name.
    pub(super) fn variable(self: &Arc<Self>, host: &str, name: &str) -> Result<Option<Value>> {
        let failed = |error: Error| {
            base::Error::invalid(format!("{name} of {host}"), "this variable cannot be evaluated")
                .because(innermost(&error))
                .hint("facts, lookups and the filters of collections are known to Ansible only")
        };
        self.host(host).look_up(name).transpose().map_err(failed)
    }

    fn host(self: &Arc<Self>, name: &str) -> Arc<HostVars> {
        Arc::new(HostVars { templates: self.clone(), name: name.into() })
    }

    fn evaluate(self: &Arc<Self>, host: &Arc<str>, value: &Json) -> Result<Value, Error> {
        match value {
            Json::String(text) => self.text(host, text),
            Json::Array(list) => list.iter().map(|v| self.evaluate(host, v)).collect(),
            Json::Object(map) => {
                if let Some(Json::String(sealed)) = map.get(VAULT) {
                    let opened = self.inventory.vault.open(sealed);
                    let failed = |e: base::Error| Error::new(ErrorKind::InvalidOperation, e.to_string());
                    return opened.map(|secret| Value::from(secret.expose_secret())).map_err(failed);
                }
                if let Some(Json::String(text)) = map.get(UNSAFE) {
                    return Ok(Value::from(text.as_str()));
                }
                let entries = map.iter().map(|(name, v)| Ok((name.as_str(), self.evaluate(host, v)?)));
                entries.collect::<Result<Vec<_>, Error>>().map(Value::from_pairs)
            }
            Json::Null => Ok(Value::from(())),
            Json::Bool(yes) => Ok(Value::from(*yes)),
            Json::Number(n) => Ok(n
                .as_i64()
                .map(Value::from)
                .or_else(|| n.as_u64().map(Value::from))
                .unwrap_or_else(|| Value::from(n.as_f64()))),
        }
    }

    /// A text, which may be a template. One that is a single expression keeps the type of its value.
    fn text(self: &Arc<Self>, host: &Arc<str>, text: &str) -> Result<Value, Error> {
        if !["{{", "{%", "{#"].iter().any(|mark| text.contains(mark)) {
            return Ok(Value::from(text));
        }
        let vars = Value::from_dyn_object(self.host(host));
        let text = &*literal_backslashes(text);
        let Some(expression) = single_expression(text) else {
            return self.inventory.engine.environment.render_str(text, vars).map(Value::from);
        };
        let value =
            self.inventory.engine.environment.compile_expression_owned(expression.to_owned())?.eval(vars)?;
        if value.is_undefined() {
            return Err(Error::new(
                ErrorKind::UndefinedError,
                format!("'{}' is not defined", expression.trim()),
            ));
        }
        Ok(value)
    }

    fn groups(&self) -> Value {
        let make = || {
            let members =
                |name: &str| self.inventory.members(name).into_iter().map(Value::from).collect::<Value>();
            Value::from_pairs(self.inventory.groups.keys().map(|name| (&**name, members(name))))
        };
        self.inventory.engine.groups.get_or_init(make).clone()
    }
}

/// A template in which a backslash within a text of an expression stands for itself, as Ansible has it: `'\\1'` is then a
/// group of a regular expression.
fn literal_backslashes(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return text.into();
    }
    let mut out = String::with_capacity(text.len() + 8);
    let mut within = false;
    let mut quote = None;
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if quote.is_none() && (rest.starts_with("{{") || rest.starts_with("}}")) {
            within = c == '{';
            out.push_str(&rest[..2]);
            rest = &rest[2..];
            continue;
        }
        rest = &rest[c.len_utf8()..];
        out.push(c);
        match (c, quote) {
            ('\'' | '"', None) if within => quote = Some(c),
            ('\\', Some(quote)) if !rest.starts_with(quote) => out.push('\\'),
            ('\\', Some(quote)) => {
                out.push(quote);
                rest = &rest[1..];
            }
            (c, Some(open)) if c == open => quote = None,
            _ => {}
        }
    }
    out.into()
}

/// The inside of `{{ ... }}`, where there is nothing else.
fn single_expression(text: &str) -> Option<&str> {
    let inner = text.strip_prefix("{{")?.strip_suffix("}}")?;
    let alone = !["{{", "}}", "{%", "{#"].iter().any(|mark| inner.contains(mark));
    alone.then(|| inner.trim_start_matches(['-', '+']).trim_end_matches(['-', '+']))
}

/// The words of the error that caused the others.
fn innermost(error: &Error) -> String {
    let mut error: &dyn std::error::Error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

/// The variables of a host, as an object that evaluates each when it is asked for.
#[derive(Debug)]
struct HostVars {
    templates: Arc<Templates>,
    name: Arc<str>,
}

impl HostVars {
    /// What Ansible sets itself.
    fn magic(&self, name: &str) -> Option<Value> {
        let inventory = &self.templates.inventory;
        let host = inventory.hosts.get(&*self.name);
        let source = host.map(|host| &host.source);
        Some(match name {
            "inventory_hostname" => Value::from(&*self.name),
            "inventory_hostname_short" => Value::from(short(&self.name)),
            "group_names" => {
                host.map_or(&[][..], |host| &*host.groups).iter().map(|g| Value::from(&**g)).collect()
            }
            "groups" => self.templates.groups(),
            "hostvars" => Value::from_object(AllHosts(self.templates.clone())),
            "inventory_file" => Value::from(source?.name.as_str()),
            "inventory_dir" => Value::from(source?.dir.as_ref()?.display().to_string()),
            "playbook_dir" => Value::from(inventory.playbook_dir.display().to_string()),
            _ => return None,
        })
    }

    fn look_up(&self, name: &str) -> Option<Result<Value, Error>> {
        if let Some(value) = self.magic(name) {
            return Some(Ok(value));
        }
        let inventory = &self.templates.inventory;
        let value = match inventory.hosts.get(&*self.name) {
            Some(host) => host.get(name)?,
            // This machine, which no source names, has the variables of all.
            None => inventory.groups.get("all")?.vars.get(name)?,
        };
        if let Err(error) = self.enter(name) {
            return Some(Err(error));
        }
        let value = self.templates.evaluate(&self.name, value);
        self.templates.open.lock().pop();
        Some(value)
    }

    fn enter(&self, name: &str) -> Result<(), Error> {
        let mut open = self.templates.open.lock();
        let again = open.iter().any(|(host, var)| *host == self.name && var == name);
        if again || open.len() == DEPTH {
            let names: Vec<&str> = open.iter().map(|(_, name)| name.as_str()).collect();
            let message = format!("variables that need each other without end: {}, {name}", names.join(", "));
            return Err(Error::new(ErrorKind::InvalidOperation, message));
        }
        open.push((self.name.clone(), name.to_owned()));
        Ok(())
    }
}

impl Object for HostVars {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.look_up(key.as_str()?).map(|value| value.unwrap_or_else(Value::from))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        let vars = self.templates.inventory.hosts.get(&*self.name).map(Host::vars);
        Enumerator::Values(vars.unwrap_or_default().into_keys().map(|name| Value::from(&*name)).collect())
    }
}

/// `hostvars`.
#[derive(Debug)]
struct AllHosts(Arc<Templates>);

impl Object for AllHosts {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let name = key.as_str()?;
        let known = self.0.inventory.hosts.contains_key(name) || LOCALHOST.contains(&name);
        known.then(|| Value::from_dyn_object(self.0.host(name)))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(self.0.inventory.hosts.keys().map(|name| Value::from(&**name)).collect())
    }
}

/// A name up to its first point; addresses have no short form.
fn short(name: &str) -> &str {
    if name.parse::<std::net::IpAddr>().is_ok() { name } else { name.split('.').next().unwrap_or(name) }
}
