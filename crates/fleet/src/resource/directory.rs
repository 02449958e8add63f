//! Directories.

use super::{Attributes, Change, Content, Kind, Look, Presence, Seen, World, word};
use base::Result;
use serde::Serialize;

/// What new directories get where nothing else is said.
const USUAL_MODE: u32 = 0o755;

/// A directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Directory {
    /// Where, absolute or from `~/`.
    pub path: String,
    /// Permissions and owners.
    pub attributes: Attributes,
    /// Whether it must be there. One that must not is removed only when it is empty.
    pub state: Presence,
}

impl Directory {
    /// What has to be seen.
    pub fn look(&self, look: &mut Look) {
        look.path_and_parent(&self.path, Content::Sum);
    }

    /// What would change.
    pub fn plan(&self, world: &mut World) -> Result<Option<Change>> {
        let path = world.absolute(&self.path);
        let seen = world.paths.get(&path).cloned();
        let word = word(&self.path);
        match (self.state, seen) {
            (Presence::Absent, None) => Ok(None),
            (Presence::Absent, Some(Seen { kind: Kind::Directory, .. })) => {
                world.paths.remove(&path);
                let title = format!("Remove directory {path}");
                Ok(Some(Change::new(title, Vec::new(), format!("rmdir -- {word}"))))
            }
            (Presence::Present, None) => {
                super::parent_exists(world, &self.path)?;
                let attributes = self.attributes.or_mode(USUAL_MODE);
                let none = || [String::new(), String::new()];
                let fresh = Seen {
                    kind: Kind::Directory,
                    mode: USUAL_MODE,
                    owner: none(),
                    group: none(),
                    size: 0,
                    content: None,
                };
                world.paths.insert(path.clone(), attributes.applied(&fresh));
                let script = format!("directory {word} {}", attributes.words());
                Ok(Some(Change::new(format!("Create directory {path}"), Vec::new(), script)))
            }
            (Presence::Present, Some(seen @ Seen { kind: Kind::Directory, .. })) => {
                let diff = self.attributes.diff(&seen);
                if diff.is_empty() {
                    return Ok(None);
                }
                world.paths.insert(path.clone(), self.attributes.applied(&seen));
                let script = format!("directory {word} {}", self.attributes.words());
                Ok(Some(Change::new(format!("Change directory {path}"), diff, script)))
            }
            (_, Some(other)) => Err(super::in_the_way(&path, other.kind.noun(), "directory")),
        }
    }
}
