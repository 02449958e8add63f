//! What playbooks may read besides their variables: a plan holds for this only.

use super::{Action, Ansible, Work};
use base::{Error, Result};
use inventory::{Inventory, Node};
use sha2::{Digest, Sha256};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
};

/// The digests of directories, each made once: many nodes share a service.
#[derive(Debug, Default)]
pub struct Read(BTreeMap<PathBuf, String>);

impl Read {
    /// Notes what the playbooks of a node may read: the files around them, and what is known of the node.
    ///
    /// # Errors
    /// Where a file cannot be read.
    pub fn note(&mut self, work: &mut Work, node: &Node, inventory: &Inventory) -> Result<()> {
        for step in work.services.iter_mut().flat_map(|service| &mut service.steps) {
            let Action::Ansible(ansible) = &mut step.action else { continue };
            // What cannot be opened is told when the playbook runs.
            let more = inventory.playbook_vars(&node.name).unwrap_or_default();
            let known = serde_json::to_vec(&(&node.metadata, &node.groups, more))
                .map_err(|e| Error::internal("cannot write down what is known of a node").because(e))?;
            let files = self.around(ansible).map_err(|e| e.at(&step.place))?;
            ansible.read = format!("{files}{}", hex::encode(Sha256::digest(known)));
        }
        Ok(())
    }

    /// Of the service's directory, and of that of the playbook where it is another one: roles, tasks, templates and
    /// variables lie there, whichever of them are read.
    fn around(&mut self, ansible: &Ansible) -> Result<String> {
        let own = &ansible.directory;
        let playbook = ansible.playbook.as_ref().map(|playbook| own.join(playbook));
        let other = playbook.as_deref().and_then(Path::parent).and_then(|dir| dir.canonicalize().ok());
        let inside =
            own.canonicalize().is_ok_and(|own| other.as_ref().is_none_or(|dir| dir.starts_with(own)));
        let mut digest = self.of(own)?;
        if let Some(dir) = other.filter(|_| !inside) {
            digest.push_str(&self.of(&dir)?);
        }
        Ok(digest)
    }

    fn of(&mut self, dir: &Path) -> Result<String> {
        if let Some(known) = self.0.get(dir) {
            return Ok(known.clone());
        }
        let mut sum = Sha256::new();
        add(dir, Path::new(""), &mut BTreeSet::new(), &mut sum)
            .map_err(|e| Error::io(format_args!("read {}", dir.display()), &e))?;
        let digest = hex::encode(sum.finalize());
        self.0.insert(dir.to_owned(), digest.clone());
        Ok(digest)
    }
}

/// Adds what is in a directory, by name. Links count as what they lead to, each directory once; one that leads nowhere
/// counts as nothing.
fn add(dir: &Path, name: &Path, seen: &mut BTreeSet<PathBuf>, sum: &mut Sha256) -> io::Result<()> {
    if !seen.insert(dir.canonicalize()?) {
        return Ok(());
    }
    let mut entries =
        fs::read_dir(dir)?.map(|entry| entry.map(|e| e.file_name())).collect::<io::Result<Vec<_>>>()?;
    entries.sort_unstable();
    for entry in entries.into_iter().filter(|entry| entry != ".git") {
        let (path, name) = (dir.join(&entry), name.join(&entry));
        let Ok(metadata) = path.metadata() else { continue };
        if metadata.is_dir() {
            add(&path, &name, seen, sum)?;
        } else if metadata.is_file() {
            let content = Sha256::digest(fs::read(&path)?);
            // The length of the name: no two lists of files read alike.
            sum.update((name.as_os_str().len() as u64).to_le_bytes());
            sum.update(name.as_os_str().as_encoded_bytes());
            sum.update(content);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_file_around_a_playbook_counts() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        fs::create_dir_all(path("service/roles/a")).unwrap();
        fs::create_dir(path("elsewhere")).unwrap();
        let write = |name: &str, text: &str| fs::write(path(name), text).unwrap();
        let digest = |playbook: &str| {
            let ansible = Ansible {
                directory: path("service"),
                playbook: Some(playbook.to_owned()),
                role: None,
                vars: serde_json::Map::new(),
                tags: Vec::new(),
                read: String::new(),
            };
            Read::default().around(&ansible).unwrap()
        };
        write("service/site.yml", "x");
        std::os::unix::fs::symlink("..", path("service/roles/loop")).unwrap();
        let mut before = digest("site.yml");
        assert_eq!(digest("site.yml"), before);
        for (name, text) in
            [("service/site.yml", "y"), ("service/roles/a/main.yml", ""), ("service/roles/b", "")]
        {
            write(name, text);
            let after = digest("site.yml");
            assert_ne!(after, before, "{name}");
            before = after;
        }
        write("elsewhere/site.yml", "x");
        assert_eq!(digest("site.yml"), before);
        let outside = digest("../elsewhere/site.yml");
        write("elsewhere/vars.yml", "x");
        assert_ne!(digest("../elsewhere/site.yml"), outside);
    }
}
