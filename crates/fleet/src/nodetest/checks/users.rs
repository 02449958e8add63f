//! Users in the node's own files.

use crate::nodetest::{
    outcome::Found,
    probe::{Answer, Probe},
    wanted::Both,
};
use std::collections::BTreeSet;

pub struct Users(pub Both<String>);

impl Probe for Users {
    fn script(&self) -> String {
        "cat /etc/passwd".into()
    }

    fn judge(&self, answer: &Answer<'_>) -> Found {
        if answer.code != 0 {
            return answer.failed();
        }
        let there: BTreeSet<&str> = answer.text.lines().filter_map(|l| l.split(':').next()).collect();
        let missing = self.0.there.iter().filter(|u| !there.contains(u.as_str()));
        let extra = self.0.not_there.iter().filter(|u| there.contains(u.as_str()));
        let missing = missing.map(|u| format!("there is no user {u}"));
        Found::of(missing.chain(extra.map(|u| format!("there is a user {u}"))).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_names_are_compared() {
        let both = Both {
            there: ["root", "www"].map(Into::into).into(),
            not_there: ["www-data", "games"].map(Into::into).into(),
        };
        let answer = Answer { code: 0, text: "root:x:0:0::/root:/bin/sh\nwww-data:x:33:33::/:/bin/false\n" };
        let wrong = ["there is no user www", "there is a user www-data"];
        assert_eq!(Users(both).judge(&answer), Found::Wrong(wrong.map(Into::into).into()));
    }
}
