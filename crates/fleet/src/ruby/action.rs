//! What a service in Ruby wants done.

use super::message;
use base::Secret;
use std::path::PathBuf;

/// What `check` or `deploy` of a service returned for a node.
#[derive(Debug, Default)]
pub struct Actions {
    /// In their order.
    pub actions: Vec<Action>,
    /// Texts in them that the service declared secret: no output may show them.
    pub secrets: Vec<Secret>,
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// A script for `bash` on the node. Only its last command decides how it ends.
    RemoteBash(String),
    /// A script for `bash` on this machine.
    Bash(String),
    /// Files and directories from this machine.
    Copy(Copy),
    /// Code that runs in the bridge.
    Ruby(Block),
    /// A shell for the user on the node.
    Interactive,
}

/// Files and directories to copy from this machine into directories of the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copy {
    /// From where, absolute, and into which directory.
    pub files: Vec<(PathBuf, String)>,
    /// Whether root does it there.
    pub sudo: bool,
    /// Whose they are then; the user's who connects, where nothing is said.
    pub owner: Option<String>,
    /// Likewise.
    pub group: Option<String>,
}

/// A block of code that waits in the bridge for its turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// The process that has it.
    pub(super) process: u64,
    pub(super) number: u64,
}

impl Actions {
    /// What came from the process of that number.
    pub(super) fn new(found: message::Actions, process: u64) -> Self {
        let action = |action| match action {
            message::Action::RemoteBash { script } => Action::RemoteBash(script),
            message::Action::Bash { script } => Action::Bash(script),
            message::Action::Scp { files, sudo, owner, group } => {
                Action::Copy(Copy { files, sudo, owner, group })
            }
            message::Action::Ruby { block } => Action::Ruby(Block { process, number: block }),
            message::Action::Interactive => Action::Interactive,
        };
        Actions { actions: found.actions.into_iter().map(action).collect(), secrets: found.secrets }
    }
}
