//! Reads the facts that `observe.sh` prints.

use super::{Account, ContainerState, Kind, Load, Seen, ServiceState, Tree, World};
use base::{Error, Result};
use base64::{Engine, engine::general_purpose::STANDARD};

impl World {
    /// Reads what the script of a [`crate::resource::Look`] printed.
    ///
    /// # Errors
    /// [`base::Code::Internal`] for a line that no such script prints.
    pub fn read(text: &[u8]) -> Result<Self> {
        let mut world = World::default();
        for line in text.split(|b| *b == b'\n').filter(|l| !l.is_empty()) {
            let line = String::from_utf8_lossy(line);
            let (kind, rest) = line.split_once(' ').unwrap_or((&line, ""));
            if world.fact(kind, rest).is_none() {
                return Err(Error::internal("the node describes itself in words that are not understood")
                    .because(line.chars().take(200).collect::<String>()));
            }
        }
        Ok(world)
    }

    fn fact(&mut self, kind: &str, rest: &str) -> Option<()> {
        match kind {
            "home" => rest.clone_into(&mut self.home),
            "missing" => drop(self.missing.insert(rest.to_owned())),
            "manager" => rest.clone_into(&mut self.manager),
            "supervisor" => rest.clone_into(&mut self.supervisor),
            "pending" => drop(self.pending.insert(rest.to_owned())),
            "path" => self.path_seen(rest)?,
            "link" => {
                let (target, path) = rest.split_once(' ')?;
                let target = decoded(target)?;
                let seen = self.paths.get_mut(path)?;
                seen.kind = Kind::Link(target.trim_end_matches('\n').to_owned());
            }
            "entries" => {
                let (names, path) = rest.split_once(' ')?;
                let names = decoded(names)?.lines().map(str::to_owned).collect();
                self.entries.insert(path.to_owned(), names);
            }
            "sum" => self.sum_seen(rest)?,
            "content" => {
                let (content, path) = rest.split_once(' ')?;
                self.paths.get_mut(path)?.content = Some(STANDARD.decode(content).ok()?.into());
            }
            "package" => {
                let (name, version) = rest.split_once(' ')?;
                self.packages.insert(name.to_owned(), version.to_owned());
            }
            "would" => {
                let (key, line) = rest.split_once(' ')?;
                self.would.entry(key.parse().ok()?).or_default().push(line.to_owned());
            }
            "cannot" => {
                let (key, why) = rest.split_once(' ')?;
                self.cannot.insert(key.parse().ok()?, decoded(why)?);
            }
            "service" => self.service_seen(rest)?,
            "user" => self.user_seen(rest)?,
            "passwd" => drop(self.accounts.insert(rest.to_owned())),
            "group" => drop(self.groups.insert(rest.to_owned())),
            "checkout" => self.checkout_seen(rest)?,
            "container" => self.container_seen(rest)?,
            "variables" => self.variables_seen(rest)?,
            _ => return None,
        }
        Some(())
    }

    /// `stat`: mode in hexadecimal, uid, user, gid, group, size, path.
    fn path_seen(&mut self, rest: &str) -> Option<()> {
        let mut words = rest.splitn(7, ' ');
        let mode = u32::from_str_radix(words.next()?, 16).ok()?;
        let mut pair = || Some([words.next()?.to_owned(), words.next()?.to_owned()]);
        let (owner, group) = (pair()?, pair()?);
        let size = words.next()?.parse().ok()?;
        let kind = match mode & 0o170_000 {
            0o100_000 => Kind::File(None),
            0o040_000 => Kind::Directory,
            0o120_000 => Kind::Link(String::new()),
            _ => Kind::Other,
        };
        let seen = Seen { kind, mode: mode & 0o7777, owner, group, size, content: None };
        self.paths.insert(words.next()?.to_owned(), seen);
        Some(())
    }

    /// `sha256sum`, which escapes backslashes in names and then begins the line with one.
    fn sum_seen(&mut self, rest: &str) -> Option<()> {
        let (sum, path) = rest.split_once("  ")?;
        let (sum, path) = match sum.strip_prefix('\\') {
            Some(sum) => (sum, path.replace("\\\\", "\\")),
            None => (sum, path.to_owned()),
        };
        if let Some(Seen { kind: Kind::File(known), .. }) = self.paths.get_mut(&path) {
            *known = Some(sum.to_owned());
        }
        Some(())
    }

    fn service_seen(&mut self, rest: &str) -> Option<()> {
        let mut words = rest.split_ascii_whitespace();
        let name = words.next()?;
        let mut state = ServiceState::default();
        let mut file = "";
        for (key, value) in words.filter_map(|w| w.split_once('=')) {
            match key {
                "LoadState" => {
                    state.load = match value {
                        "loaded" => Load::Loaded,
                        "masked" => Load::Masked,
                        _ => Load::Missing,
                    }
                }
                "ActiveState" => state.active = matches!(value, "active" | "activating" | "reloading"),
                "NeedDaemonReload" => state.stale = value == "yes",
                "UnitFileState" => file = value,
                _ => {}
            }
        }
        state.enabled = match file {
            "enabled" | "enabled-runtime" | "alias" => Some(true),
            "static" | "indirect" | "generated" | "transient" => None,
            _ => Some(false),
        };
        self.services.insert(name.to_owned(), state);
        Some(())
    }

    fn user_seen(&mut self, rest: &str) -> Option<()> {
        let mut words = rest.split_ascii_whitespace();
        let (name, entry) = (words.next()?, decoded(words.next()?)?);
        let group = words.next().unwrap_or_default().to_owned();
        let groups = words.map(str::to_owned).filter(|g| *g != group).collect();
        let fields: Vec<&str> = entry.trim_end().split(':').collect();
        let [_, _, uid, _, comment, home, shell] = fields[..] else { return None };
        let [uid, comment, home, shell] = [uid, comment, home, shell].map(str::to_owned);
        self.users.insert(name.to_owned(), Account { uid, group, comment, home, shell, groups });
        Some(())
    }

    fn checkout_seen(&mut self, rest: &str) -> Option<()> {
        let mut words = rest.split(' ');
        let key = words.next()?.parse().ok()?;
        let head = Some(words.next()?.to_owned()).filter(|h| h != "-");
        let dirty = words.next()?.parse().ok()?;
        let (url, remote) = (decoded(words.next()?)?, decoded(words.next()?)?);
        let remote = remote.lines().filter_map(|l| l.split_once('\t'));
        let remote = remote.map(|(commit, name)| (commit.to_owned(), name.to_owned())).collect();
        self.trees.insert(key, Tree { head, dirty, url: url.trim().to_owned(), remote });
        Some(())
    }

    fn container_seen(&mut self, rest: &str) -> Option<()> {
        let mut words = rest.split(' ').filter(|w| !w.is_empty());
        let key = words.next()?.parse().ok()?;
        let image = Some(words.next()?.to_owned()).filter(|i| i != "-");
        let found = words.next().map(|running| {
            let made_from = words.next().unwrap_or_default().to_owned();
            (running == "true", made_from, words.next().unwrap_or_default().to_owned())
        });
        self.containers.insert(key, ContainerState { image, found, ..ContainerState::default() });
        Some(())
    }

    /// A list of `NAME=VALUE` in JSON; `null` where there are none.
    fn variables_seen(&mut self, rest: &str) -> Option<()> {
        let (key, list) = rest.split_once(' ')?;
        let list: Option<Vec<String>> = serde_json::from_str(&decoded(list)?).ok()?;
        let pairs = list.iter().flatten().filter_map(|variable| variable.split_once('='));
        let container = self.containers.get_mut(&key.parse().ok()?)?;
        container.variables = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Some(())
    }
}

fn decoded(text: &str) -> Option<String> {
    Some(String::from_utf8_lossy(&STANDARD.decode(text).ok()?).into_owned())
}
