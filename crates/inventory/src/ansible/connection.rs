//! How a host is reached, and as whom commands run there: the variables of Ansible that connect.

use super::{
    filters,
    inventory::AnsibleInventory,
    pattern::LOCALHOST,
    ssh_args::{self, Setting},
    template::Templates,
};
use crate::{Metadata, Method};
use base::{Code, Error, Result, Secret};
use minijinja::{Value, value::ValueKind};
use serde_json::Value as Json;
use std::{path::PathBuf, sync::Arc};

/// How commands get to a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// By SSH.
    Ssh,
    /// They run on this machine.
    Local,
    /// They run in a container of this machine's Docker engine, whose name or id is the address.
    Docker,
}

/// How a host is reached.
#[derive(Clone, Debug)]
pub struct Connection {
    /// The kind of way.
    pub way: Way,
    /// The name or address (`ansible_host`, else the name of the host).
    pub address: String,
    /// A password for the login.
    pub password: Option<Secret>,
    /// All else that is said about SSH, as settings of ssh_config(5); of one keyword the first counts. `Port`, `User`,
    /// `IdentityFile` and `ConnectTimeout` come from the variables of these meanings, the others from arguments for `ssh`.
    pub settings: Vec<Setting>,
    /// Another configuration file of SSH than the user's.
    pub ssh_config: Option<PathBuf>,
    /// As whom commands run, where that is another user (`ansible_become`).
    pub escalation: Option<Escalation>,
}

/// Another user for commands.
#[derive(Clone, Debug)]
pub struct Escalation {
    /// How to become that user.
    pub method: Method,
    /// The user.
    pub user: String,
    /// What the method asks for.
    pub password: Option<Secret>,
    /// Another program than the usual one of the method.
    pub program: Option<String>,
}

impl Connection {
    /// The value of a setting that counts.
    pub fn setting(&self, keyword: &str) -> Option<&str> {
        let found = self.settings.iter().find(|(name, _)| name.eq_ignore_ascii_case(keyword));
        found.map(|(_, value)| value.as_str())
    }

    /// The same as the metadata of a node, by the names that connect. Passwords are not metadata.
    pub fn metadata(&self) -> Metadata {
        let mut metadata = Metadata::new();
        let mut say = |name: &str, value: Json| drop(metadata.insert(name.to_owned(), value));
        match self.way {
            Way::Local => say("local_node", true.into()),
            Way::Docker => say("docker", self.address.as_str().into()),
            Way::Ssh => {
                say("hostname", self.address.as_str().into());
                let mut options = serde_json::Map::new();
                for (keyword, value) in &self.settings {
                    let named = NAMED.iter().find(|(k, _)| k.eq_ignore_ascii_case(keyword));
                    match named {
                        // Only the first counts, and that of the variables comes before those of arguments.
                        Some((keyword, name)) if self.setting(keyword) == Some(value) => {
                            say(name, value.as_str().into());
                        }
                        Some(_) => {}
                        None => {
                            let known = options.keys().any(|k| k.eq_ignore_ascii_case(keyword));
                            if !known {
                                options.insert(keyword.clone(), value.as_str().into());
                            }
                        }
                    }
                }
                if !options.is_empty() {
                    say("ssh_options", options.into());
                }
                if let Some(config) = &self.ssh_config {
                    say("ssh_config", config.display().to_string().into());
                }
            }
        }
        if let Some(other) = &self.escalation {
            say("become", true.into());
            say("become_user", other.user.as_str().into());
            say("become_method", other.method.as_str().into());
        }
        metadata
    }
}

/// The settings that metadata has names of its own for.
const NAMED: [(&str, &str); 4] = [
    ("Port", "ssh_port"),
    ("User", "ssh_user"),
    ("IdentityFile", "ssh_private_key_file"),
    ("ProxyJump", "gateway"),
];

impl AnsibleInventory {
    /// How a host is reached. Variables that are templates are evaluated, and those that are encrypted opened.
    ///
    /// # Errors
    /// [`Code::NotFound`] for a host that is not there; an error that names the variable for one that cannot be evaluated,
    /// has a value it cannot have, or asks for something that only Ansible can do (`ansible_connection=winrm`).
    pub fn connection(self: &Arc<Self>, host: &str) -> Result<Connection> {
        Variables::of(self, host)?.connection()
    }

    /// As whom commands run on a host when the user asks for it, whatever `ansible_become` says: root by sudo, where the
    /// variables say nothing else.
    ///
    /// # Errors
    /// As [`Self::connection`].
    pub fn escalation(self: &Arc<Self>, host: &str) -> Result<Escalation> {
        Variables::of(self, host)?.escalation()
    }

    /// A variable of a host, evaluated and opened; `None` where it has none of that name.
    ///
    /// # Errors
    /// As [`Self::connection`].
    pub fn evaluated(self: &Arc<Self>, host: &str, name: &str) -> Result<Option<Json>> {
        let Some(value) = Variables::of(self, host)?.templates.variable(host, name)? else { return Ok(None) };
        let unfit =
            |e| Error::invalid(format!("{name} of {host}"), "this variable is not plain data").because(e);
        serde_json::to_value(value).map(Some).map_err(unfit)
    }
}

/// The variables of one host.
struct Variables<'a> {
    templates: Arc<Templates>,
    host: &'a str,
    is_here: bool,
}

impl<'a> Variables<'a> {
    fn of(inventory: &Arc<AnsibleInventory>, host: &'a str) -> Result<Self> {
        let named = inventory.hosts.contains_key(host);
        if !named && !LOCALHOST.contains(&host) {
            return Err(Error::not_found(format!("there is no host '{host}' in this inventory")));
        }
        Ok(Variables { templates: Templates::new(inventory.clone()), host, is_here: !named })
    }

    fn connection(&self) -> Result<Connection> {
        let (way, plain) = (self.way()?, self.text(&["ansible_host", "ansible_ssh_host"])?);
        let mut connection = Connection {
            way,
            address: plain.unwrap_or_else(|| self.host.to_owned()),
            password: self.secret(&["ansible_password", "ansible_ssh_pass", "ansible_ssh_password"])?,
            settings: Vec::new(),
            ssh_config: None,
            escalation: None,
        };
        if let Some(shell) = self.text(&["ansible_shell_type"])?.filter(|shell| shell != "sh") {
            return Err(self
                .cannot("ansible_shell_type", &shell)
                .hint("what runs there is written for a POSIX sh"));
        }
        if way == Way::Ssh {
            // The order of Ansible's own command line.
            self.arguments("ansible_ssh_args", &mut connection)?;
            self.ssh(&mut connection.settings)?;
            self.arguments("ansible_ssh_common_args", &mut connection)?;
            self.arguments("ansible_ssh_extra_args", &mut connection)?;
        }
        if self.flag("ansible_become")?.unwrap_or(false) {
            connection.escalation = Some(self.escalation()?);
        }
        Ok(connection)
    }

    fn way(&self) -> Result<Way> {
        if self.is_here {
            return Ok(Way::Local);
        }
        let connection = self.text(&["ansible_connection"])?;
        Ok(match connection.as_deref().unwrap_or("ssh") {
            "ssh"
            | "smart"
            | "ansible.builtin.ssh"
            | "paramiko"
            | "paramiko_ssh"
            | "ansible.builtin.paramiko_ssh" => Way::Ssh,
            "local" | "ansible.builtin.local" => Way::Local,
            "docker" | "community.docker.docker" | "community.docker.docker_api" => Way::Docker,
            other => {
                return Err(self
                    .cannot("ansible_connection", other)
                    .hint("known are ssh, local and docker; leave this host to Ansible, or exclude it"));
            }
        })
    }

    /// What variables say about SSH directly.
    fn ssh(&self, settings: &mut Vec<Setting>) -> Result<()> {
        for (name, usual) in [("ansible_ssh_executable", "ssh"), ("ansible_ssh_pkcs11_provider", "")] {
            if let Some(other) = self.text(&[name])?.filter(|value| value != usual) {
                return Err(self.cannot(name, &other));
            }
        }
        for name in ["ansible_host_key_checking", "ansible_ssh_host_key_checking"] {
            if self.flag(name)? == Some(false) {
                settings.push(("StrictHostKeyChecking".into(), "no".into()));
            }
        }
        let port = ["ansible_port", "ansible_ssh_port"];
        if let Some(text) = self.text(&port)? {
            let port = text.parse::<u16>().ok().filter(|port| *port > 0);
            let port = port.ok_or_else(|| self.wrong("ansible_port", &text, "a port from 1 to 65535"))?;
            settings.push(("Port".into(), port.to_string()));
        }
        let texts: [(&str, &[&str]); 3] = [
            ("IdentityFile", &["ansible_private_key_file", "ansible_ssh_private_key_file"]),
            ("User", &["ansible_user", "ansible_ssh_user"]),
            ("ConnectTimeout", &["ansible_timeout", "ansible_ssh_timeout"]),
        ];
        for (keyword, names) in texts {
            settings.extend(self.text(names)?.map(|value| (keyword.to_owned(), value)));
        }
        Ok(())
    }

    fn arguments(&self, name: &str, connection: &mut Connection) -> Result<()> {
        let Some(text) = self.text(&[name])? else { return Ok(()) };
        let arguments = ssh_args::read(&text).map_err(|e| e.at(self.place(name)))?;
        connection.settings.extend(arguments.settings);
        connection.ssh_config = connection.ssh_config.take().or(arguments.config);
        Ok(())
    }

    fn escalation(&self) -> Result<Escalation> {
        let method = self.text(&["ansible_become_method"])?;
        let (method, own) = match method.as_deref().unwrap_or("sudo") {
            "sudo" | "ansible.builtin.sudo" => (Method::Sudo, "sudo"),
            "su" | "ansible.builtin.su" => (Method::Su, "su"),
            "doas" | "community.general.doas" => (Method::Doas, "doas"),
            other => {
                return Err(self.cannot("ansible_become_method", other).hint("known are sudo, su and doas"));
            }
        };
        let of = |what: &str| format!("ansible_{own}_{what}");
        let user = self.text(&["ansible_become_user", &of("user")])?;
        let password = ["ansible_become_password", "ansible_become_pass", &of("pass")];
        let program = self.text(&["ansible_become_exe", &of("exe")])?;
        Ok(Escalation {
            method,
            user: user.unwrap_or_else(|| "root".to_owned()),
            password: self.secret(&password)?,
            program: program.filter(|program| program != own),
        })
    }

    /// The value of the last of these variables that the host has.
    fn value(&self, names: &[&str]) -> Result<Option<Value>> {
        for name in names.iter().rev() {
            let value = self.templates.variable(self.host, name)?;
            if let Some(value) = value.filter(|value| !value.is_none()) {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }

    /// As a text; an empty one is none.
    fn text(&self, names: &[&str]) -> Result<Option<String>> {
        let Some(value) = self.value(names)? else { return Ok(None) };
        match value.kind() {
            ValueKind::String | ValueKind::Number | ValueKind::Bool => {
                Ok(Some(value.to_string()).filter(|text| !text.is_empty()))
            }
            kind => Err(self.wrong(names[0], &format!("a {kind}"), "a text")),
        }
    }

    fn secret(&self, names: &[&str]) -> Result<Option<Secret>> {
        Ok(self.text(names)?.map(Secret::new))
    }

    fn flag(&self, name: &str) -> Result<Option<bool>> {
        let Some(value) = self.value(&[name])? else { return Ok(None) };
        let truth = filters::truth(&value);
        truth.map(Some).ok_or_else(|| self.wrong(name, &value.to_string(), "a truth value"))
    }

    fn place(&self, name: &str) -> String {
        format!("{name} of {}", self.host)
    }

    fn cannot(&self, name: &str, value: &str) -> Error {
        Error::new(Code::Invalid, format!("'{value}' is something that Ansible can do and Hostler cannot"))
            .at(self.place(name))
    }

    fn wrong(&self, name: &str, value: &str, wanted: &str) -> Error {
        Error::invalid(self.place(name), format!("'{value}' is not {wanted}"))
    }
}
