//! Writing: one at a time, and never half a file.

use super::{
    Kind,
    entry::{Entry, Names},
};
use base::Result;
use rt::locked::LockedFile;
use std::path::Path;

/// Appends a key of a host, unless it is there.
pub(crate) fn add(path: &Path, name: &str, key: &str, hash: bool) -> Result<()> {
    let file = LockedFile::open(path)?;
    let text = file.read()?;
    if is_there(&text, name, key) {
        return Ok(());
    }
    let separator = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    file.append(format!("{separator}{}\n", line(name, key, hash)).as_bytes())
}

/// A key without its comment, for a host.
fn line(name: &str, key: &str, hash: bool) -> String {
    let key: Vec<&str> = key.split_ascii_whitespace().take(2).collect();
    let name = if hash { Names::hashed(name) } else { name.to_owned() };
    format!("{name} {}", key.join(" "))
}

fn is_there(text: &str, name: &str, key: &str) -> bool {
    let Some(wanted) = Entry::parse(&line(name, key, false), 0) else { return false };
    let same = |e: Entry| e.kind == Kind::Key && e.blob == wanted.blob && e.names.are(name);
    text.lines().filter_map(|l| Entry::parse(l, 0)).any(same)
}

/// Forgets the keys of a host, and knows these from now on. Lines with patterns stay, as do those of authorities and of
/// revoked keys. Returns how many lines were changed.
pub(crate) fn replace(path: &Path, name: &str, keys: &[String], hash: bool) -> Result<usize> {
    let file = LockedFile::open(path)?;
    let text = file.read()?;
    let mut changed = 0;
    let mut lines = Vec::new();
    for old in text.lines() {
        let new = without(old, name);
        changed += usize::from(new.as_deref() != Some(old));
        lines.extend(new);
    }
    lines.extend(keys.iter().map(|key| line(name, key, hash)));
    let out: String = lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect();
    file.replace(out.as_bytes())?;
    Ok(changed)
}

/// A line that no longer speaks of a host; `None` where nothing is left of it.
fn without(line: &str, name: &str) -> Option<String> {
    let Some(entry) = Entry::parse(line, 0).filter(|e| e.kind == Kind::Key) else {
        return Some(line.to_owned());
    };
    match &entry.names {
        Names::Hashed { .. } => (!entry.names.are(name)).then(|| line.to_owned()),
        Names::Patterns(patterns) => {
            let left: Vec<&str> = patterns.split(',').filter(|p| !p.eq_ignore_ascii_case(name)).collect();
            match left.len() {
                0 => None,
                n if n == patterns.split(',').count() => Some(line.to_owned()),
                _ => Some(line.replacen(patterns.as_str(), &left.join(","), 1)),
            }
        }
    }
}
