//! The flags of a VM's spec: `vm create` and `vm update` share them. They make a JSON merge patch (RFC 7396).

use crate::{Result, parse};
use base::{ByteSize, Error};
use clap::{Args, ValueEnum};
use serde_json::{Map, Value, json};
use std::{fs, path::PathBuf};

/// What can be said of a VM, and changed later.
#[derive(Args, Clone, Debug, Default)]
pub struct SpecFlags {
    /// Virtual CPUs [default: 1]
    #[arg(long, value_name = "N")]
    pub cpus: Option<u32>,
    /// Memory [default: 512MiB]
    #[arg(long, value_name = "SIZE", value_parser = parse::size)]
    pub memory: Option<ByteSize>,
    /// A label that its worker must have; repeat it for several
    #[arg(long = "worker-label", value_name = "KEY=VALUE", value_parser = parse::pair)]
    pub worker_labels: Vec<(String, String)>,
    /// A named resource of its worker, for example gpu=1
    #[arg(long = "resource", value_name = "NAME=N", value_parser = parse::amount)]
    pub resources: Vec<(String, u64)>,
    /// Higher is placed first
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub priority: Option<i32>,
    /// Fail after this time instead of waiting on for a place
    #[arg(long, value_name = "TIME", value_parser = parse::seconds)]
    pub pending_timeout: Option<u64>,
    /// Delete it this long after its creation
    #[arg(long, value_name = "TIME", value_parser = parse::seconds)]
    pub ttl: Option<u64>,
    /// Start from the image again at each start
    #[arg(long, value_name = "true|false", hide_possible_values = true, num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub ephemeral: Option<bool>,
    /// What happens when the guest ends by itself [default: never]
    #[arg(long, value_name = "never|on-failure|always", hide_possible_values = true)]
    pub restart_policy: Option<RestartPolicy>,
    /// How long a stop waits for the guest before it is cut off [default: 30s]
    #[arg(long, value_name = "TIME", value_parser = parse::seconds)]
    pub stop_grace: Option<u64>,
    /// A script that runs in the guest after each start: its text, or @FILE
    #[arg(long, value_name = "TEXT|@FILE")]
    pub startup_script: Option<String>,
    /// How long the startup script may take
    #[arg(long, value_name = "TIME", value_parser = parse::seconds)]
    pub startup_timeout: Option<u64>,
    /// A variable for the startup script; repeat it for several
    #[arg(long = "env", short = 'e', value_name = "KEY=VALUE", value_parser = parse::pair)]
    pub env: Vec<(String, String)>,
    /// A file with a public key that may log in; repeat it for several
    #[arg(long = "ssh-key", value_name = "FILE")]
    pub ssh_keys: Vec<PathBuf>,
    /// The login name [default: the image's]
    #[arg(long, value_name = "NAME", env = "HOSTLER_SSH_USER", hide_env = true)]
    pub user: Option<String>,
    /// A file with the password of a guest without a seed
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
    /// What counts as ready: ssh, exec:COMMAND or tcp:PORT [default: ssh]
    #[arg(long, value_name = "PROBE", value_parser = probe)]
    pub probe: Option<Probe>,
    /// How long a start may take until the guest answers [default: 10m]
    #[arg(long, value_name = "TIME", value_parser = parse::seconds)]
    pub probe_timeout: Option<u64>,
    /// For the synthetic runtime: milliseconds until it answers
    #[arg(long, value_name = "MS", hide = true)]
    pub synthetic_boot_ms: Option<u64>,
}

/// What happens when the guest ends by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RestartPolicy {
    /// It stays ended
    Never,
    /// It starts again, unless it was powered off from inside
    OnFailure,
    /// It starts again
    Always,
}

/// What counts as ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probe {
    /// An SSH banner.
    Ssh,
    /// A command that ends with 0.
    Exec(String),
    /// The first bytes of a port.
    Tcp(u16),
}

fn probe(text: &str) -> Result<Probe, String> {
    match text.split_once(':') {
        None if text == "ssh" => Ok(Probe::Ssh),
        Some(("exec", command)) if !command.is_empty() => Ok(Probe::Exec(command.to_owned())),
        Some(("tcp", port)) => port
            .parse()
            .ok()
            .filter(|p| *p > 0)
            .map(Probe::Tcp)
            .ok_or_else(|| format!("'{port}' is not a port")),
        _ => Err("write ssh, exec:COMMAND or tcp:PORT".into()),
    }
}

impl SpecFlags {
    /// The merge patch of the spec that these flags ask for.
    pub fn patch(&self) -> Result<Value> {
        let mut spec = Map::new();
        let mut set = |key: &str, value: Option<Value>| {
            if let Some(value) = value {
                spec.insert(key.to_owned(), value);
            }
        };
        set("cpus", self.cpus.map(Value::from));
        set("memory", self.memory.map(|m| m.bytes().into()));
        set("workerLabels", map(&self.worker_labels));
        set("resources", map(&self.resources));
        set("priority", self.priority.map(Value::from));
        set("pendingTimeoutSeconds", self.pending_timeout.map(Value::from));
        set("ttlSeconds", self.ttl.map(Value::from));
        set("ephemeral", self.ephemeral.map(Value::from));
        set("restartPolicy", self.restart_policy.map(|p| format!("{p:?}").into()));
        set("stopGraceSeconds", self.stop_grace.map(Value::from));
        set("startupScript", self.script()?);
        set("guest", self.guest()?);
        set("probe", self.probe_patch());
        set("synthetic", self.synthetic_boot_ms.map(|ms| json!({ "bootMs": ms })));
        Ok(Value::Object(spec))
    }

    fn script(&self) -> Result<Option<Value>> {
        let mut script = Map::new();
        if let Some(text) = &self.startup_script {
            let text = match text.strip_prefix('@') {
                Some(path) => read(&PathBuf::from(path), "--startup-script")?,
                None => text.clone(),
            };
            script.insert("script".into(), text.into());
        }
        if let Some(seconds) = self.startup_timeout {
            script.insert("timeoutSeconds".into(), seconds.into());
        }
        if let Some(env) = map(&self.env) {
            script.insert("env".into(), env);
        }
        Ok((!script.is_empty()).then_some(Value::Object(script)))
    }

    fn guest(&self) -> Result<Option<Value>> {
        let mut guest = Map::new();
        if let Some(user) = &self.user {
            guest.insert("user".into(), user.as_str().into());
        }
        if let Some(path) = &self.password_file {
            guest.insert("password".into(), read(path, "--password-file")?.trim_end().into());
        }
        let mut keys = Vec::new();
        for path in &self.ssh_keys {
            let key = ssh::check_public_key(&read(path, "--ssh-key")?);
            keys.push(Value::from(key.map_err(|e| e.at(format!("--ssh-key {}", path.display())))?));
        }
        if !keys.is_empty() {
            guest.insert("authorizedKeys".into(), Value::Array(keys));
        }
        Ok((!guest.is_empty()).then_some(Value::Object(guest)))
    }

    fn probe_patch(&self) -> Option<Value> {
        let mut probe = match &self.probe {
            None => Map::new(),
            Some(Probe::Ssh) => object(json!({"kind": "ssh", "command": null, "port": null})),
            Some(Probe::Exec(command)) => object(json!({"kind": "exec", "command": command, "port": null})),
            Some(Probe::Tcp(port)) => object(json!({"kind": "tcp", "command": null, "port": port})),
        };
        if let Some(seconds) = self.probe_timeout {
            probe.insert("timeoutSeconds".into(), seconds.into());
        }
        (!probe.is_empty()).then_some(Value::Object(probe))
    }
}

fn object(value: Value) -> Map<String, Value> {
    if let Value::Object(map) = value { map } else { Map::new() }
}

fn map<V: Clone + Into<Value>>(pairs: &[(String, V)]) -> Option<Value> {
    let entries: Map<String, Value> = pairs.iter().map(|(k, v)| (k.clone(), v.clone().into())).collect();
    (!entries.is_empty()).then_some(Value::Object(entries))
}

fn read(path: &PathBuf, flag: &str) -> Result<String> {
    Ok(fs::read_to_string(path)
        .map_err(|e| Error::io(format_args!("read {}", path.display()), &e).at(flag))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_become_a_patch() {
        let flags = SpecFlags {
            cpus: Some(2),
            memory: Some(ByteSize::gib(1)),
            resources: vec![("gpu".into(), 1)],
            restart_policy: Some(RestartPolicy::OnFailure),
            startup_script: Some("echo hi".into()),
            env: vec![("A".into(), "b".into())],
            probe: Some(Probe::Tcp(80)),
            probe_timeout: Some(5),
            ..SpecFlags::default()
        };
        let expected = json!({
            "cpus": 2, "memory": 1_073_741_824_u64, "resources": {"gpu": 1}, "restartPolicy": "OnFailure",
            "startupScript": {"script": "echo hi", "env": {"A": "b"}},
            "probe": {"kind": "tcp", "command": null, "port": 80, "timeoutSeconds": 5},
        });
        assert_eq!(flags.patch().unwrap(), expected);
        assert_eq!(SpecFlags::default().patch().unwrap(), json!({}));
    }

    #[test]
    fn probes_are_written_short() {
        assert_eq!(probe("ssh").unwrap(), Probe::Ssh);
        assert_eq!(probe("exec:test -e /x").unwrap(), Probe::Exec("test -e /x".into()));
        assert_eq!(probe("tcp:80").unwrap(), Probe::Tcp(80));
        for bad in ["", "tcp", "tcp:0", "tcp:x", "exec:", "http:80"] {
            assert!(probe(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_missing_file_names_the_flag() {
        let flags = SpecFlags { startup_script: Some("@/nowhere/x".into()), ..SpecFlags::default() };
        let error = flags.patch().unwrap_err().error.error;
        assert_eq!(error.field.as_deref(), Some("--startup-script"));
    }
}
