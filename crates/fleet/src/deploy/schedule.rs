//! When nodes may be deployed: the section `schedules` of `hostler.yaml`. All times are in UTC.

use jiff::{
    SignedDuration, Timestamp,
    civil::{Date, Time, Weekday},
    tz::TimeZone,
};
use serde::Deserialize;

/// How long a deployment may begin, where nothing else is said: as in Hybrid Platforms Conductor.
const USUAL: u32 = 3000;

/// A time at which some nodes may be deployed, on some or all days.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// The nodes, as selectors.
    pub nodes: Vec<String>,
    /// When it begins.
    pub at: Time,
    /// The days on which it begins; every day where none is named.
    #[serde(default)]
    pub days: Vec<Day>,
    /// How many seconds it lasts.
    #[serde(default = "usual")]
    pub duration: u32,
}

fn usual() -> u32 {
    USUAL
}

/// A day of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum Day {
    Monday,
    Tuesday,
    Wednesday,
    Thursday,
    Friday,
    Saturday,
    Sunday,
}

impl Day {
    fn is(self, day: Weekday) -> bool {
        let own = match self {
            Day::Monday => Weekday::Monday,
            Day::Tuesday => Weekday::Tuesday,
            Day::Wednesday => Weekday::Wednesday,
            Day::Thursday => Weekday::Thursday,
            Day::Friday => Weekday::Friday,
            Day::Saturday => Weekday::Saturday,
            Day::Sunday => Weekday::Sunday,
        };
        own == day
    }
}

impl Schedule {
    /// Whether a deployment may begin at this time. One that began before may reach over midnight.
    pub fn is_open(&self, now: Timestamp) -> bool {
        let today = now.to_zoned(TimeZone::UTC).date();
        let days = i64::from(self.duration) / 86_400 + 1;
        let mut date = Some(today);
        for _ in 0..=days {
            let Some(begin) = date else { return false };
            if self.is_open_from(begin, now) {
                return true;
            }
            date = begin.yesterday().ok();
        }
        false
    }

    fn is_open_from(&self, date: Date, now: Timestamp) -> bool {
        if !self.days.is_empty() && !self.days.iter().any(|day| day.is(date.weekday())) {
            return false;
        }
        let Ok(begin) = date.to_datetime(self.at).to_zoned(TimeZone::UTC) else { return false };
        let since = now.duration_since(begin.timestamp());
        !since.is_negative() && since < SignedDuration::from_secs(self.duration.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(days: Vec<Day>, at: &str, duration: u32, now: &str) -> bool {
        let schedule = Schedule { nodes: vec![], at: at.parse().unwrap(), days, duration };
        schedule.is_open(now.parse().unwrap())
    }

    #[test]
    fn a_schedule_is_open_from_its_time_on_for_its_duration() {
        let daily = |now| open(vec![], "04:00:00", 3000, now);
        assert!(!daily("2026-11-20T03:59:59Z") && daily("2026-11-20T04:00:00Z"));
        assert!(daily("2026-11-20T04:49:59Z") && !daily("2026-11-20T04:50:00Z"));
        // 2026-11-20 is a Friday; the hour after midnight belongs to the day before.
        let late = |day, now| open(vec![day], "23:30:00", 3600, now);
        assert!(late(Day::Friday, "2026-11-21T00:20:00Z") && !late(Day::Saturday, "2026-11-21T00:20:00Z"));
        assert!(!late(Day::Thursday, "2026-11-20T23:40:00Z"));
    }
}
