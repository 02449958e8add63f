//! The last deployment is not too long ago, and went well.

use crate::nodetest::{
    outcome::Found,
    probe::{Answer, Probe},
};
use jiff::{SignedDuration, Timestamp, civil::DateTime, tz::TimeZone};

/// How dates are written in logs of deployments, in UTC.
const DATE: &str = "%Y-%m-%d %H:%M:%S";

pub struct Freshness {
    /// The oldest that the last deployment may be, in days.
    pub days: u16,
    /// What time it is.
    pub now: Timestamp,
}

impl Probe for Freshness {
    fn script(&self) -> String {
        // The fields of a log come first, a line each, before what was printed.
        "cd /var/log/deployments 2>/dev/null || { [ -e /var/log/deployments ] && echo closed || echo none; exit 0; }\n\
         newest=$(ls -t | head -n 1)\n\
         [ -n \"$newest\" ] || { echo none; exit 0; }\n\
         sed '/^===== STDOUT =====$/q' \"$newest\" 2>/dev/null || echo closed"
            .into()
    }

    fn judge(&self, answer: &Answer<'_>) -> Found {
        match answer.text.trim() {
            "none" => return Found::wrong("it was never deployed"),
            "closed" => return Found::wrong("this user may not read the logs in /var/log/deployments"),
            _ if answer.code != 0 => return answer.failed(),
            _ => {}
        }
        let field = |name: &str| {
            let lines = answer.text.lines().filter_map(|l| l.split_once(": "));
            lines.into_iter().find(|(n, _)| *n == name).map(|(_, value)| value.trim())
        };
        let date = field("date").and_then(|d| DateTime::strptime(DATE, d).ok());
        let date = date.and_then(|d| d.to_zoned(TimeZone::UTC).ok()).map(|d| d.timestamp());
        let (Some(date), Some(status)) = (date, field("exit_status")) else {
            return Found::wrong("the newest file in /var/log/deployments is no log of a deployment");
        };
        let mut errors = Vec::new();
        let age = self.now.duration_since(date);
        if age > SignedDuration::from_hours(24 * i64::from(self.days)) {
            let days = age.as_hours() / 24;
            errors.push(format!("the last deployment was {days} days ago, more than {}", self.days));
        }
        if status != "0" {
            errors.push(format!("the last deployment ended with {status}"));
        }
        Found::of(errors)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_deployment_must_be_fresh_and_well() {
        let freshness = Freshness { days: 93, now: "2026-06-30T12:00:00Z".parse().unwrap() };
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
        assert_eq!(found("none\n"), Found::wrong("it was never deployed"));
        assert!(matches!(found("rubbish"), Found::Wrong(_)));
    }
}
