//! What a change in git means for the nodes.

use crate::{
    Inventory, Node, Platform, PlatformType,
    document::Files,
    git::Git,
    platform::{Found, yaml},
    words,
};
use base::{Code, Error, Result};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
};

/// A change in the repository of a platform, as `PLATFORM:FROM:TO:FLAGS`. All but the platform may be left out.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct GitChange {
    /// The platform.
    pub platform: String,
    /// The commit or branch to compare with; without one, the default branch of the repository.
    pub from: Option<String>,
    /// The commit or branch of interest; without one, the files as they are now, committed or not.
    pub to: Option<String>,
    /// Flag `min`: of the nodes that have a changed service, only as many as have all changed services.
    pub smallest: bool,
}

/// What a change means.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Impact {
    /// The files that differ, relative to the platform's directory.
    pub files: Vec<String>,
    /// Whether a file changed of which nobody knows whom it concerns: all nodes of the platform, then.
    pub everything: bool,
    /// The services that changed.
    pub services: BTreeSet<String>,
    /// The nodes that changed themselves.
    pub direct: BTreeSet<String>,
    /// All nodes that it concerns.
    pub nodes: BTreeSet<String>,
}

impl Inventory {
    /// What a change means for the nodes there are now.
    pub async fn impact(&self, change: &GitChange) -> Result<Impact> {
        let Some(platform) = self.platforms.get(&change.platform) else {
            let known = self.platforms.keys().map(String::as_str);
            let error = Error::not_found(format!("there is no platform '{}'", change.platform));
            return Err(words::hinted(error, &change.platform, known));
        };
        let Some(dir) = platform.directory() else {
            return Err(Error::new(Code::Invalid, format!("{} is not on this disk", platform.name))
                .hint("changes are looked for in platforms that are in a git repository"));
        };
        let git = Git(dir);
        git.prefix().await?;
        let from = match &change.from {
            Some(from) => from.clone(),
            None => git.default_branch().await?,
        };
        for commit in [Some(&from), change.to.as_ref()].into_iter().flatten() {
            git.check_commit(commit).await?;
        }
        let mut impact =
            Impact { files: git.changed(&from, change.to.as_deref()).await?, ..Impact::default() };
        let mut entries = false;
        for file in &impact.files {
            match Meaning::of(file, platform.kind) {
                Meaning::Entries => entries = true,
                Meaning::Service(name) => {
                    impact.services.insert(name.to_owned());
                }
                Meaning::Node(name) => {
                    impact.direct.insert(name.to_owned());
                }
                Meaning::Group(name) => {
                    impact.direct.extend(self.groups.get(name).into_iter().flatten().cloned());
                }
                Meaning::Unknown => impact.everything = true,
            }
        }
        if entries {
            let before = Committed::read(git, &from).await?;
            let after = match &change.to {
                Some(to) => Committed::read(git, to).await?.nodes()?,
                None => yaml::read(dir)?,
            };
            // An inventory that could not be read then had no nodes: all of them are new.
            impact.direct.extend(differing(before.nodes().unwrap_or_default(), after));
        }
        self.concerned(platform, change.smallest, &mut impact);
        Ok(impact)
    }

    /// From what changed to the nodes.
    fn concerned(&self, platform: &Platform, smallest: bool, impact: &mut Impact) {
        impact.direct.retain(|name| self.nodes.contains_key(name));
        impact.nodes.clone_from(&impact.direct);
        if impact.everything {
            let all = self.nodes.values().filter(|n| n.platform == platform.name);
            impact.nodes.extend(all.map(|n| n.name.clone()));
        }
        let mut open = impact.services.clone();
        if smallest {
            let known = self.nodes.values().filter(|n| impact.nodes.contains(&n.name));
            let covered: BTreeSet<&String> = known.flat_map(|n| &n.services).collect();
            open.retain(|service| !covered.contains(service));
        }
        for node in self.nodes.values() {
            if !node.services.iter().any(|service| open.contains(service)) {
                continue;
            }
            impact.nodes.insert(node.name.clone());
            if smallest {
                open.retain(|service| !node.services.contains(service));
            }
        }
    }
}

/// Whom a file of a platform concerns.
#[derive(Debug, PartialEq, Eq)]
enum Meaning<'a> {
    /// Entries of the inventory: they are compared.
    Entries,
    /// The nodes with this service.
    Service(&'a str),
    /// This node.
    Node(&'a str),
    /// The nodes of this group.
    Group(&'a str),
    /// Nobody knows: all.
    Unknown,
}

impl<'a> Meaning<'a> {
    fn of(file: &'a str, kind: PlatformType) -> Self {
        if kind == PlatformType::Yaml && yaml::FILES.contains(&file) {
            return Meaning::Entries;
        }
        if kind == PlatformType::Ansible
            && let Some(meaning) = Self::of_variables(file)
        {
            return meaning;
        }
        let native =
            file.strip_prefix("services/").and_then(|rest| rest.split_once('/')).map(|(name, _)| name);
        let ruby = || file.strip_prefix("service_").and_then(|name| name.strip_suffix(".rb"));
        let service = native.or_else(|| ruby().filter(|name| !name.contains('/')));
        service.map_or(Meaning::Unknown, Meaning::Service)
    }

    /// Ansible's variables: `host_vars/NAME`, `host_vars/NAME.yml`, `host_vars/NAME/...`, and so for groups.
    fn of_variables(file: &'a str) -> Option<Self> {
        let (dir, rest) = file.split_once('/')?;
        let first = rest.split('/').next()?;
        let endings = [".yaml", ".yml", ".json"];
        let name = endings.iter().find_map(|ending| first.strip_suffix(ending)).unwrap_or(first);
        match dir {
            "host_vars" => Some(Meaning::Node(name)),
            "group_vars" => Some(Meaning::Group(name)),
            _ => None,
        }
    }
}

/// The nodes of which anything differs.
fn differing(before: Found, after: Found) -> BTreeSet<String> {
    let known = |node: Node| (node.name, (node.metadata, node.services, node.groups));
    let before: BTreeMap<_, _> = before.nodes.into_iter().map(known).collect();
    let after = after.nodes.into_iter().map(known);
    after.filter(|(name, what)| before.get(name) != Some(what)).map(|(name, _)| name).collect()
}

/// The files of the inventory, as they were in a commit.
struct Committed {
    dir: PathBuf,
    commit: String,
    texts: BTreeMap<&'static str, String>,
}

impl Committed {
    async fn read(git: Git<'_>, commit: &str) -> Result<Self> {
        let mut texts = BTreeMap::new();
        for name in yaml::FILES {
            if let Some(text) = git.text(commit, name).await? {
                texts.insert(name, text);
            }
        }
        Ok(Committed { dir: git.0.to_owned(), commit: commit.to_owned(), texts })
    }

    fn nodes(&self) -> Result<Found> {
        yaml::read_files(self)
    }
}

impl Files for Committed {
    fn text(&self, name: &str) -> Result<Option<String>> {
        Ok(self.texts.get(name).cloned())
    }

    fn path(&self, name: &str) -> PathBuf {
        let path = Path::join(&self.dir, name);
        PathBuf::from(format!("{}@{}", path.display(), self.commit))
    }
}

impl FromStr for GitChange {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = |message: String| {
            Error::new(Code::Invalid, message).hint("write PLATFORM:FROM:TO:FLAGS, the last three optional")
        };
        let parts: Vec<&str> = text.split(':').collect();
        let part = |i: usize| parts.get(i).copied().filter(|p| !p.is_empty()).map(ToOwned::to_owned);
        if parts.len() > 4 {
            return Err(wrong(format!("'{text}' has too many parts")));
        }
        let platform = part(0).ok_or_else(|| wrong(format!("'{text}' names no platform")))?;
        let flags = part(3).unwrap_or_default();
        let flags: Vec<&str> = flags.split(',').filter(|f| !f.is_empty()).collect();
        if let Some(flag) = flags.iter().find(|f| **f != "min") {
            return Err(wrong(format!("'{flag}' is not a flag: the only one is min")));
        }
        Ok(GitChange { platform, from: part(1), to: part(2), smallest: !flags.is_empty() })
    }
}

impl fmt::Display for GitChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (from, to) = (self.from.as_deref().unwrap_or_default(), self.to.as_deref().unwrap_or_default());
        write!(f, "{}:{from}:{to}:{}", self.platform, if self.smallest { "min" } else { "" })
    }
}
