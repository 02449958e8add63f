//! Directories.

use super::{Attributes, Change, Content, Kind, Look, Presence, Seen, World, word};
use base::{Error, Result};
use serde::Serialize;

/// What new directories get where nothing else is said.
const USUAL_MODE: u32 = 0o755;
/// As many names of what is in a directory are shown.
const NAMES: usize = 5;

/// A directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Directory {
    /// Where, absolute or from `~/`.
    pub path: String,
    /// Permissions and owners.
    pub attributes: Attributes,
    /// Whether it must be there.
    pub state: Presence,
    /// Whether one that must not be there may go with all that is in it.
    pub force: bool,
}

impl Directory {
    /// What has to be seen.
    pub fn look(&self, look: &mut Look) {
        look.path_and_parent(&self.path, Content::Sum);
        self.attributes.look(look);
        if self.state == Presence::Absent {
            look.entries(&self.path);
        }
    }

    /// What would change.
    pub fn plan(&self, world: &mut World) -> Result<Option<Change>> {
        let path = world.absolute(&self.path);
        let seen = world.paths.get(&path).cloned();
        let word = word(&self.path);
        match (self.state, seen) {
            (Presence::Absent, None) => Ok(None),
            (Presence::Absent, Some(Seen { kind: Kind::Directory, .. })) => {
                self.remove(world, &path).map(Some)
            }
            (Presence::Present, None) => {
                super::parent_exists(world, &self.path)?;
                self.attributes.known(world)?;
                let none = || [String::new(), String::new()];
                let fresh = Seen {
                    kind: Kind::Directory,
                    mode: USUAL_MODE,
                    owner: none(),
                    group: none(),
                    size: 0,
                    content: None,
                };
                world.put(path.clone(), self.attributes.applied(&fresh));
                let script = format!("directory {word} {}", self.attributes.words());
                Ok(Some(Change::new(format!("Create directory {path}"), Vec::new(), script)))
            }
            (Presence::Present, Some(seen @ Seen { kind: Kind::Directory, .. })) => {
                let diff = self.attributes.diff(&seen);
                if diff.is_empty() {
                    return Ok(None);
                }
                self.attributes.known(world)?;
                world.put(path.clone(), self.attributes.applied(&seen));
                let script = format!("directory {word} {}", self.attributes.words());
                Ok(Some(Change::new(format!("Change directory {path}"), diff, script)))
            }
            (_, Some(other)) => Err(super::in_the_way(&path, other.kind.noun(), "directory")),
        }
    }

    fn remove(&self, world: &mut World, path: &str) -> Result<Change> {
        let names: Vec<String> = world.entries.get(path).into_iter().flatten().cloned().collect();
        // A script before may take away what is in it.
        if !names.is_empty() && !self.force && !world.loose {
            return Err(Error::conflict(format!("the directory {path} is not empty"))
                .because(format!("in it: {}", some(&names)))
                .hint("remove what is in it in steps before, or say `force: true` to remove all of it"));
        }
        world.remove(path);
        let diff = if names.is_empty() { Vec::new() } else { vec![format!("< with {}", some(&names))] };
        let word = word(&self.path);
        let script = if self.force { format!("rm -rf -- {word}") } else { format!("rmdir -- {word}") };
        Ok(Change::new(format!("Remove directory {path}"), diff, script))
    }
}

/// The first of these names, and how many more there are.
fn some(names: &[String]) -> String {
    let (shown, rest) = names.split_at(names.len().min(NAMES));
    let more = if rest.is_empty() { String::new() } else { format!(" and {} more", rest.len()) };
    format!("{}{more}", shown.join(", "))
}
