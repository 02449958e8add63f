//! The peers' calls.

use crate::{
    lab::Lab,
    tool::{COMMAND, Expected, Tool},
};
use std::path::{Path, PathBuf};
use tokio::process::Command;

/// One command on all nodes, with new connections. The first is plain `ssh`, the floor.
pub fn cold(lab: &Lab) -> Vec<Tool> {
    let (names, ssh) = (names(lab), format!("-F {}", lab.path("ssh_config").display()));
    let forks = lab.len().to_string();
    let [hosts, list] = [names.join("\n") + "\n", names.join(",")];
    std::fs::write(lab.path("names"), hosts).expect("a list of names");
    let (dir, at_once, options) = (lab.path(""), forks.clone(), ssh.clone());
    let xargs = Tool::find("plain ssh", "ssh", Expected::Answers, move |ssh| {
        let mut command = in_dir("xargs", &dir);
        command.args(["-a", "names", "-P", &at_once, "-I", "{}"]).arg(ssh);
        command.args(options.split(' ')).args(["{}", COMMAND]);
        command
    });
    let (dir, nodes, at_once, options) = (lab.path(""), list.clone(), forks.clone(), ssh.clone());
    let clush = Tool::find("clush", "clush", Expected::Answers, move |clush| {
        let mut command = in_dir(clush, &dir);
        command.args(["-f", &at_once, "-o", &options, "-w", &nodes, COMMAND]);
        command
    });
    let (dir, nodes, at_once, options) = (lab.path(""), list, forks.clone(), ssh);
    let pdsh = Tool::find("pdsh", "pdsh", Expected::Answers, move |pdsh| {
        let mut command = in_dir(pdsh, &dir);
        command.env("PDSH_SSH_ARGS_APPEND", &options);
        command.args(["-R", "ssh", "-f", &at_once, "-w", &nodes, COMMAND]);
        command
    });
    let (dir, config) = (lab.path(""), ansible_config(lab, ""));
    let raw = Tool::find("ansible -m raw", "ansible", Expected::Answers, move |ansible| {
        let mut command = in_dir(ansible, &dir);
        command.env("ANSIBLE_CONFIG", &config).args(["-i", "hosts.ini", "all", "-m", "raw", "-a", COMMAND]);
        command
    });
    let pyinfra = pyinfra(lab, Expected::Answers, &["inventory.py", "exec", "--", COMMAND]);
    [xargs, clush, pdsh, raw, pyinfra].into_iter().flatten().collect()
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
    let config = ansible_config(lab, " -o ControlMaster=auto -o ControlPersist=60s");
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
