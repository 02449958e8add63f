//! Working trees of git.

use super::{Change, Content, Look, World, address::Address, change::pair, word};
use base::{Error, Result};
use serde::{Deserialize, Serialize};
use ssh::quote;

/// A working tree at a commit of a repository. `T` is text, before or after its templates are rendered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checkout<T> {
    /// Where from, as `git clone` takes it.
    pub repository: T,
    /// Where to, absolute or from `~/`.
    pub path: T,
    /// A branch, a tag or a whole commit id; without one, what the repository calls `HEAD`.
    #[serde(default = "Option::default")]
    pub revision: Option<T>,
    /// Whether changes that somebody made in the tree may be lost.
    #[serde(default)]
    pub force: bool,
}

impl Checkout<String> {
    fn from(&self) -> Address {
        Address::new(&self.repository)
    }

    fn revision(&self) -> &str {
        self.revision.as_deref().unwrap_or("HEAD")
    }

    /// What has to be seen. `key` is of this step alone.
    pub fn look(&self, look: &mut Look, key: usize) {
        look.tool("git");
        look.tool("base64");
        look.path(&self.path, Content::Sum);
        look.checkout(key, &self.path, &self.from(), self.revision());
    }

    /// What would change.
    pub fn plan(&self, world: &mut World, key: usize) -> Result<Option<Change>> {
        Address::check(&self.repository)?;
        let (path, from) = (world.absolute(&self.path), self.from().url);
        if world.missing.contains("git") && world.loose {
            let title = format!("Clone {from} into {path}");
            let commit = if is_commit(self.revision()) { self.revision() } else { "" };
            world.brought.insert(path);
            return Ok(Some(Change::new(title, Vec::new(), self.script(commit))));
        }
        if let Some(why) = world.cannot.get(&key) {
            return Err(Error::not_found(format!("the node cannot read {from}"))
                .because(why.trim())
                .hint("check the address, and whether the node may read it"));
        }
        let tree = world.trees.get(&key).cloned().unwrap_or_default();
        let wanted = self.wanted(&tree.remote)?;
        let Some(head) = &tree.head else {
            if world.paths.contains_key(&path) {
                return Err(Error::conflict(format!("{path} is there and is no working tree of git"))
                    .hint("move it away, or choose another path"));
            }
            let title = format!("Clone {from} into {path}");
            world.brought.insert(path);
            return Ok(Some(Change::new(title, vec![format!("> commit {wanted}")], self.script(&wanted))));
        };
        let mut diff = Vec::new();
        if tree.url != from {
            diff.extend(pair("repository", &tree.url, &from));
        }
        if *head != wanted {
            diff.extend(pair("commit", head, &wanted));
        }
        if tree.dirty > 0 && self.force {
            diff.push(format!("< {} changed files", tree.dirty));
        }
        if diff.is_empty() {
            return Ok(None);
        }
        if tree.dirty > 0 && !self.force {
            let many =
                if tree.dirty == 1 { "1 file was".to_owned() } else { format!("{} files were", tree.dirty) };
            return Err(Error::conflict(format!("{many} changed in {path}"))
                .hint("commit or undo these changes, or say `force: true`"));
        }
        let title = format!("Change working tree {path}");
        Ok(Some(Change::new(title, diff, self.script(&wanted))))
    }

    /// The commit that the revision means in the remote repository.
    fn wanted(&self, remote: &[(String, String)]) -> Result<String> {
        let revision = self.revision();
        let named = |name: &str| remote.iter().find(|(_, n)| n == name).map(|(commit, _)| commit.clone());
        let candidates = [
            format!("refs/tags/{revision}^{{}}"),
            format!("refs/tags/{revision}"),
            format!("refs/heads/{revision}"),
            revision.to_owned(),
        ];
        let found = candidates.iter().find_map(|c| named(c));
        found.or_else(|| is_commit(revision).then(|| revision.to_owned())).ok_or_else(|| {
            Error::not_found(format!("{} has no branch or tag '{revision}'", self.from().url))
                .hint("other commits are named by their whole id")
        })
    }

    fn script(&self, commit: &str) -> String {
        let ([url, user, password], revision) = (self.from().words(), quote(self.revision()));
        format!("checked_out {} {url} {revision} '{commit}' {user} {password}", word(&self.path))
    }
}

/// Whether this is a whole commit id (SHA-1 or SHA-256).
fn is_commit(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|b| b.is_ascii_hexdigit())
}
