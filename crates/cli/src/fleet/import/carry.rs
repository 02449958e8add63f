//! From the lines of `hpc_config.rb` to the sections of `hostler.yaml`.

use super::{place, wanted::Wanted};
use fleet::ruby::Statement;
use serde::Serialize;
use serde_json::Value;
use std::{collections::BTreeMap, fmt, path::Path};

/// `hostler.yaml`.
#[derive(Debug, Default, Serialize)]
pub struct Document {
    platforms: Vec<Platform>,
    ssh: Ssh,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    assign: Vec<Assignment>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    metadata_masters: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    secrets: Vec<Keepass>,
    #[serde(flatten)]
    wanted: Wanted,
}

#[derive(Debug, Serialize)]
struct Platform {
    name: String,
    r#type: &'static str,
    path: String,
}

/// That system takes each host key as it comes, each time. The nearest that can be defended is to keep the first.
#[derive(Debug, Serialize)]
struct Ssh {
    host_keys: &'static str,
}

impl Default for Ssh {
    fn default() -> Self {
        Ssh { host_keys: "first-use" }
    }
}

#[derive(Debug, Serialize)]
struct Assignment {
    nodes: Vec<String>,
    metadata: Value,
}

/// The only source of secrets that has a word of its own.
#[derive(Debug, Serialize)]
struct Keepass {
    r#type: &'static str,
    database: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<String>,
    password_env: &'static str,
}

/// A line that is not in it, or only in part.
#[derive(Debug, Serialize)]
pub struct Left {
    place: String,
    word: String,
    why: String,
}

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.place, self.word, self.why)
    }
}

/// What a line became: nothing is left of it, or this.
pub type Verdict = Result<(), String>;

/// Carries over what can be. Every line ends up in the document or in the list.
pub fn carry(said: &[Statement], dir: &Path, home: Option<&Path>) -> (Document, Vec<Left>) {
    let mut document = Document::default();
    let mut left = Vec::new();
    for statement in said {
        if let Err(why) = document.add(statement, dir, home) {
            let place = place::written(Path::new(&statement.place), dir, home);
            left.push(Left { place, word: statement.word.clone(), why });
        }
    }
    (document, left)
}

impl Document {
    fn add(&mut self, statement: &Statement, dir: &Path, home: Option<&Path>) -> Verdict {
        let argument = statement.arguments.first().unwrap_or(&Value::Null);
        match statement.word.as_str() {
            "platform" => self.platform(argument, dir, home),
            "set_metadata" => self.metadata(argument, statement),
            "master_cmdbs" => self.masters(argument, statement),
            "sudo_for" => sudo(argument),
            "send_logs_to" => only_default(statement, "remote_fs", "logs are kept on the node and here"),
            "read_secrets_from" => sources_of_secrets(statement),
            "secrets_from_keepass" => self.keepass(argument, dir, home),
            word => self.wanted.add(statement).unwrap_or_else(|| Err(without(word).to_owned())),
        }
    }

    fn platform(&mut self, given: &Value, dir: &Path, home: Option<&Path>) -> Verdict {
        let text = |key: &str| given.get(key).and_then(Value::as_str);
        let r#type = match text("type") {
            Some("yaml_inventory") => "yaml",
            other => return Err(format!("there are no platforms of type {} yet", other.unwrap_or_default())),
        };
        let (path, left) = match (text("path"), text("git")) {
            (Some(path), _) => (dir.join(path), Ok(())),
            (None, Some(url)) => {
                let name = text("name").map_or_else(|| place::name_of_remote(url), ToOwned::to_owned);
                let path = dir.join("cloned_platforms").join(name);
                let branch = text("branch").unwrap_or("master");
                let clone = format!("git clone --branch {branch} {url} {}", path.display());
                let left = format!("repositories are not cloned by hostler; do it once: {clone}");
                (path.clone(), if path.is_dir() { Ok(()) } else { Err(left) })
            }
            (None, None) => return Err("it says neither path nor git".into()),
        };
        let name = text("name").map_or_else(|| place::name_of(&path), ToOwned::to_owned);
        self.platforms.push(Platform { name, r#type, path: place::written(&path, dir, home) });
        left
    }

    fn keepass(&mut self, given: &Value, dir: &Path, home: Option<&Path>) -> Verdict {
        let Some(database) = given.get("database").and_then(Value::as_str) else {
            return Err("it names no database".into());
        };
        let group: Vec<&str> = given
            .get("group_path")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        self.secrets.push(Keepass {
            r#type: "keepass",
            database: place::written(Path::new(database), dir, home),
            group: Some(group.join("/")).filter(|g| !g.is_empty()),
            password_env: "hpc_password_for_keepass",
        });
        Err("carried over, but values have other names: see hostler secret list; name a key file by key_file"
            .into())
    }

    fn metadata(&mut self, given: &Value, statement: &Statement) -> Verdict {
        self.assign.push(Assignment { nodes: scope(statement)?, metadata: given.clone() });
        Ok(())
    }

    /// `{source: [properties]}` becomes `{property: source}`.
    fn masters(&mut self, given: &Value, statement: &Statement) -> Verdict {
        if !statement.nodes.is_empty() {
            return Err("a master is for all nodes".into());
        }
        let mut unknown = Vec::new();
        for (source, properties) in given.as_object().into_iter().flatten() {
            let ours = match source.as_str() {
                "host_ip" => "resolver",
                "host_keys" => "known_hosts",
                "platform_handler" | "platform_handlers" => "inventory",
                "config" => "assign",
                _ => {
                    unknown.push(source.as_str());
                    continue;
                }
            };
            let several = properties.as_array().cloned().unwrap_or_else(|| vec![properties.clone()]);
            for property in several.iter().filter_map(Value::as_str) {
                self.metadata_masters.insert(property.to_owned(), ours.to_owned());
            }
        }
        match unknown[..] {
            [] => Ok(()),
            _ => Err(format!("there is no source of metadata called {}", unknown.join(", "))),
        }
    }
}

/// The selectors of the nodes that a line is about.
pub fn scope(statement: &Statement) -> Result<Vec<String>, String> {
    match &statement.nodes[..] {
        [] => Ok(vec!["all".into()]),
        [nodes] => Ok(nodes.clone()),
        _ => Err("for_nodes inside for_nodes: say by one selector which nodes are meant".into()),
    }
}

/// Files are named by `--secrets`, and a database by its own word.
fn sources_of_secrets(statement: &Statement) -> Verdict {
    let names = statement.arguments.iter().filter_map(Value::as_str);
    let others: Vec<&str> = names.filter(|name| !matches!(*name, "cli" | "keepass")).collect();
    match others[..] {
        [] if statement.nodes.is_empty() => Ok(()),
        [] => Err("secrets are for all nodes".into()),
        _ => Err(format!(
            "there is no source of secrets called {}; see the section `secrets`",
            others.join(", ")
        )),
    }
}

/// The usual way to become another user needs no word.
fn sudo(given: &Value) -> Verdict {
    let usual = |user: &str| {
        let said = given.get(user).and_then(Value::as_str);
        said.is_some_and(|said| said == "sudo" || said == format!("sudo -u {user}"))
    };
    if usual("root") && usual("somebody") {
        return Ok(());
    }
    let said = given.get("root").and_then(Value::as_str).unwrap_or_default();
    Err(format!("only plain sudo is known, not `{said}`"))
}

fn only_default(statement: &Statement, default: &str, why: &str) -> Verdict {
    let others = statement.arguments.iter().filter_map(Value::as_str).filter(|name| *name != default);
    let others: Vec<&str> = others.collect();
    if others.is_empty() { Ok(()) } else { Err(format!("{}: {why}", others.join(", "))) }
}

/// Why a word is not carried over.
fn without(word: &str) -> &'static str {
    match word {
        "gateway" | "transform_ssh_connection" => {
            "write it as Host, ProxyJump and User in an SSH configuration, and name that by --ssh-config"
        }
        "use_kpscript_from" => "databases are read without KeePass",
        "credentials_for" | "secrets_from_thycotic" => "name the source in the section `secrets`",
        "ignore_idempotence_tasks" | "ignore_divergent_tasks" => {
            "tasks have no names here; see `ignore_changes` and `expected_failures` of the section `tests`"
        }
        "packaging_timeout" => "nothing is packaged, so nothing has to be waited for",
        "require" => "the library is not here; what it is for is listed where it is used",
        _ => "there is nothing like it yet",
    }
}
