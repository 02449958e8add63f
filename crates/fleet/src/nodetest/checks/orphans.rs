//! Files that belong to a user or a group that does not exist.

use crate::nodetest::{
    outcome::Found,
    probe::{Answer, Probe},
};
use std::collections::BTreeSet;

/// More are not named.
const MOST: usize = 20;
/// File systems without files of the node's own, or that are another host's.
const ALWAYS: [&str; 4] = ["/proc", "/sys", "/dev", "/run"];
const REMOTE: [&str; 6] = ["nfs", "nfs4", "cifs", "smb3", "9p", "autofs"];

pub struct Orphans {
    pub ignored: BTreeSet<String>,
}

impl Probe for Orphans {
    fn script(&self) -> String {
        let paths = ALWAYS.into_iter().chain(self.ignored.iter().map(String::as_str));
        let plain = |path: &str| match path.trim_end_matches('/') {
            "" => "/".to_owned(),
            path => path.to_owned(),
        };
        let paths = paths.map(|path| format!("-path {}", ssh::quote(&plain(path))));
        let kinds = REMOTE.iter().map(|kind| format!("-fstype {kind}"));
        let pruned: Vec<String> = paths.chain(kinds).collect();
        // BusyBox' find cannot look for them.
        format!(
            "find / -prune -nouser -nogroup -fstype x >/dev/null 2>&1 || {{ echo unable; exit 0; }}\n\
             find / \\( {} \\) -prune -o \\( -nouser -o -nogroup \\) -print 2>/dev/null | head -n {}",
            pruned.join(" -o "),
            MOST + 1
        )
    }

    fn judge(&self, answer: &Answer<'_>) -> Found {
        if answer.text.trim() == "unable" {
            return Found::Unclear("find of this node does not know -nouser".into());
        }
        if answer.code != 0 {
            return answer.failed();
        }
        let mut errors: Vec<String> =
            answer.text.lines().take(MOST).map(|path| format!("{path} belongs to nobody")).collect();
        if answer.text.lines().count() > MOST {
            errors.push("there are more".into());
        }
        Found::of(errors)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orphans_are_named() {
        let orphans = Orphans { ignored: ["/var/lib/it's/".into()].into() };
        assert!(orphans.script().contains(r"-path '/var/lib/it'\''s'"));
        let found = orphans.judge(&Answer { code: 0, text: "/a\n/b b\n" });
        assert_eq!(found, Found::Wrong(vec!["/a belongs to nobody".into(), "/b b belongs to nobody".into()]));
        assert_eq!(orphans.judge(&Answer { code: 0, text: "" }), Found::Well);
        assert!(matches!(orphans.judge(&Answer { code: 0, text: "unable\n" }), Found::Unclear(_)));
        let many = "/x\n".repeat(21);
        let Found::Wrong(errors) = orphans.judge(&Answer { code: 0, text: &many }) else { panic!() };
        assert_eq!((errors.len(), errors.last().unwrap().as_str()), (21, "there are more"));
    }
}
