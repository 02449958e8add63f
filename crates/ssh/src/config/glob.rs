//! The files that a pattern names (glob(7)): `*`, `?` and `[a-z]`, in the order of their names.

use std::path::{Component, Path, PathBuf};

/// The paths that exist; a pattern without special characters names itself.
pub(crate) fn files(pattern: &Path) -> Vec<PathBuf> {
    let mut found = vec![PathBuf::new()];
    for component in pattern.components() {
        let Component::Normal(name) = component else {
            push(&mut found, component.as_ref());
            continue;
        };
        let name = name.to_string_lossy();
        if !name.contains(['*', '?', '[']) {
            push(&mut found, Path::new(&*name));
            continue;
        }
        found = found.iter().flat_map(|dir| entries(dir, &name)).collect();
    }
    found.retain(|path| path.exists());
    found
}

fn push(paths: &mut [PathBuf], component: &Path) {
    for path in paths {
        path.push(component);
    }
}

fn entries(dir: &Path, pattern: &str) -> Vec<PathBuf> {
    let pattern: Vec<char> = pattern.chars().collect();
    let Ok(listed) = std::fs::read_dir(dir) else { return Vec::new() };
    let names = listed.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let fits = |name: &String| {
        // A dot at the start must be written.
        let hidden = name.starts_with('.') && pattern.first() != Some(&'.');
        !hidden && fits(&pattern, &name.chars().collect::<Vec<_>>())
    };
    let mut names: Vec<String> = names.filter(fits).collect();
    names.sort();
    names.into_iter().map(|name| dir.join(name)).collect()
}

fn fits(pattern: &[char], name: &[char]) -> bool {
    match pattern.first() {
        None => name.is_empty(),
        Some('*') => (0..=name.len()).any(|taken| fits(&pattern[1..], &name[taken..])),
        Some('[') if let Some((holds, rest)) = name.first().and_then(|c| class(&pattern[1..], *c)) => {
            holds && fits(rest, &name[1..])
        }
        Some(c) => name.first().is_some_and(|n| *c == '?' || c == n) && fits(&pattern[1..], &name[1..]),
    }
}

/// Whether a class holds a character, and the pattern after it. `None` where the class is not closed.
fn class(pattern: &[char], c: char) -> Option<(bool, &[char])> {
    let negated = matches!(pattern.first(), Some('!' | '^'));
    let start = usize::from(negated);
    // A bracket that comes first is a member.
    let end = start + 1 + pattern.get(start + 1..)?.iter().position(|p| *p == ']')?;
    let mut members = pattern[start..end].iter().peekable();
    let mut holds = false;
    while let Some(low) = members.next() {
        let range = members.next_if(|m| **m == '-').and_then(|_| members.next());
        holds |= match range {
            Some(high) => (*low..=*high).contains(&c),
            None => *low == c,
        };
    }
    Some((holds != negated, &pattern[end + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_stars_and_hidden_names() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["b.conf", "a.conf", ".h.conf", "c.txt", "d9.conf"] {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        let of = |pattern: &str| {
            let found = files(&dir.path().join(pattern));
            found
                .iter()
                .map(|p| p.file_name().unwrap().to_str().unwrap().to_owned())
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert_eq!(of("*.conf"), "a.conf b.conf d9.conf");
        assert_eq!(of(".*.conf"), ".h.conf");
        assert_eq!(of("[ab].conf"), "a.conf b.conf");
        assert_eq!(of("[!a-c]?.conf"), "d9.conf");
        assert_eq!(of("c.txt"), "c.txt");
        assert_eq!(of("nothing"), "");
        assert_eq!(of("[.conf"), "");
    }
}
