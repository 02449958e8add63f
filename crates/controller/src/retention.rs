//! How long records and ended operations are kept: as the settings say, and not as a clock says that has just jumped.

use crate::{
    change::{AUDIT, EVENT, IDEMPOTENCY, Writer},
    runs::Logs,
    view::View,
};
use api::{Operation, settings::Retention};
use base::Result;
use rt::clock::Instant;
use std::{
    path::{Path, PathBuf},
    time::Duration,
};
use store::TrimRule;

const EVERY: Duration = Duration::from_mins(5);
const DAY_MS: i64 = 86_400_000;
const HOUR_MS: i64 = 3_600_000;
/// For how long a wall clock must hold a time to which it jumped, before anything is thrown away by it.
const BELIEVE_AFTER: Duration = Duration::from_hours(24);
/// What clocks differ by without a jump, between two looks, ms.
const DRIFT_MS: i64 = 60_000;

/// The file with the date, ms since 1970: whoever starts while the clock is wrong knows when it was right.
const LAST: &str = "retention-date";

/// Trims until the process ends.
pub(crate) async fn run(view: View, writer: Writer, logs: Logs, data_dir: PathBuf) {
    let file = data_dir.join(LAST);
    let mut date = Date::new(rt::clock::now(), remembered(&file).unwrap_or_else(wall_ms));
    loop {
        let now_ms = date.at(rt::clock::now(), wall_ms());
        if let Err(e) = rt::files::write_atomic(&file, now_ms.to_string().as_bytes()) {
            tracing::warn!(error = %e, "the date could not be kept");
        }
        if let Err(e) = trim(&view, &writer, &logs, now_ms).await {
            tracing::warn!(error = %e, "old records could not be trimmed");
        }
        rt::clock::sleep(EVERY).await;
    }
}

/// The date when this was last looked at.
fn remembered(file: &Path) -> Option<i64> {
    let bytes = rt::files::read_optional(file).ok()??;
    std::str::from_utf8(&bytes).ok()?.trim().parse().ok()
}

fn wall_ms() -> i64 {
    rt::clock::wall().as_millisecond()
}

/// The date by the wall clock, but for jumps: those count when they have held for [`BELIEVE_AFTER`]. Until then the
/// date goes on with the monotonic clock.
struct Date {
    seen: Instant,
    last_ms: i64,
    jumped: Option<Instant>,
}

impl Date {
    fn new(now: Instant, wall_ms: i64) -> Self {
        Date { seen: now, last_ms: wall_ms, jumped: None }
    }

    fn at(&mut self, now: Instant, wall_ms: i64) -> i64 {
        let passed = now.saturating_duration_since(self.seen);
        let expected = self.last_ms.saturating_add(i64::try_from(passed.as_millis()).unwrap_or(i64::MAX));
        let jumped = wall_ms.abs_diff(expected) > DRIFT_MS.unsigned_abs();
        self.jumped = jumped.then(|| self.jumped.unwrap_or(now));
        let held = self.jumped.is_none_or(|since| now.saturating_duration_since(since) >= BELIEVE_AFTER);
        if held {
            self.jumped = None;
        }
        (self.seen, self.last_ms) = (now, if held { wall_ms } else { expected });
        self.last_ms
    }
}

async fn trim(view: &View, writer: &Writer, logs: &Logs, now_ms: i64) -> Result<()> {
    let retention = view.read(|t| t.cluster_settings().retention);
    writer.store().trim(&rules(&retention, now_ms)).await?;
    let before = now_ms - i64::from(retention.operation_days) * DAY_MS;
    let old: Vec<_> = view.read(|t| {
        let ended =
            |o: &&std::sync::Arc<Operation>| o.status.ended_at.is_some_and(|at| at.as_millisecond() < before);
        t.operations.iter().filter(ended).cloned().collect()
    });
    for operation in old {
        let mut change = writer.change();
        change.delete(&*operation);
        match change.commit().await {
            Ok(_) => logs.remove(operation.metadata.uid),
            Err(e) => writer.catch_up(e).await?,
        }
    }
    Ok(())
}

fn rules(retention: &Retention, now_ms: i64) -> Vec<TrimRule> {
    let rule = |kind: &str, age_ms: i64, per_scope| TrimRule {
        kind: kind.into(),
        since_ms: Some(now_ms - age_ms),
        per_scope,
        total: None,
    };
    vec![
        rule(EVENT, i64::from(retention.event_days) * DAY_MS, Some(retention.events_per_object.into())),
        rule(AUDIT, i64::from(retention.audit_days) * DAY_MS, None),
        rule(IDEMPOTENCY, i64::from(retention.idempotency_hours) * HOUR_MS, None),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_hours(1);

    #[test]
    fn a_date_goes_with_the_wall_clock() {
        let begin = rt::clock::now();
        let mut date = Date::new(begin, 0);
        assert_eq!(date.at(begin + HOUR, HOUR_MS + 2000), HOUR_MS + 2000);
        assert_eq!(date.at(begin + 2 * HOUR, 2 * HOUR_MS - 2000), 2 * HOUR_MS - 2000);
    }

    #[test]
    fn a_jump_counts_when_it_has_held_for_a_day() {
        for jump in [400 * DAY_MS, -400 * DAY_MS] {
            let begin = rt::clock::now();
            let mut date = Date::new(begin, 0);
            for hour in 1..=24_u32 {
                let goes_on = i64::from(hour) * HOUR_MS;
                assert_eq!(date.at(begin + hour * HOUR, goes_on + jump), goes_on, "hour {hour}");
            }
            assert_eq!(date.at(begin + 25 * HOUR, 25 * HOUR_MS + jump), 25 * HOUR_MS + jump);
        }
    }

    #[test]
    fn a_date_is_remembered_and_rubbish_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join(LAST);
        assert_eq!(remembered(&file), None);
        rt::files::write_atomic(&file, b"-42").unwrap();
        assert_eq!(remembered(&file), Some(-42));
        rt::files::write_atomic(&file, b"x").unwrap();
        assert_eq!(remembered(&file), None);
    }

    #[test]
    fn a_jump_and_back_never_was() {
        let begin = rt::clock::now();
        let mut date = Date::new(begin, 0);
        for day in 0..4_u32 {
            let (at, ms) = (begin + day * 20 * HOUR, i64::from(day) * 20 * HOUR_MS);
            assert_eq!(date.at(at + HOUR, ms + HOUR_MS + 90 * DAY_MS), ms + HOUR_MS);
            assert_eq!(date.at(at + 2 * HOUR, ms + 2 * HOUR_MS), ms + 2 * HOUR_MS);
        }
    }
}
