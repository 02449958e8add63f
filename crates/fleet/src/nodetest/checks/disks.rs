//! No disk is full.

use crate::nodetest::{
    outcome::Found,
    probe::{Answer, Probe},
};
use std::collections::BTreeMap;

pub struct Disks {
    /// Percent of space, and of inodes.
    pub used_at_most: u8,
}

impl Probe for Disks {
    fn script(&self) -> String {
        // Not every `df` counts inodes, and some end with 1 where one of many file systems cannot be seen.
        "df -Pk 2>/dev/null; echo inodes; df -Pi 2>/dev/null; true".into()
    }

    fn judge(&self, answer: &Answer<'_>) -> Found {
        let (space, inodes) = answer.text.split_once("inodes\n").unwrap_or((answer.text, ""));
        let space_used = used(space);
        if space_used.is_empty() {
            return Found::Unclear("df of this node says nothing".into());
        }
        let too_much = |used: BTreeMap<&str, u8>, what: &str| {
            let full = used.into_iter().filter(|(_, percent)| *percent > self.used_at_most);
            let most = self.used_at_most;
            let say = |(target, percent)| {
                format!("{percent}% of the {what} of {target} is used, more than {most}%")
            };
            full.map(say).collect::<Vec<_>>()
        };
        Found::of([too_much(space_used, "space"), too_much(used(inodes), "inodes")].concat())
    }
}

/// How full each disk is, by where it is mounted: real devices, each once, and whatever `/` is on. Images that are
/// mounted by loop are always full.
fn used(table: &str) -> BTreeMap<&str, u8> {
    let mut seen = BTreeMap::new();
    for line in table.lines().skip(1) {
        let words: Vec<&str> = line.split_whitespace().collect();
        // Source, total, used, free, percent, target; a target may have blanks.
        let [source, _, _, _, percent, target, ..] = words.as_slice() else { continue };
        let is_disk = source.starts_with("/dev/") && !source.starts_with("/dev/loop");
        let Some(percent) = percent.strip_suffix('%').and_then(|p| p.parse().ok()) else { continue };
        if is_disk || *target == "/" {
            seen.entry(*source).or_insert((*target, percent));
        }
    }
    seen.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
Filesystem     1024-blocks     Used Available Capacity Mounted on
overlay           10000000  9100000    900000      91% /
/dev/sda2          1000000   900000    100000      90% /data
/dev/sda2          1000000   900000    100000      90% /data/again
/dev/loop0          100000   100000         0     100% /snap/x
tmpfs               100000   100000         0     100% /run
/dev/sdb1          1000000   999999         1     100% /srv
inodes
Filesystem        Inodes  IUsed   IFree IUse% Mounted on
overlay           655360  91104  564256   14% /
/dev/sda2         655360 655000     360  100% /data
/dev/sdc1              0      0       0     - /boot/efi
";

    #[test]
    fn space_and_inodes_of_real_disks() {
        let found = Disks { used_at_most: 90 }.judge(&Answer { code: 0, text: TEXT });
        let wrong = [
            "91% of the space of / is used, more than 90%",
            "100% of the space of /srv is used, more than 90%",
            "100% of the inodes of /data is used, more than 90%",
        ];
        assert_eq!(found, Found::Wrong(wrong.map(Into::into).into()));
        let found = Disks { used_at_most: 100 }.judge(&Answer { code: 0, text: TEXT });
        assert_eq!(found, Found::Well);
        let unclear = Disks { used_at_most: 90 }.judge(&Answer { code: 0, text: "inodes\n" });
        assert!(matches!(unclear, Found::Unclear(_)));
    }
}
