//! Containers of Docker or Podman.

use super::{Change, Look, OneOrMany, World, change::pair, service::Power};
use base::{Error, Result};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use ssh::quote;
use std::{collections::BTreeMap, fmt::Write as _};

/// The setting that names the variables.
const VARIABLES: &str = "variables";

/// A container. One whose settings differ from these is made anew. `T` is text, before or after its templates are
/// rendered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Container<T> {
    /// Its name.
    pub name: T,
    /// The image, as the engine names it.
    #[serde(default = "Option::default")]
    pub image: Option<T>,
    /// Whether it runs; a container that must not be there is `absent`.
    #[serde(default)]
    pub state: ContainerPower,
    /// The command and its arguments, instead of those of the image.
    #[serde(
        default = "OneOrMany::default",
        skip_serializing_if = "none",
        bound(deserialize = "T: Deserialize<'de> + super::FromText")
    )]
    pub command: OneOrMany<T>,
    /// Published ports, as `8080:80`.
    #[serde(
        default = "OneOrMany::default",
        skip_serializing_if = "none",
        bound(deserialize = "T: Deserialize<'de> + super::FromText")
    )]
    pub ports: OneOrMany<T>,
    /// Mounted directories and volumes, as `/srv/data:/data:ro`.
    #[serde(
        default = "OneOrMany::default",
        skip_serializing_if = "none",
        bound(deserialize = "T: Deserialize<'de> + super::FromText")
    )]
    pub volumes: OneOrMany<T>,
    /// Variables.
    #[serde(default = "BTreeMap::new", skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, T>,
    /// The network.
    #[serde(default = "Option::default", skip_serializing_if = "Option::is_none")]
    pub network: Option<T>,
    /// What happens when it ends: `no`, `always`, `on-failure`, `unless-stopped`.
    #[serde(default = "Option::default", skip_serializing_if = "Option::is_none")]
    pub restart: Option<T>,
}

fn none<T>(list: &OneOrMany<T>) -> bool {
    list.0.is_empty()
}

/// What should be of a container.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ContainerPower {
    /// It runs.
    #[default]
    Started,
    /// It is there and does not run.
    Stopped,
    /// It is not there.
    Absent,
}

impl ContainerPower {
    fn power(self) -> Option<Power> {
        match self {
            ContainerPower::Started => Some(Power::Started),
            ContainerPower::Stopped => Some(Power::Stopped),
            ContainerPower::Absent => None,
        }
    }
}

impl Container<String> {
    fn image(&self) -> &str {
        self.image.as_deref().unwrap_or_default()
    }

    /// What has to be seen. `key` is of this step alone.
    pub fn look(&self, look: &mut Look, key: usize) {
        look.container(key, &self.name, self.image());
    }

    /// What would change.
    pub fn plan(&self, world: &mut World, key: usize) -> Result<Option<Change>> {
        let (name, word) = (&self.name, quote(&self.name));
        let state = world.containers.get(&key).cloned().unwrap_or_default();
        let Some(power) = self.state.power() else {
            let gone = || {
                Change::new(format!("Remove container {name}"), Vec::new(), format!("engine rm -f {word}"))
            };
            return Ok(state.found.map(|_| gone()));
        };
        if self.image.is_none() {
            return Err(Error::invalid("container.image", format!("the container {name} needs an image")));
        }
        let variables = self.env.iter().map(|(name, value)| (variable(name), value.clone()));
        let wanted: BTreeMap<String, String> = self.settings().into_iter().chain(variables).collect();
        let Some((running, made_from, settings)) = state.found else {
            let diff = wanted.iter().map(|(k, v)| format!("> {k} {v}")).collect();
            return Ok(Some(Change::new(format!("Create container {name}"), diff, self.create(power))));
        };
        let mut diff = differences(&read(&settings, &state.variables), &wanted);
        if let Some(image) = state.image.filter(|i| *i != made_from) {
            diff.extend(pair("image id", &made_from, &image));
        }
        if !diff.is_empty() {
            let script = format!("engine rm -f {word} || return\n{}", self.create(power));
            return Ok(Some(Change::new(format!("Replace container {name}"), diff, script)));
        }
        if running == (power == Power::Started) {
            return Ok(None);
        }
        let (title, verb) = if running { ("Stop", "stop") } else { ("Start", "start") };
        let says = |on: bool| if on { "started" } else { "stopped" };
        let diff = pair("container", says(running), says(!running)).to_vec();
        Ok(Some(Change::new(format!("{title} container {name}"), diff, format!("engine {verb} {word}"))))
    }

    /// What it is made with, by name; power and the values of variables are no part of it.
    fn settings(&self) -> BTreeMap<String, String> {
        let mut settings = BTreeMap::from([("image".to_owned(), self.image().to_owned())]);
        let lists = [("command", &self.command), ("port", &self.ports), ("volume", &self.volumes)];
        for (what, list) in lists.iter().filter(|(_, l)| !l.0.is_empty()) {
            settings.insert((*what).to_owned(), list.0.join(" "));
        }
        for (what, value) in [("network", &self.network), ("restart", &self.restart)] {
            settings.extend(value.iter().map(|v| (what.to_owned(), v.clone())));
        }
        settings
    }

    /// The lines that make it. Its label names its variables, but their values, which may be secret, are in no argument:
    /// they come on standard input, and those of several lines from the environment.
    fn create(&self, power: Power) -> String {
        let mut label = self.settings();
        if !self.env.is_empty() {
            let names: Vec<&str> = self.env.keys().map(String::as_str).collect();
            label.insert(VARIABLES.to_owned(), names.join(" "));
        }
        let label = STANDARD.encode(serde_json::to_string(&label).unwrap_or_default());
        let verb = if power == Power::Started { "run -d" } else { "create" };
        let (mut script, mut lines) = (String::from("(\n"), String::new());
        let mut call =
            format!("contained {verb} --name {} --label hostler.settings={label}", quote(&self.name));
        let mut flag = |flag: &str, value: &str| {
            let _ = write!(call, " {flag} {}", quote(value));
        };
        for (name, value) in &self.env {
            if value.contains('\n') {
                let _ = writeln!(script, "export {name}={}", quote(value));
                flag("-e", name);
            } else {
                let _ = writeln!(lines, "{name}={value}");
            }
        }
        self.ports.0.iter().for_each(|p| flag("-p", p));
        self.volumes.0.iter().for_each(|v| flag("-v", v));
        self.network.iter().for_each(|n| flag("--network", n));
        self.restart.iter().for_each(|r| flag("--restart", r));
        let words = std::iter::once(self.image()).chain(self.command.0.iter().map(String::as_str));
        let words: Vec<String> = words.map(quote).collect();
        // Each of the lines has a `=`.
        let _ = write!(script, "{call} -- {} <<'-'\n{lines}-\n) || return", words.join(" "));
        script
    }
}

/// How a variable is called in differences.
fn variable(name: &str) -> String {
    format!("variable {name}")
}

/// The settings that a container was made with, from its label, and what its variables are now.
fn read(label: &str, variables: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let json = STANDARD.decode(label).ok().and_then(|b| serde_json::from_slice::<Value>(&b).ok());
    let known = json.and_then(|v| serde_json::from_value(v).ok());
    let mut known: BTreeMap<String, String> = known.unwrap_or_default();
    let names = known.remove(VARIABLES).unwrap_or_default();
    let now = names.split(' ').filter_map(|name| Some((variable(name), variables.get(name)?.clone())));
    known.extend(now);
    known
}

fn differences(has: &BTreeMap<String, String>, wanted: &BTreeMap<String, String>) -> Vec<String> {
    let mut lines = Vec::new();
    for key in has.keys().chain(wanted.keys().filter(|k| !has.contains_key(*k))) {
        match (has.get(key), wanted.get(key)) {
            (Some(old), Some(new)) if old != new => lines.extend(pair(key, old, new)),
            (Some(old), None) => lines.push(format!("< {key} {old}")),
            (None, Some(new)) => lines.push(format!("> {key} {new}")),
            _ => {}
        }
    }
    lines
}
