//! The peers' calls.

use crate::{
    lab::Lab,
    tool::{COMMAND, Expected, Tool},
};
use std::path::{Path, PathBuf};
use tokio::process::Command;

/// Connections that `ssh` keeps for a while.
const PERSIST: &str = "-o ControlMaster=auto -o ControlPersist=60s";

/// One command on all nodes, with new connections. The first is plain `ssh`, the floor.
pub fn cold(lab: &Lab) -> Vec<Tool> {
    let raw = ansible_raw(lab, ansible_config(lab, ""));
    let pyinfra = pyinfra(lab, Expected::Answers, &["inventory.py", "exec", "--", COMMAND]);
    let by_ssh = [xargs(lab, ""), clush(lab, ""), pdsh(lab)];
    by_ssh.into_iter().chain([raw, pyinfra]).flatten().collect()
}

/// The same over connections that `ssh` keeps.
pub fn warm(lab: &Lab) -> Vec<Tool> {
    let persist = format!(" {PERSIST} -o ControlPath={}", lab.path("cm-%n").display());
    let raw = ansible_raw(lab, ansible_config(lab, &format!(" {PERSIST}")));
    [xargs(lab, &persist), clush(lab, &persist), raw].into_iter().flatten().collect()
}

/// Arguments of `ssh`.
fn ssh(lab: &Lab, more: &str) -> String {
    format!("-F {}{more}", lab.path("ssh_config").display())
}

fn xargs(lab: &Lab, more: &str) -> Option<Tool> {
    std::fs::write(lab.path("names"), names(lab).join("\n") + "\n").expect("a list of names");
    let (dir, forks, options) = (lab.path(""), lab.len().to_string(), ssh(lab, more));
    Tool::find("plain ssh", "ssh", Expected::Answers, move |ssh| {
        let mut command = in_dir("xargs", &dir);
        command.args(["-a", "names", "-P", &forks, "-I", "{}"]).arg(ssh);
        command.args(options.split(' ')).args(["{}", COMMAND]);
        command
    })
}

fn clush(lab: &Lab, more: &str) -> Option<Tool> {
    // It reads its options as a configuration, where a percent sign begins a name.
    let options = ssh(lab, more).replace('%', "%%");
    let (dir, forks) = (lab.path(""), lab.len().to_string());
    let nodes = names(lab).join(",");
    Tool::find("clush", "clush", Expected::Answers, move |clush| {
        let mut command = in_dir(clush, &dir);
        command.args(["-f", &forks, "-o", &options, "-w", &nodes, COMMAND]);
        command
    })
}

fn pdsh(lab: &Lab) -> Option<Tool> {
    let (dir, forks, options) = (lab.path(""), lab.len().to_string(), ssh(lab, ""));
    let nodes = names(lab).join(",");
    Tool::find("pdsh", "pdsh", Expected::Answers, move |pdsh| {
        let mut command = in_dir(pdsh, &dir);
        command.env("PDSH_SSH_ARGS_APPEND", &options);
        command.args(["-R", "ssh", "-f", &forks, "-w", &nodes, COMMAND]);
        command
    })
}

fn ansible_raw(lab: &Lab, config: PathBuf) -> Option<Tool> {
    let dir = lab.path("");
    Tool::find("ansible -m raw", "ansible", Expected::Answers, move |ansible| {
        let mut command = in_dir(ansible, &dir);
        command.env("ANSIBLE_CONFIG", &config).args(["-i", "hosts.ini", "all", "-m", "raw", "-a", COMMAND]);
        command
    })
}

/// A check of the service.
pub fn checks(lab: &Lab) -> [Option<Tool>; 2] {
    let words = ["inventory.py", "deploy.py", "--dry"];
    [pyinfra(lab, Expected::Success, &words), playbook(lab, Expected::Success, &["--check"])]
}

/// Its deployment.
pub fn deployments(lab: &Lab) -> [Option<Tool>; 2] {
    let words = ["inventory.py", "deploy.py", "-y"];
    [pyinfra(lab, Expected::Deployed, &words), playbook(lab, Expected::Deployed, &[])]
}

/// Connections stay open from the first run on, as Ansible's users have it.
fn playbook(lab: &Lab, expected: Expected, args: &[&'static str]) -> Option<Tool> {
    let config = ansible_config(lab, &format!(" {PERSIST}"));
    let (dir, args) = (lab.path(""), args.to_vec());
    Tool::find("ansible-playbook", "ansible-playbook", expected, move |ansible| {
        let mut command = in_dir(ansible, &dir);
        command.env("ANSIBLE_CONFIG", &config).args(["-i", "hosts.ini", "playbook.yml"]).args(&args);
        command
    })
}

fn pyinfra(lab: &Lab, expected: Expected, args: &[&'static str]) -> Option<Tool> {
    let (dir, args, forks) = (lab.path(""), args.to_vec(), lab.len().to_string());
    Tool::find("pyinfra", "pyinfra", expected, move |pyinfra| {
        let mut command = in_dir(pyinfra, &dir);
        command.args(["--parallel", &forks]).args(&args);
        command
    })
}

/// Ansible at its fastest: pipelining, a known interpreter, no facts.
fn ansible_config(lab: &Lab, more: &str) -> PathBuf {
    let path = lab.path(if more.is_empty() { "ansible.cfg" } else { "ansible-persist.cfg" });
    let text = format!(
        "[defaults]\nforks = {}\ninterpreter_python = /usr/bin/python3\ngathering = explicit\nlocal_tmp = {}\n\
         [ssh_connection]\npipelining = True\nssh_args = -F {}{more}\ncontrol_path_dir = {}\n",
        lab.len(),
        lab.path("ansible").display(),
        lab.path("ssh_config").display(),
        lab.path("cp").display(),
    );
    std::fs::write(&path, text).expect("a configuration");
    path
}

fn names(lab: &Lab) -> Vec<String> {
    (0..lab.len()).map(|node| format!("web{node}")).collect()
}

fn in_dir(program: impl AsRef<std::ffi::OsStr>, dir: &Path) -> Command {
    let mut command = rt::process::command(program);
    command.current_dir(dir).env("HOME", dir.join("home"));
    command
}
