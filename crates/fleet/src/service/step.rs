//! What is done on one node: the steps of its services, with all templates rendered.

use crate::resource::Resource;
use serde::Serialize;
use std::path::PathBuf;

/// All that is done on one node, in this order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Work {
    /// Its services.
    pub services: Vec<Service>,
    /// Handlers that steps of these services may notify, by `SERVICE/NAME`, in the order in which they run.
    pub handlers: Vec<Step>,
}

/// One service on one node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Service {
    /// Its name.
    pub name: String,
    /// What a check runs besides comparing: user code. It is no part of what should be.
    #[serde(skip)]
    pub check: Vec<Step>,
    /// What should be.
    pub steps: Vec<Step>,
    /// Tools that must be on the node.
    pub tools: Vec<String>,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// What it is called.
    pub name: String,
    /// The place of its definition, as errors name it.
    #[serde(skip)]
    pub place: String,
    /// What it does.
    pub action: Action,
    /// The handlers that it notifies, as `SERVICE/NAME`.
    pub notify: Vec<String>,
    /// Whether nobody may see what changes.
    pub sensitive: bool,
    /// When it is tried again.
    pub retry: Retry,
}

impl Step {
    /// A step that does this and nothing more.
    pub fn new(name: impl Into<String>, action: Action) -> Self {
        Step {
            name: name.into(),
            place: String::new(),
            action,
            notify: Vec::new(),
            sensitive: false,
            retry: Retry::default(),
        }
    }
}

/// When a failed step is tried again: where one of the expressions matches what it said.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Retry {
    /// How often.
    pub times: u32,
    /// How long to wait before, in seconds.
    pub delay: u32,
    /// Regular expressions for its standard output.
    pub stdout: Vec<String>,
    /// Regular expressions for its standard error.
    pub stderr: Vec<String>,
}

/// What a step does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Makes the node have this.
    Resource(Resource),
    /// Runs a script on the node.
    Script(Script),
    /// Runs a script on the operator's machine.
    Local(Script),
    /// Copies files to the node, whatever is there.
    Upload(Upload),
    /// Lets the supervisor do something with a service.
    Supervise {
        /// `restart` or `reload`.
        verb: &'static str,
        /// The service.
        service: String,
    },
    /// Runs Ansible on the operator's machine.
    Ansible(Ansible),
    /// Does what a service in Ruby says when its turn comes.
    Ruby(InRuby),
}

impl Action {
    /// Whether it is user code, whose effects nobody can foretell.
    pub fn is_code(&self) -> bool {
        !matches!(self, Action::Resource(_) | Action::Supervise { .. })
    }
}

/// A script.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Script {
    /// Its text.
    pub script: String,
    /// What a check runs instead; without it a check does not run anything.
    pub check: Option<String>,
    /// Variables.
    pub env: Vec<(String, String)>,
    /// A path on the node. Where it is there, the script has nothing to do.
    pub creates: Option<String>,
    /// The program that takes the script; bash where there is one, else sh.
    pub interpreter: Option<String>,
    /// How long it may run, in seconds.
    pub timeout: Option<u32>,
    /// Where a script on the operator's machine runs.
    pub directory: Option<PathBuf>,
}

/// Files that are copied into a directory of the node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Upload {
    /// A file or directory of the operator's machine, copied under its own name.
    pub source: PathBuf,
    /// The directory, which must be there.
    pub into: String,
    /// Who owns the copies.
    pub owner: Option<String>,
    /// Their group.
    pub group: Option<String>,
}

/// A service whose file is in Ruby.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InRuby {
    /// The platform that its file belongs to.
    pub platform: String,
    /// Where its file is.
    pub directory: PathBuf,
    /// The service.
    pub name: String,
    /// What its file says: a plan holds for this text only.
    pub text: String,
}

/// A playbook or a role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Ansible {
    /// The directory that Ansible runs in.
    pub directory: PathBuf,
    /// The playbook, relative to it.
    pub playbook: Option<String>,
    /// The role.
    pub role: Option<String>,
    /// Variables that win over all others, as JSON.
    pub vars: serde_json::Map<String, serde_json::Value>,
    /// Only the tasks with these tags.
    pub tags: Vec<String>,
    /// The digest of what it may read besides: see [`Read`](super::Read). A plan holds for this only.
    pub read: String,
}
