//! The last deployment is not too long ago, and went well.

use crate::{
    log::{Entry, newest_script},
    nodetest::{
        outcome::Found,
        probe::{Answer, Probe},
    },
};
use jiff::{SignedDuration, Timestamp};

pub struct Freshness {
    /// The oldest that the last deployment may be, in days.
    pub days: u16,
    /// What time it is.
    pub now: Timestamp,
    /// Where the node keeps its logs, if not at the usual place.
    pub log_dir: Option<String>,
}

impl Probe for Freshness {
    fn script(&self) -> String {
        newest_script(self.log_dir.as_deref(), false)
    }

    fn judge(&self, answer: &Answer<'_>) -> Found {
        if answer.code != 0 {
            return answer.failed();
        }
        if answer.text.trim().is_empty() {
            return Found::wrong("it was never deployed");
        }
        let Some(last) = Entry::parse(answer.text) else {
            return Found::wrong("its newest log is not one that is understood");
        };
        let mut errors = Vec::new();
        let age = self.now.duration_since(last.date);
        if age > SignedDuration::from_hours(24 * i64::from(self.days)) {
            let days = age.as_hours() / 24;
            errors.push(format!("the last deployment was {days} days ago, more than {}", self.days));
        }
        if !last.succeeded() {
            errors.push(format!("the last deployment ended with {}", last.exit_status));
        }
        Found::of(errors)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_deployment_must_be_fresh_and_well() {
        let freshness = Freshness { days: 93, now: "2026-06-30T12:00:00Z".parse().unwrap(), log_dir: None };
        let found = |text: &str| freshness.judge(&Answer { code: 0, text });
        let log = |date: &str, status: &str| {
            found(&format!(
                "repo_name_0: lab\ndate: {date}\nuser: root\nservices: a, b\nexit_status: {status}\n===== STDOUT =====\n"
            ))
        };
        assert_eq!(log("2026-06-01 00:00:00", "0"), Found::Well);
        let wrong = [
            "the last deployment was 94 days ago, more than 93",
            "the last deployment ended with failed_command",
        ];
        assert_eq!(log("2026-03-28 11:00:00", "failed_command"), Found::Wrong(wrong.map(Into::into).into()));
        assert_eq!(found("\n"), Found::wrong("it was never deployed"));
        assert!(matches!(found("rubbish"), Found::Wrong(_)));
    }
}
