//! What one node should be like: all rules that mean it, taken together.

use super::declared::{Declared, Mount};
use base::{Error, Result};
use inventory::Inventory;
use std::collections::{BTreeMap, BTreeSet};

/// How full disks may be where nobody says it.
const USED_AT_MOST: u8 = 90;
/// How many days ago the last deployment may be where nobody says it: three months.
const DEPLOYED_WITHIN: u16 = 93;

/// What one node should be like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    pub ports: Both<u16>,
    pub mounts: Both<Mount>,
    pub users: Both<String>,
    pub files: Both<String>,
    pub ignore_orphans: BTreeSet<String>,
    pub used_at_most: u8,
    /// In days.
    pub deployed_within: u16,
    /// The image of the container that stands for it.
    pub image: Option<String>,
    /// Where it keeps its logs, if not at the usual place.
    pub log_dir: Option<String>,
}

/// What must be there, and what must not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Both<T> {
    pub there: BTreeSet<T>,
    pub not_there: BTreeSet<T>,
}

impl<T> Default for Both<T> {
    fn default() -> Self {
        Both { there: BTreeSet::new(), not_there: BTreeSet::new() }
    }
}

impl<T: Ord + Clone> Both<T> {
    /// Whether there is nothing to look at.
    pub fn is_empty(&self) -> bool {
        self.there.is_empty() && self.not_there.is_empty()
    }

    fn extend(&mut self, there: &[T], not_there: &[T]) {
        self.there.extend(there.iter().cloned());
        self.not_there.extend(not_there.iter().cloned());
    }
}

impl Default for Wanted {
    fn default() -> Self {
        Wanted {
            ports: Both::default(),
            mounts: Both::default(),
            users: Both::default(),
            files: Both::default(),
            ignore_orphans: BTreeSet::new(),
            used_at_most: USED_AT_MOST,
            deployed_within: DEPLOYED_WITHIN,
            image: None,
            log_dir: None,
        }
    }
}

/// What each node should be like, by name.
///
/// # Errors
/// A rule is for nodes that do not exist, or two rules cannot both hold.
pub async fn of_all(declared: &Declared, inventory: &Inventory) -> Result<BTreeMap<String, Wanted>> {
    let usual = Wanted { image: declared.containers.image.clone(), ..Wanted::default() };
    let mut all: BTreeMap<String, Wanted> =
        inventory.nodes.keys().map(|name| (name.clone(), usual.clone())).collect();
    for rule in &declared.rules {
        for name in rule.r#for.names(inventory).await? {
            let Some(wanted) = all.get_mut(&name) else { continue };
            wanted.ports.extend(&rule.opened_ports, &rule.closed_ports);
            wanted.mounts.extend(&rule.mounts, &rule.no_mounts);
            wanted.users.extend(&rule.users, &rule.no_users);
            wanted.files.extend(&rule.files, &rule.no_files);
            wanted.ignore_orphans.extend(rule.ignore_orphans.iter().cloned());
            if let Some(disk) = rule.disk {
                wanted.used_at_most = disk.used_at_most;
            }
            wanted.deployed_within = rule.deployed_within.unwrap_or(wanted.deployed_within);
            if rule.image.is_some() {
                wanted.image.clone_from(&rule.image);
            }
        }
    }
    for (name, wanted) in &all {
        possible(name, "port", &wanted.ports)?;
        possible(name, "user", &wanted.users)?;
        possible(name, "file", &wanted.files)?;
    }
    Ok(all)
}

fn possible<T: Ord + std::fmt::Display>(node: &str, what: &str, both: &Both<T>) -> Result<()> {
    match both.there.intersection(&both.not_there).next() {
        Some(it) => {
            Err(Error::invalid("tests", format!("{what} {it} must be there and must not be there on {node}"))
                .hint("see which rules mean this node"))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use inventory::Node;

    fn inventory() -> Inventory {
        let node = |name: &str| (name.to_owned(), Node { name: name.into(), ..Node::default() });
        let mut inventory = Inventory::default();
        inventory.nodes = [node("web1"), node("web2")].into();
        inventory
    }

    async fn wanted(yaml: &str) -> Result<BTreeMap<String, Wanted>> {
        of_all(&serde_saphyr::from_str(yaml).unwrap(), &inventory()).await
    }

    #[tokio::test]
    async fn rules_add_up() {
        let all = wanted(
            "rules:\n\
             - opened_ports: [22]\n  files: [/etc/passwd]\n\
             - for: [web2]\n  opened_ports: [80]\n  disk: {used_at_most: 50}\n  mounts: [{target: /data}]\n",
        );
        let all = all.await.unwrap();
        assert_eq!(all["web1"].ports.there, [22].into());
        assert_eq!(all["web2"].ports.there, [22, 80].into());
        assert_eq!((all["web1"].used_at_most, all["web2"].used_at_most), (90, 50));
        assert!(all["web1"].mounts.is_empty() && !all["web2"].mounts.is_empty());
    }

    #[tokio::test]
    async fn rules_that_contradict_each_other_are_refused() {
        let e = wanted("rules: [{opened_ports: [22]}, {for: [web1], closed_ports: [22]}]").await.unwrap_err();
        assert_eq!(e.message, "port 22 must be there and must not be there on web1");
        assert_eq!(wanted("rules: [{for: [web9]}]").await.unwrap_err().code, base::Code::NotFound);
    }
}
