//! Playbooks and roles of Ansible as steps of a service: the real `ansible-playbook`, against one node.
//!
//! It gets an inventory with that node only and a configuration of SSH that says what ours says, so that it goes the same
//! way and believes the same host keys; a container is reached by the call that we make too. Passwords and what was encrypted lie in files that nobody else can read and that
//! are gone afterwards: never in argv.

use super::{
    ssh::SshArgs,
    ssh_config::{Block, Book},
};
use crate::app::App;
use base::{Error, Result, Secret};
use fleet::{
    connector::{Container, Local, over},
    deploy::{Playbooks, Played, Task},
    service::Ansible,
    session::{Become, Command, Ended, Sink},
};
use futures::future::{BoxFuture, FutureExt};
use inventory::{Inventory, Node};
use serde_json::{Map, Value, json};
use ssh::quote;
use std::{
    fmt::Write as _,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};
use tempfile::TempDir;

/// Says what became of each task.
const TASKS: &str = include_str!("playbooks/hostler_tasks.py");
/// Lets Ansible reach containers: its core has no way to them.
const CONTAINER: &str = include_str!("playbooks/hostler_container.py");
/// What a shell says of a program that is not there.
const MISSING: u32 = 127;

/// Runs Ansible with the user's own SSH.
pub struct Runner<'a> {
    /// The program.
    pub app: &'a App,
    /// How nodes are reached.
    pub ssh: &'a SshArgs,
    /// What more is known of the nodes.
    pub inventory: &'a Inventory,
    /// The password of the login, where the node has no other.
    pub password: Option<&'a Secret>,
    /// What tasks answer that become somebody else, where the node has no other answer.
    pub become_password: Option<&'a Secret>,
}

impl Playbooks for Runner<'_> {
    fn play<'a>(
        &'a self,
        node: &'a Node,
        other: Option<&'a Become>,
        ansible: &'a Ansible,
        check: bool,
        sink: &'a mut dyn Sink,
    ) -> BoxFuture<'a, Result<Played>> {
        async move {
            let room = Room::new()?;
            let login = self.password.or(node.passwords.login.as_ref()).filter(|_| !node.flag("local_node"));
            let way = self.way(&room, node, login).await?;
            self.furnish(&room, node, other, ansible, way)?;
            let mut env = room.environment(ansible);
            if login.is_some() {
                env.extend(room.asking());
            }
            let command = Command { script: room.script(ansible, check), env, ..Command::default() };
            let ended = over(Local).run(command, sink).await?;
            if ended == Ended::Code(MISSING) {
                return Err(Error::unavailable("there is no ansible-playbook on this machine")
                    .hint("install it: apt-get install ansible-core"));
            }
            Ok(Played { ended, tasks: Some(room.tasks()?) })
        }
        .boxed()
    }
}

impl Runner<'_> {
    /// The variables that tell Ansible how the node is reached. What they name is written.
    async fn way(&self, room: &Room, node: &Node, login: Option<&Secret>) -> Result<Map<String, Value>> {
        if node.flag("local_node") {
            return Ok(variables([("ansible_connection", "local".into())]));
        }
        if node.metadata.contains_key("docker") {
            return in_container(node).await;
        }
        let known_hosts = room.path("known_hosts");
        let mut book = Book::new(self.app, self.ssh, Some(&known_hosts));
        book.add(node).await?;
        room.write("known_hosts", &book.known_hosts())?;
        let blocks = book.into_blocks();
        let mut config: Vec<String> = blocks.iter().map(ToString::to_string).collect();
        if let Some(password) = login {
            // No host on the way is asked for it.
            config.insert(0, "Host *\n    BatchMode yes\n".into());
            room.answer(password, blocks.iter().find(|block| block.host == node.name))?;
        }
        room.write("ssh_config", &config.join("\n"))?;
        let config = room.path("ssh_config").display().to_string();
        let asking = if login.is_some() { ASKING } else { "" };
        // One connection for all tasks; it is closed at the end.
        let args = format!("-F {} -o ControlMaster=auto -o ControlPersist=60s{asking}", quote(&config));
        Ok(variables([
            ("ansible_connection", "ssh".into()),
            ("ansible_host", node.name.as_str().into()),
            ("ansible_ssh_args", args.into()),
        ]))
    }

    /// Writes all else that Ansible reads besides the files of the service.
    fn furnish(
        &self,
        room: &Room,
        node: &Node,
        other: Option<&Become>,
        ansible: &Ansible,
        way: Map<String, Value>,
    ) -> Result<()> {
        let vars = self.inventory.playbook_vars(&node.name)?;
        let answer = other.and_then(|other| other.password.as_ref()).or(self.become_password);
        let inventory = inventory(node, vars, way, other, answer);
        room.write("inventory.json", &inventory.to_string())?;
        room.write("vars.json", &Value::Object(ansible.vars.clone()).to_string())?;
        room.write("callback/hostler_tasks.py", TASKS)?;
        room.write("connection/hostler_container.py", CONTAINER)?;
        if let Some(role) = &ansible.role {
            room.write("role.json", &json!([{"hosts": "all", "roles": [role]}]).to_string())?;
        }
        Ok(())
    }
}

/// What lets ssh ask for a password, whatever Ansible says later in its arguments: it knows of none.
const ASKING: &str = " -o BatchMode=no -o NumberOfPasswordPrompts=1 -o PasswordAuthentication=yes \
                      -o KbdInteractiveAuthentication=yes \
                      -o PreferredAuthentications=publickey,keyboard-interactive,password";

fn variables<const N: usize>(all: [(&str, Value); N]) -> Map<String, Value> {
    all.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// How Ansible reaches a container: by the call that we make ourselves. Few images have sudo, and root needs none to
/// become somebody else.
async fn in_container(node: &Node) -> Result<Map<String, Value>> {
    let call = Container::open(node).await?.exec(&["--interactive"]);
    let call = call.as_std();
    let words = std::iter::once(call.get_program()).chain(call.get_args());
    let words: Vec<Value> = words.map(|word| word.to_string_lossy().into()).collect();
    Ok(variables([
        ("ansible_connection", "hostler_container".into()),
        ("ansible_become_method", "su".into()),
        ("hostler_container_call", words.into()),
    ]))
}

/// An inventory of one node, with its metadata, these variables and its groups.
fn inventory(
    node: &Node,
    more: Map<String, Value>,
    way: Map<String, Value>,
    other: Option<&Become>,
    answer: Option<&Secret>,
) -> Value {
    let mut vars: Map<String, Value> = node.own_metadata().map(|(k, v)| (k.clone(), v.clone())).collect();
    vars.extend(more);
    vars.extend(way);
    let mut say = |name: &str, value: Value| drop(vars.insert(name.to_owned(), value));
    if let Some(other) = other {
        say("ansible_become", true.into());
        say("ansible_become_user", other.user.as_str().into());
        say("ansible_become_method", other.method.as_str().into());
    }
    if let Some(password) = answer {
        say("ansible_become_password", password.expose_secret().into());
    }
    let hosts = json!({ &node.name: vars });
    let named = node.groups.iter().filter(|group| !matches!(group.as_str(), "all" | "ungrouped"));
    let children: Map<String, Value> =
        named.map(|group| (group.clone(), json!({"hosts": {&node.name: {}}}))).collect();
    json!({"all": {"hosts": hosts, "children": children}})
}

/// A private directory for one run of Ansible, gone with it.
struct Room(TempDir);

impl Room {
    fn new() -> Result<Self> {
        let room = tempfile::Builder::new().prefix("hostler-").tempdir();
        let room = Room(room.map_err(|e| Error::io("make a directory for Ansible", &e))?);
        for name in ["callback", "connection", "cp"] {
            let path = room.path(name);
            fs::create_dir(&path).map_err(|e| Error::io(format_args!("make {}", path.display()), &e))?;
        }
        Ok(room)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        let path = self.path(name);
        fs::write(&path, text).map_err(|e| Error::io(format_args!("write {}", path.display()), &e))
    }

    /// Keeps the password of the login, and a program that answers ssh with it: only for this host, and no other
    /// question.
    fn answer(&self, password: &Secret, host: Option<&Block>) -> Result<()> {
        let of = |keyword| host.and_then(|block| block.get(keyword));
        let names = [of("HostName"), of("HostKeyAlias")].into_iter().flatten();
        let user = of("User").unwrap_or_default();
        let patterns: Vec<String> =
            names.map(|name| format!("*{}*", quote(&format!("{user}@{name}")))).collect();
        let kept = quote(&self.path("login").display().to_string());
        self.write("login", &format!("{}\n", password.expose_secret()))?;
        let patterns = patterns.join("|");
        self.write("askpass", &format!("#!/bin/sh\ncase $1 in\n  *yes/no*) exit 1 ;;\n  {patterns}) exec cat {kept} ;;\nesac\nexit 1\n"))?;
        let path = self.path("askpass");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700))
            .map_err(|e| Error::io(format_args!("make {} a program", path.display()), &e))
    }

    /// Makes ssh ask the program of [`Self::answer`], never a terminal.
    fn asking(&self) -> [(String, String); 2] {
        let program = self.path("askpass").display().to_string();
        [("SSH_ASKPASS", program), ("SSH_ASKPASS_REQUIRE", "force".into())].map(|(k, v)| (k.to_owned(), v))
    }

    /// The call, and the end of the connection that it left open.
    fn script(&self, ansible: &Ansible, check: bool) -> String {
        let at = |name: &str| quote(&self.path(name).display().to_string());
        let mut call = format!("ansible-playbook -i {} -e @{}", at("inventory.json"), at("vars.json"));
        if check {
            call.push_str(" --check --diff");
        }
        if !ansible.tags.is_empty() {
            let _ = write!(call, " --tags {}", quote(&ansible.tags.join(",")));
        }
        let playbook = ansible.playbook.as_deref().map_or_else(|| at("role.json"), quote);
        let directory = quote(&ansible.directory.display().to_string());
        format!(
            "command -v ansible-playbook >/dev/null || exit {MISSING}\n\
             cd -- {directory} || exit 1\n\
             {call} -- {playbook}\ncode=$?\n\
             for socket in {}/*; do [ ! -S \"$socket\" ] || ssh -o ControlPath=\"$socket\" -O exit node 2>/dev/null; done\n\
             exit $code\n",
            at("cp")
        )
    }

    /// What no `ansible.cfg` may say otherwise.
    fn environment(&self, ansible: &Ansible) -> Vec<(String, String)> {
        let at = |name: &str| self.path(name).display().to_string();
        let roles = |dir: &Path| format!("{0}/roles:{0}", dir.display());
        [
            ("ANSIBLE_HOST_KEY_CHECKING", "True".to_owned()),
            ("ANSIBLE_SSH_CONTROL_PATH_DIR", at("cp")),
            ("ANSIBLE_CALLBACK_PLUGINS", at("callback")),
            ("ANSIBLE_CONNECTION_PLUGINS", at("connection")),
            ("ANSIBLE_STDOUT_CALLBACK", "default".to_owned()),
            ("ANSIBLE_NOCOLOR", "True".to_owned()),
            ("ANSIBLE_RETRY_FILES_ENABLED", "False".to_owned()),
            ("ANSIBLE_ROLES_PATH", roles(&ansible.directory)),
            ("HOSTLER_TASKS", at("tasks")),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .to_vec()
    }

    /// What became of the tasks; none where Ansible ended before the first.
    fn tasks(&self) -> Result<Vec<Task>> {
        let text = fs::read_to_string(self.path("tasks")).unwrap_or_default();
        let task = |line: &str| {
            serde_json::from_str(line).map_err(|e| {
                Error::internal("what Ansible says of its tasks is not to be understood").because(e)
            })
        };
        text.lines().map(task).collect()
    }
}
