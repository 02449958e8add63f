//! What time does to VMs: time to live, and the end of waiting for a place.
//!
//! Time is counted on the monotonic clock and kept with the VM now and then, so that a clock that jumps ends nothing,
//! and a controller that was away loses at most a minute of the count.

use crate::{change::Writer, placement, view::View};
use api::{Vm, VmPhase};
use base::{Code, Result, Uid};
use rt::clock::Instant;
use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

const TICK: Duration = Duration::from_secs(1);
/// How much of the count may be lost with the controller.
const KEEP_EVERY: Duration = Duration::from_mins(1);

struct Count {
    /// Counted before we began to.
    before: Duration,
    since: Instant,
    kept: Instant,
    /// The count at which it began to wait for a place.
    waiting_from: Option<Duration>,
}

impl Count {
    /// Goes on where an earlier process ended. What was kept of a VM with a time to live was counted from its creation, of
    /// any other one from the beginning of its wait.
    fn new(vm: &Vm, now: Instant) -> Self {
        let before = Duration::from_millis(vm.status.elapsed_ms);
        let waits_again = vm.spec.ttl_seconds.is_some() && vm.status.assigned_at.is_some();
        let from = if waits_again { before } else { Duration::ZERO };
        Count { before, since: now, kept: now, waiting_from: placement::waits(vm).then_some(from) }
    }
}

/// Counts until the process ends.
pub(crate) async fn run(view: View, writer: Writer) {
    let mut counts: HashMap<Uid, Count> = HashMap::new();
    loop {
        rt::clock::sleep(TICK).await;
        let timed: Vec<std::sync::Arc<Vm>> = view.read(|t| {
            let due = |vm: &&std::sync::Arc<Vm>| {
                let waiting = vm.spec.pending_timeout_seconds.is_some() && placement::waits(vm);
                vm.metadata.deleted_at.is_none() && (vm.spec.ttl_seconds.is_some() || waiting)
            };
            t.vms.iter().filter(due).cloned().collect()
        });
        let still: HashSet<Uid> = timed.iter().map(|vm| vm.metadata.uid).collect();
        counts.retain(|uid, _| still.contains(uid));
        for vm in timed {
            if let Err(e) = tick(&writer, &mut counts, &vm).await
                && e.code != Code::NotFound
            {
                tracing::warn!(error = %e, vm = %vm.metadata.uid, "time could not be counted");
            }
        }
    }
}

async fn tick(writer: &Writer, counts: &mut HashMap<Uid, Count>, vm: &Vm) -> Result<()> {
    let now = rt::clock::now();
    let uid = vm.metadata.uid;
    let count = counts.entry(uid).or_insert_with(|| Count::new(vm, now));
    let elapsed = count.before + (now - count.since);
    let over =
        |elapsed: Duration, limit: Option<u64>| limit.is_some_and(|s| elapsed >= Duration::from_secs(s));
    if over(elapsed, vm.spec.ttl_seconds) {
        return end_of_life(writer, uid).await;
    }
    if placement::waits(vm) {
        let waited = elapsed.saturating_sub(*count.waiting_from.get_or_insert(elapsed));
        if over(waited, vm.spec.pending_timeout_seconds) {
            return give_up(writer, uid).await;
        }
    } else {
        count.waiting_from = None;
    }
    if now - count.kept >= KEEP_EVERY {
        count.kept = now;
        let elapsed_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
        let keep = |vm: &mut Vm, _: &mut crate::change::Change<'_>| {
            vm.status.elapsed_ms = elapsed_ms;
            Ok(true)
        };
        writer.update::<Vm>(uid, keep).await?;
    }
    Ok(())
}

async fn give_up(writer: &Writer, uid: Uid) -> Result<()> {
    let fail = |vm: &mut Vm, change: &mut crate::change::Change<'_>| {
        if !placement::waits(vm) {
            return Ok(false);
        }
        let limit = vm.spec.pending_timeout_seconds.unwrap_or_default();
        vm.status.phase = VmPhase::Failed;
        vm.status.message = format!("no worker had room for it within {limit} s");
        let name = &vm.metadata.name;
        vm.status.fix = Some(format!("delete it, or restart it to wait again: hostler vm restart {name}"));
        let message = vm.status.message.clone();
        change.warning("vm", &vm.metadata, "PendingTimeout", message)?;
        Ok(true)
    };
    writer.update::<Vm>(uid, fail).await.map(|_| ())
}

async fn end_of_life(writer: &Writer, uid: Uid) -> Result<()> {
    writer.end_vm(uid, "Expired", "its time to live is over").await
}
