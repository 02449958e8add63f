//! Checks that the controller makes by itself, each directory's after its period.
//!
//! Time is counted on the monotonic clock and kept with the directory now and then, so that a clock that jumps starts no
//! check, and a controller that ended goes on counting where it was.

use super::{Runs, fleet_operation, input};
use api::{
    Fleet, Operation,
    fleet::{FleetRequest, FleetVerb},
};
use base::{Result, Uid};
use rt::clock::Instant;
use std::{collections::HashMap, sync::Arc, time::Duration};

/// The arguments of a check whose exit code tells of all nodes whether a deploy would change something.
pub(super) const WHOLE: [&str; 2] = ["--all", "--exit-code"];

/// How much of the count may be lost with the controller, at most; of a short period, a quarter.
const KEEP_EVERY: Duration = Duration::from_mins(1);

/// The counts of all fleet directories with a schedule.
#[derive(Default)]
pub(super) struct Checks(HashMap<Uid, Count>);

/// The time since the last check by the schedule, or since the directory is known.
struct Count {
    /// Counted by an earlier process.
    before: Duration,
    since: Instant,
    kept: Instant,
}

impl Count {
    fn from(before: Duration) -> Self {
        let now = rt::clock::now();
        Count { before, since: now, kept: now }
    }

    fn elapsed(&self) -> Duration {
        self.before + self.since.elapsed()
    }
}

impl Runs {
    /// Starts the checks whose time has come. A directory that is new, or was never checked, is checked after one period.
    pub(super) async fn schedule(&self, checks: &mut Checks) {
        let fleets: Vec<Arc<Fleet>> = self.view.read(|t| t.fleets.iter().cloned().collect());
        let timed =
            |uid: &Uid| fleets.iter().any(|f| f.metadata.uid == *uid && f.spec.check_every_seconds.is_some());
        checks.0.retain(|uid, _| timed(uid));
        for fleet in &fleets {
            let Some(every) = fleet.spec.check_every_seconds.map(Duration::from_secs) else { continue };
            let kept = Duration::from_millis(fleet.status.elapsed_ms);
            let count = checks.0.entry(fleet.metadata.uid).or_insert_with(|| Count::from(kept));
            if let Err(e) = self.tick(fleet, every, count).await {
                tracing::warn!(error = %e, fleet = %fleet.metadata.name, "a scheduled check could not be started");
            }
        }
    }

    async fn tick(&self, fleet: &Fleet, every: Duration, count: &mut Count) -> Result<()> {
        if count.elapsed() < every {
            if count.kept.elapsed() >= KEEP_EVERY.min(every / 4) {
                count.kept = rt::clock::now();
                self.keep(fleet, count.elapsed()).await?;
            }
            return Ok(());
        }
        if self.is_checked(fleet) {
            return Ok(());
        }
        *count = Count::from(Duration::ZERO);
        self.start_check(fleet).await?;
        self.keep(fleet, Duration::ZERO).await
    }

    async fn keep(&self, fleet: &Fleet, elapsed: Duration) -> Result<()> {
        let elapsed_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
        let keep = |fleet: &mut Fleet, _: &mut crate::change::Change<'_>| {
            fleet.status.elapsed_ms = elapsed_ms;
            Ok(true)
        };
        self.writer.update::<Fleet>(fleet.metadata.uid, keep).await.map(drop)
    }

    /// Whether a check of this directory is open: they do not pile up.
    fn is_checked(&self, fleet: &Fleet) -> bool {
        self.view.read(|t| {
            t.operations.iter().any(|o: &Arc<Operation>| {
                !o.status.state.ended()
                    && o.metadata.project == fleet.metadata.project
                    && input(o)
                        .is_some_and(|i| i.fleet == fleet.metadata.name && i.request.verb == FleetVerb::Check)
            })
        })
    }

    async fn start_check(&self, fleet: &Fleet) -> Result<()> {
        let arguments = WHOLE.map(ToOwned::to_owned).into();
        let operation =
            fleet_operation(fleet, FleetRequest { verb: FleetVerb::Check, arguments }, "schedule")?;
        let mut change = self.writer.change();
        change.create(&operation, None)?;
        change.event("operation", &operation.metadata, "Created", "by the fleet directory's schedule")?;
        change.commit().await.map(drop).map_err(Into::into)
    }
}
