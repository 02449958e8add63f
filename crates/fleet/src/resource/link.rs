//! Symbolic links.

use super::{Change, Content, Kind, Look, Presence, Seen, World, change::pair, file, word};
use base::Result;
use serde::{Deserialize, Serialize};
use ssh::quote;

/// A symbolic link. `T` is text, before or after its templates are rendered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Link<T> {
    /// Where, absolute or from `~/`.
    pub path: T,
    /// What it points to, as it is written into the link. One that must be there needs it.
    #[serde(default = "Option::default")]
    pub target: Option<T>,
    /// Whether it must be there.
    #[serde(default)]
    pub state: Presence,
}

impl Link<String> {
    /// What has to be seen.
    pub fn look(&self, look: &mut Look) {
        look.path_and_parent(&self.path, Content::Sum);
    }

    /// What would change.
    pub fn plan(&self, world: &mut World) -> Result<Option<Change>> {
        let path = world.absolute(&self.path);
        let seen = world.paths.get(&path).cloned();
        let is = seen.as_ref().map(|s| &s.kind);
        let wanted = self.target.as_deref().unwrap_or_default();
        let (title, diff) = match (self.state, is) {
            (Presence::Absent, None) => return Ok(None),
            (Presence::Present, Some(Kind::Link(target))) if target == wanted => return Ok(None),
            (Presence::Present, None) => {
                super::parent_exists(world, &self.path)?;
                (format!("Create link {path}"), vec![format!("> link to {wanted}")])
            }
            (Presence::Present, Some(Kind::Link(target))) => {
                (format!("Change link {path}"), pair("link to", target, wanted).to_vec())
            }
            (Presence::Absent, Some(Kind::Link(_))) => {
                let Some(seen) = &seen else { return Ok(None) };
                return file::remove(world, &self.path, seen).map(Some);
            }
            (_, Some(other)) => return Err(super::in_the_way(&path, other.noun(), "link")),
        };
        let none = || [String::new(), String::new()];
        let kind = Kind::Link(wanted.to_owned());
        let after = Seen { kind, mode: 0o777, owner: none(), group: none(), size: 0, content: None };
        world.put(path, after);
        let script = format!("link {} {}", word(&self.path), quote(wanted));
        Ok(Some(Change::new(title, diff, script)))
    }
}
