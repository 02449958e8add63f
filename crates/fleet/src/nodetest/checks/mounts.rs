//! What is mounted.

use crate::nodetest::{
    declared::Mount,
    outcome::Found,
    probe::{Answer, Probe},
    wanted::Both,
};

pub struct Mounts(pub Both<Mount>);

impl Probe for Mounts {
    fn script(&self) -> String {
        "cat /proc/mounts 2>/dev/null || mount".into()
    }

    fn judge(&self, answer: &Answer<'_>) -> Found {
        let there: Vec<Mount> = answer.text.lines().filter_map(mounted).collect();
        if there.is_empty() {
            return answer.failed();
        }
        let is_there = |wanted: &&Mount| there.iter().any(|m| fits(m, wanted));
        let missing =
            self.0.there.iter().filter(|m| !is_there(m)).map(|m| format!("{} is not mounted", words(m)));
        let extra = self.0.not_there.iter().filter(is_there).map(|m| format!("{} is mounted", words(m)));
        Found::of(missing.chain(extra).collect())
    }
}

/// A line of `/proc/mounts`, or of `mount` elsewhere: `SOURCE on TARGET type TYPE (OPTIONS)`.
fn mounted(line: &str) -> Option<Mount> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let ([source, "on", target, "type", kind, ..] | [source, target, kind, ..]) = words.as_slice() else {
        return None;
    };
    Some(Mount {
        target: unescaped(target),
        source: Some(unescaped(source)),
        r#type: Some((*kind).to_owned()),
    })
}

fn fits(mount: &Mount, wanted: &Mount) -> bool {
    let same = |is: &Option<String>, wanted: &Option<String>| wanted.is_none() || is == wanted;
    mount.target == wanted.target
        && same(&mount.source, &wanted.source)
        && same(&mount.r#type, &wanted.r#type)
}

fn words(mount: &Mount) -> String {
    let source = mount.source.as_ref().map(|s| format!("{s} on ")).unwrap_or_default();
    let kind = mount.r#type.as_ref().map(|t| format!(" ({t})")).unwrap_or_default();
    format!("{source}{}{kind}", mount.target)
}

/// Blanks and backslashes are written as three octal digits (fstab(5)).
fn unescaped(text: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(text.to_owned(), |text, (code, c)| text.replace(code, c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_is_compared() {
        let mount = |target: &str, source: Option<&str>, kind: Option<&str>| Mount {
            target: target.into(),
            source: source.map(Into::into),
            r#type: kind.map(Into::into),
        };
        let text = "/dev/sda1 / ext4 rw 0 0\nnas:/x /my\\040data nfs4 rw 0 0\n/dev/disk1 on /Volumes/a type apfs (local)\n";
        let there = [
            mount("/", None, None),
            mount("/my data", Some("nas:/x"), Some("nfs4")),
            mount("/Volumes/a", None, Some("apfs")),
            mount("/", Some("/dev/sdb1"), None),
            mount("/srv", None, None),
        ];
        let both = Both {
            there: there.into(),
            not_there: [mount("/", None, Some("ext4")), mount("/x", None, None)].into(),
        };
        let found = Mounts(both).judge(&Answer { code: 0, text });
        let wrong = ["/dev/sdb1 on / is not mounted", "/srv is not mounted", "/ (ext4) is mounted"];
        assert_eq!(found, Found::Wrong(wrong.map(Into::into).into()));
    }
}
