//! Tests of one's own: scripts whose exit code decides.
//!
//! `tests/NAME.sh` of the fleet directory runs on every node, `services/SERVICE/tests/NAME.sh` as `SERVICE/NAME` on the
//! nodes that have the service. 0 is well, 77 means that the test has no meaning there (as in Automake), all else fails.

use super::{
    declared::{On, ScriptRule, Where, a_minute},
    outcome::Found,
    way::Way,
};
use crate::session::{Command, Ended, Output};
use base::{Error, Result};
use inventory::{Inventory, Node};
use secrets::Secrets;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

/// What is kept of each output.
const MOST: usize = 64 << 10;
/// How many lines of a failed test's output are shown.
const LINES: usize = 20;
const SKIP: u32 = 77;

/// A script.
#[derive(Clone, Debug)]
pub struct Script {
    /// The test's name.
    pub name: String,
    /// Where its file is.
    pub path: PathBuf,
    text: String,
    /// What its first line asks for; `None` is `sh`.
    interpreter: Option<String>,
    rule: ScriptRule,
    nodes: BTreeSet<String>,
}

impl Script {
    /// All scripts of a fleet, by name.
    ///
    /// # Errors
    /// A file cannot be read, or a rule means none of them.
    pub async fn find(dir: &Path, rules: &[ScriptRule], inventory: &Inventory) -> Result<Vec<Script>> {
        let mut scripts = BTreeMap::new();
        for path in files(&dir.join("tests"))? {
            let nodes = inventory.nodes.keys().cloned().collect();
            let script = Script::read(path, "", nodes)?;
            scripts.insert(script.name.clone(), script);
        }
        let platforms = inventory.platforms.values().filter_map(|p| p.path.as_deref());
        let roots: BTreeSet<&Path> = std::iter::once(dir).chain(platforms).collect();
        let services: BTreeSet<&String> = inventory.nodes.values().flat_map(|n| &n.services).collect();
        for service in services {
            let nodes = inventory.nodes.values().filter(|n| n.services.contains(service));
            let nodes: BTreeSet<String> = nodes.map(|n| n.name.clone()).collect();
            for root in &roots {
                for path in files(&root.join("services").join(service).join("tests"))? {
                    let script = Script::read(path, &format!("{service}/"), nodes.clone())?;
                    scripts.insert(script.name.clone(), script);
                }
            }
        }
        for rule in rules {
            let Some(script) = scripts.get_mut(&rule.name) else {
                let message = format!("there is no script for the test '{}'", rule.name);
                return Err(Error::not_found(message)
                    .at("tests")
                    .hint("scripts are tests/NAME.sh in the fleet directory"));
            };
            let chosen = rule.r#for.names(inventory).await?;
            script.nodes.retain(|name| chosen.contains(name));
            script.rule = rule.clone();
            script.check()?;
        }
        Ok(scripts.into_values().collect())
    }

    fn read(path: PathBuf, prefix: &str, nodes: BTreeSet<String>) -> Result<Self> {
        let text =
            fs::read_to_string(&path).map_err(|e| Error::io(format_args!("read {}", path.display()), &e))?;
        let name = format!("{prefix}{}", path.file_stem().unwrap_or_default().to_string_lossy());
        let first = text.lines().next().and_then(|l| l.strip_prefix("#!")).map(str::trim);
        let interpreter =
            first.filter(|i| !matches!(*i, "" | "/bin/sh" | "/usr/bin/sh")).map(ToOwned::to_owned);
        let rule = ScriptRule {
            name: name.clone(),
            r#for: Where::default(),
            on: On::Node,
            args: Vec::new(),
            env: BTreeMap::new(),
            secrets: BTreeMap::new(),
            timeout: a_minute(),
        };
        Ok(Script { name, path, text, interpreter, rule, nodes })
    }

    /// Arguments are set by the script itself, so it must be one of a shell.
    fn check(&self) -> Result<()> {
        let words = self.interpreter.as_deref().unwrap_or("sh").split_whitespace();
        let mut programs = words.filter_map(|w| w.rsplit('/').next()).filter(|w| *w != "env");
        let is_shell =
            programs.next().is_some_and(|p| matches!(p, "sh" | "bash" | "dash" | "ash" | "ksh" | "zsh"));
        if is_shell || self.rule.args.is_empty() {
            return Ok(());
        }
        Err(Error::invalid(
            "tests",
            format!("{} is no script of a shell and takes no arguments", self.path.display()),
        )
        .hint("give it variables with `env` instead"))
    }

    /// Whether it is for this node.
    pub(super) fn is_for(&self, node: &Node) -> bool {
        self.nodes.contains(&node.name)
    }

    /// Where it runs.
    pub(super) fn on(&self) -> On {
        self.rule.on
    }

    /// Whether it uses secrets.
    pub(super) fn needs_secrets(&self) -> bool {
        !self.rule.secrets.is_empty()
    }

    /// Runs it for a node, on the way to where it runs.
    pub(super) async fn run(&self, way: &Way, dir: &Path, node: &Node, secrets: Option<&Secrets>) -> Found {
        let ran = match self.command(dir, node, secrets) {
            Ok(command) => way.output(command, MOST).await,
            Err(e) => return e.into(),
        };
        match ran {
            Ok(output) => self.judge(&output),
            Err(e) => e.into(),
        }
    }

    fn command(&self, dir: &Path, node: &Node, secrets: Option<&Secrets>) -> Result<Command> {
        let mut env = vec![
            ("HOSTLER_TEST".to_owned(), self.name.clone()),
            ("HOSTLER_NODE".to_owned(), node.name.clone()),
            ("HOSTLER_PLATFORM".to_owned(), node.platform.clone()),
            ("HOSTLER_SERVICES".to_owned(), node.services.join(" ")),
            ("HOSTLER_METADATA".to_owned(), serde_json::to_string(&node.metadata).unwrap_or_default()),
        ];
        if self.rule.on == On::Controller {
            env.push(("HOSTLER_FLEET_DIR".to_owned(), dir.display().to_string()));
        }
        env.extend(self.rule.env.clone());
        for (variable, name) in &self.rule.secrets {
            let secret = secrets.and_then(|s| s.get(name)).ok_or_else(|| {
                Error::not_found(format!("there is no secret '{name}'")).hint("see: hostler secret list")
            })?;
            env.push((variable.clone(), secret.expose_secret().to_owned()));
        }
        let args: Vec<String> = self.rule.args.iter().map(|arg| ssh::quote(arg)).collect();
        // Before the first line, so that lines keep their numbers.
        let set = if args.is_empty() { String::new() } else { format!("set -- {}; ", args.join(" ")) };
        Ok(Command {
            script: format!("{set}{}", self.text),
            interpreter: self.interpreter.clone(),
            env,
            timeout: Some(Duration::from_secs(self.rule.timeout)),
            ..Command::default()
        })
    }

    fn judge(&self, output: &Output) -> Found {
        let said = last_lines(&[output.stdout.as_slice(), &output.stderr].concat());
        let how = match &output.ended {
            Ended::Code(0) => return Found::Well,
            Ended::Code(SKIP) => {
                return Found::Unclear(said.lines().last().unwrap_or("the script says so").to_owned());
            }
            Ended::Code(code) => format!("ended with {code}"),
            Ended::Signal(name) => format!("was ended by signal {name}"),
            Ended::Timeout => format!("took longer than {} s", self.rule.timeout),
        };
        let said = if said.is_empty() { said } else { format!(":\n{said}") };
        Found::wrong(format!("{} {how}{said}", self.name))
    }
}

fn last_lines(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let lines: Vec<&str> = text.trim_end().lines().collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}

/// The scripts of a directory, which need not exist, in the order of their names.
fn files(dir: &Path) -> Result<Vec<PathBuf>> {
    let doing = |e: &io::Error| Error::io(format_args!("read the directory {}", dir.display()), e);
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        Err(e) => return Err(doing(&e)),
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(|e| doing(&e))?.path();
        if path.extension().is_some_and(|e| e == "sh") && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
