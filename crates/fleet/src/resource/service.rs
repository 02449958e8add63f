//! What a supervisor (systemd or OpenRC) keeps running, and units of systemd.

use super::{Change, File, Look, World, change::pair, world::Load};
use base::{Error, Result};
use serde::{Deserialize, Serialize};
use ssh::quote;

/// Whether something runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Power {
    /// It must run.
    Started,
    /// It must not.
    Stopped,
}

/// A service of the system. `T` is text, before or after its templates are rendered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Supervised<T> {
    /// Its name, for systemd with or without `.service`.
    pub name: T,
    /// Whether it runs; `None` leaves that alone.
    #[serde(default)]
    pub state: Option<Power>,
    /// Whether it starts with the machine; `None` leaves that alone.
    #[serde(default)]
    pub enabled: Option<bool>,
}

impl Supervised<String> {
    /// What has to be seen.
    pub fn look(&self, look: &mut Look) {
        look.service(&self.name);
    }

    /// What would change.
    pub fn plan(&self, world: &mut World) -> Result<Option<Change>> {
        supervisor(world)?;
        let has = world.services.get(&self.name).cloned().unwrap_or_default();
        let starts = self.enabled == Some(true) || self.state == Some(Power::Started);
        if has.load == Load::Masked && starts {
            return Err(Error::conflict(format!("the service {} is masked", self.name))
                .hint(format!("allow it on the node: systemctl unmask {}", self.name)));
        }
        if has.load == Load::Missing && !world.loose && !self.is_brought(world) {
            return Err(Error::not_found(format!("{} knows no service '{}'", world.supervisor, self.name))
                .hint("check the name, or add a step before this one that installs it"));
        }
        let (name, word) = (&self.name, quote(&self.name));
        let mut change = Change::default();
        let off = |on: bool| if on { "enabled" } else { "disabled" };
        if let (Some(wanted), Some(is)) = (self.enabled, has.enabled)
            && wanted != is
        {
            let verb = if wanted { "enable" } else { "disable" };
            let title = format!("{} service {name}", if wanted { "Enable" } else { "Disable" });
            let diff = pair("service", off(is), off(wanted)).to_vec();
            change.push(Change::new(title, diff, format!("supervised {verb} {word}")));
        }
        let running = |on: bool| if on { "started" } else { "stopped" };
        if let Some(wanted) = self.state.map(|s| s == Power::Started)
            && wanted != has.active
        {
            let verb = if wanted { "start" } else { "stop" };
            let title = format!("{} service {name}", if wanted { "Start" } else { "Stop" });
            let diff = pair("service", running(has.active), running(wanted)).to_vec();
            change.push(Change::new(title, diff, format!("supervised {verb} {word}")));
        }
        let state = world.services.entry(name.clone()).or_default();
        state.load = Load::Loaded;
        state.enabled = self.enabled.or(has.enabled);
        state.active = self.state.map_or(has.active, |s| s == Power::Started);
        Ok(change.some())
    }

    /// Whether an earlier step writes what defines it.
    fn is_brought(&self, world: &World) -> bool {
        let name = &self.name;
        let path = match world.supervisor.as_str() {
            "openrc" => format!("/etc/init.d/{name}"),
            _ if name.contains('.') => format!("/etc/systemd/system/{name}"),
            _ => format!("/etc/systemd/system/{name}.service"),
        };
        world.paths.contains_key(&path)
    }
}

/// A unit file of systemd, and what should come of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unit {
    /// The file.
    pub file: File,
    /// What it defines.
    pub service: Supervised<String>,
}

impl Unit {
    /// What has to be seen.
    pub fn look(&self, look: &mut Look) {
        self.file.look(look);
        self.service.look(look);
        look.tool("systemctl");
    }

    /// What would change: the file, what systemd knows of it, then the service.
    pub fn plan(&self, world: &mut World) -> Result<Option<Change>> {
        let mut change = self.file.plan(world)?.unwrap_or_default();
        let stale = world.services.get(&self.service.name).is_some_and(|s| s.stale);
        if !change.parts.is_empty() {
            change.script.push_str("supervised daemon-reload || return\n");
        } else if stale {
            let title = format!("Reload systemd for {}", self.service.name);
            change.push(Change::new(title, Vec::new(), "supervised daemon-reload"));
        }
        let state = world.services.entry(self.service.name.clone()).or_default();
        (state.load, state.stale) = (Load::Loaded, false);
        change.push(self.service.plan(world)?.unwrap_or_default());
        Ok(change.some())
    }
}

/// There must be one.
pub fn supervisor(world: &World) -> Result<()> {
    if world.supervisor.is_empty() && !world.loose {
        return Err(Error::not_found("the node has neither systemctl nor rc-service")
            .hint("services need systemd or OpenRC"));
    }
    Ok(())
}
