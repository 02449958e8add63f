//! How long records and ended operations are kept: as the settings say.

use crate::{
    change::{AUDIT, EVENT, IDEMPOTENCY, Writer},
    runs::Logs,
    view::View,
};
use api::{Operation, settings::Retention};
use base::Result;
use std::time::Duration;
use store::TrimRule;

const EVERY: Duration = Duration::from_mins(5);
const DAY_MS: i64 = 86_400_000;
const HOUR_MS: i64 = 3_600_000;

/// Trims until the process ends.
pub(crate) async fn run(view: View, writer: Writer, logs: Logs) {
    loop {
        if let Err(e) = trim(&view, &writer, &logs).await {
            tracing::warn!(error = %e, "old records could not be trimmed");
        }
        rt::clock::sleep(EVERY).await;
    }
}

async fn trim(view: &View, writer: &Writer, logs: &Logs) -> Result<()> {
    let retention = view.read(|t| t.cluster_settings().retention);
    let now_ms = rt::clock::wall().as_millisecond();
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
