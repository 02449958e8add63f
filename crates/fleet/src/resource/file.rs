//! Files with a given content, and files that must not be.

use super::{Attributes, Change, Content, Kind, Look, Presence, Seen, World, diff, look::MOST_CONTENT, word};
use crate::shell::given;
use base::{Error, Result};
use bytes::Bytes;
use serde::Serialize;
use sha2::{Digest, Sha256};
use ssh::quote;

/// What new files get where nothing else is said.
const USUAL_MODE: u32 = 0o644;

/// A file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct File {
    /// Where, absolute or from `~/`.
    pub path: String,
    /// What is in it; `None` keeps what there is.
    #[serde(skip)]
    pub content: Option<Bytes>,
    /// The SHA-256 of that in hexadecimal.
    pub sum: Option<String>,
    /// Permissions and owners.
    pub attributes: Attributes,
    /// Whether it must be there.
    pub state: Presence,
    /// A command for `sh` that must be content with the new file, `$1`, before it takes its place.
    pub validate: Option<String>,
}

impl File {
    /// A file with this content.
    pub fn new(path: String, content: Option<Bytes>, attributes: Attributes) -> Self {
        let sum = content.as_ref().map(|c| sum(c));
        File { path, content, sum, attributes, state: Presence::Present, validate: None }
    }

    /// What has to be seen.
    pub fn look(&self, look: &mut Look) {
        let content = match &self.sum {
            Some(sum) if self.state == Presence::Present => Content::Unless(sum.clone()),
            _ => Content::Sum,
        };
        look.path_and_parent(&self.path, content);
        self.attributes.look(look);
    }

    /// What would change.
    pub fn plan(&self, world: &mut World) -> Result<Option<Change>> {
        let path = world.absolute(&self.path);
        let seen = world.paths.get(&path).cloned();
        match (self.state, seen) {
            (Presence::Absent, None) => Ok(None),
            (Presence::Absent, Some(seen)) => remove(world, &self.path, &seen).map(Some),
            (Presence::Present, None) => self.create(world).map(Some),
            (Presence::Present, Some(seen)) => match &seen.kind {
                Kind::File(_) => self.change(world, &seen),
                Kind::Link(target) => {
                    let mut change = self.create(world)?;
                    for part in &mut change.parts {
                        part.title = format!("Change {path} from a link into a file");
                        part.diff.insert(0, format!("< link to {target}"));
                    }
                    Ok(Some(change))
                }
                other => Err(super::in_the_way(&path, other.noun(), "file")),
            },
        }
    }

    fn create(&self, world: &mut World) -> Result<Change> {
        let path = world.absolute(&self.path);
        super::parent_exists(world, &self.path)?;
        self.attributes.known(world)?;
        let content = self.content.clone().unwrap_or_default();
        let attributes = self.attributes.or_mode(USUAL_MODE);
        let owner = |name: &Option<String>| name.clone().map_or_else(Default::default, |n| [n.clone(), n]);
        let seen = Seen {
            kind: Kind::File(Some(sum(&content))),
            mode: attributes.mode.unwrap_or(USUAL_MODE),
            owner: owner(&attributes.owner),
            group: owner(&attributes.group),
            size: content.len(),
            content: Some(content.clone()),
        };
        world.put(path.clone(), seen);
        let diff = diff::texts(b"", &content);
        Ok(Change::new(format!("Create file {path}"), diff, self.put(&content, &attributes)))
    }

    fn change(&self, world: &mut World, seen: &Seen) -> Result<Option<Change>> {
        let path = world.absolute(&self.path);
        let mut lines = self.attributes.diff(seen);
        let Kind::File(sum) = &seen.kind else { return Ok(None) };
        if sum.is_none() && self.sum.is_some() {
            return Err(unreadable(&path, 0));
        }
        let content = self.content.as_ref().filter(|_| self.sum != *sum);
        if lines.is_empty() && content.is_none() {
            return Ok(None);
        }
        self.attributes.known(world)?;
        let script = match content {
            None => format!("attributes {} {}", word(&self.path), self.attributes.keeping(seen).words()),
            Some(new) => {
                lines.extend(match &seen.content {
                    Some(old) => diff::texts(old, new),
                    None => diff::sizes("too large to compare", seen.size, new.len()),
                });
                self.put(new, &self.attributes.or(seen))
            }
        };
        let mut after = self.attributes.applied(seen);
        if let Some(new) = content {
            after.kind = Kind::File(self.sum.clone());
            after.content = Some(new.clone());
            after.size = new.len();
        }
        world.put(path.clone(), after);
        Ok(Some(Change::new(format!("Change file {path}"), lines, script)))
    }

    fn put(&self, content: &[u8], attributes: &Attributes) -> String {
        let check = quote(self.validate.as_deref().unwrap_or_default());
        given(&format!("put {} {} {check}", word(&self.path), attributes.words()), content, " || return")
    }
}

/// The removal of a file or a link.
pub fn remove(world: &mut World, path: &str, seen: &Seen) -> Result<Change> {
    let absolute = world.absolute(path);
    let noun = seen.kind.noun();
    if !matches!(seen.kind, Kind::File(_) | Kind::Link(_)) {
        return Err(super::in_the_way(&absolute, noun, "file"));
    }
    world.remove(&absolute);
    Ok(Change::new(format!("Remove {noun} {absolute}"), Vec::new(), format!("rm -f -- {}", word(path))))
}

/// Its SHA-256 in hexadecimal.
pub fn sum(content: &[u8]) -> String {
    hex::encode(Sha256::digest(content))
}

/// The error for a file of so many bytes whose content has to be compared.
pub fn unreadable(path: &str, size: usize) -> Error {
    if size > MOST_CONTENT {
        return Error::conflict(format!("{path} is larger than {} MiB", MOST_CONTENT >> 20))
            .hint("change it in a script, or let a file step have all of it");
    }
    Error::new(base::Code::Forbidden, format!("the user on the node may not read {path}"))
        .hint("deploy as another user, for example with --become")
}
