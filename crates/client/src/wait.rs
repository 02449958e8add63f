//! Waiting: ends on success, on failure, or in time. Never hangs.

use crate::{Client, Error, Key, Kind, Result};
use api::{
    Operation, Vm, VmPhase, VmStatus,
    query::ListQuery,
    record::OperationState,
    vm::{Power, RestartPolicy},
};
use base::{Code, Error as Failure};
use rt::clock::Backoff;
use std::time::Duration;

/// Besides the watch: what a lost message can cost at most.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// How long a controller may stay away once it has answered: as long as a watch bears it.
const PATIENCE: Duration = Duration::from_mins(1);

/// What a VM is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    /// It has a worker.
    Placed,
    /// The guest answers, after all restarts asked for.
    Ready,
    /// It does not run.
    Stopped,
    /// It is gone, disk and all.
    Deleted,
}

/// Waits for a VM; `seen` is told its states on the way. `None` when it was to be deleted and is gone.
///
/// # Errors
/// [`Code::Internal`] with the VM's own words when it failed, [`Code::NotFound`] when it was deleted meanwhile,
/// [`Code::Conflict`] when somebody wants the opposite, [`Code::Timeout`] with its last words.
pub async fn vm(
    client: &Client,
    key: &Key,
    goal: Goal,
    limit: Duration,
    mut seen: impl FnMut(&Vm) + Send,
) -> Result<Option<Vm>> {
    let mut first: Option<VmStatus> = None;
    let mut last: Option<Vm> = None;
    let waited = until(client, key, limit, |vm: Option<Vm>| {
        if let Some(vm) = &vm {
            seen(vm);
            first.get_or_insert_with(|| vm.status.clone());
            last = Some(vm.clone());
        }
        reached(goal, key, vm, first.as_ref())
    })
    .await;
    waited.map_err(|mut e| {
        if let (Code::Timeout, Some(vm)) = (e.code(), last) {
            e.error.message = format!(
                "VM {} is still {} after {} s",
                key.short(),
                vm.status.phase.as_str(),
                limit.as_secs()
            );
            e.error.cause = (!vm.status.message.is_empty()).then(|| vm.status.message.clone());
            e.error.hint = vm.status.fix.clone().or_else(|| Some("wait longer with --timeout".into()));
        }
        e
    })
}

/// Whether the wait is over. `first` is what was seen first: a failure that was there before does not count.
#[allow(clippy::option_option)] // over or not, and with or without a VM
fn reached(goal: Goal, key: &Key, vm: Option<Vm>, first: Option<&VmStatus>) -> Result<Option<Option<Vm>>> {
    let name = key.short();
    let Some(vm) = vm else {
        return if goal == Goal::Deleted {
            Ok(Some(None))
        } else {
            Err(Failure::not_found(format!("VM {name} was deleted meanwhile")).into())
        };
    };
    let (status, spec) = (&vm.status, &vm.spec);
    let news = first != Some(status) || status.observed_generation >= vm.metadata.generation;
    if goal == Goal::Deleted {
        return Ok(None);
    }
    if status.phase == VmPhase::Deleting {
        return Err(Failure::conflict(format!("VM {name} is being deleted")).into());
    }
    let over = match goal {
        Goal::Placed => status.worker.is_some(),
        Goal::Stopped => matches!(status.phase, VmPhase::Stopped | VmPhase::Failed),
        _ => status.phase == VmPhase::Running && status.restarts_done >= spec.restarts,
    };
    if over {
        return Ok(Some(Some(vm)));
    }
    if status.phase == VmPhase::Failed && news {
        return Err(failed(&vm));
    }
    if goal == Goal::Ready && spec.power == Power::Stopped {
        return Err(Failure::conflict(format!("VM {name} is to be stopped"))
            .hint(format!("start it: hostler vm start {name}"))
            .into());
    }
    let ended = status.phase == VmPhase::Stopped && first != Some(status);
    if goal == Goal::Ready && ended && spec.restart_policy == RestartPolicy::Never {
        return Err(failed(&vm));
    }
    Ok(None)
}

fn failed(vm: &Vm) -> Error {
    let key = Key::of(&vm.metadata).short();
    let phase = vm.status.phase.as_str().to_lowercase();
    let hint = vm.status.fix.clone().unwrap_or_else(|| format!("see its console: hostler vm logs {key}"));
    let error = Failure::new(Code::Internal, format!("VM {key} has {phase}")).hint(hint);
    if vm.status.message.is_empty() { error.into() } else { error.because(&vm.status.message).into() }
}

/// Waits until an operation has ended.
///
/// # Errors
/// Why it failed, [`Code::Conflict`] when it was cancelled, [`Code::Timeout`].
pub async fn operation(
    client: &Client,
    key: &Key,
    limit: Duration,
    mut seen: impl FnMut(&Operation) + Send,
) -> Result<Operation> {
    let name = &key.name;
    until(client, key, limit, |operation: Option<Operation>| {
        let gone = || Failure::not_found(format!("operation {name} is no longer kept"));
        let operation = operation.ok_or_else(gone)?;
        seen(&operation);
        match operation.status.state {
            OperationState::Succeeded => Ok(Some(operation)),
            OperationState::Cancelled => {
                Err(Failure::conflict(format!("operation {name} was cancelled")).into())
            }
            OperationState::Failed => {
                let error = operation.status.error.clone();
                Err(error.unwrap_or_else(|| Failure::internal(format!("operation {name} failed"))).into())
            }
            OperationState::Pending | OperationState::Running => Ok(None),
        }
    })
    .await
}

/// Follows one object until `check` has an answer; it is given `None` while there is no such object.
pub async fn until<K: Kind, T>(
    client: &Client,
    key: &Key,
    limit: Duration,
    check: impl FnMut(Option<K>) -> Result<Option<T>>,
) -> Result<T> {
    let what = format!("the wait for {} {key}", K::TITLE);
    rt::clock::timeout(limit, &what, follow(client, key, check)).await?
}

async fn follow<K: Kind, T>(
    client: &Client,
    key: &Key,
    mut check: impl FnMut(Option<K>) -> Result<Option<T>>,
) -> Result<T> {
    let mut patience = Duration::ZERO;
    loop {
        // The revision first, then the object: no change in between is missed.
        let one = ListQuery { limit: Some(1), ..ListQuery::default() };
        let page = patiently(patience, || client.page::<K>(key.project.as_deref(), &one)).await?;
        patience = PATIENCE;
        let mut watch = client.watch(&[K::KIND], key.project.as_deref(), Some(page.revision));
        loop {
            if let Some(answer) = check(patiently(patience, || client.find(key)).await?)? {
                return Ok(answer);
            }
            match changed(&mut watch, key).await {
                Ok(()) => {}
                Err(e) if e.code() == Code::Gone => break,
                Err(e) => return Err(e),
            }
        }
    }
}

/// Asks again while the controller is away, up to a limit: it may be starting again.
async fn patiently<T, F: Future<Output = Result<T>>>(limit: Duration, ask: impl Fn() -> F) -> Result<T> {
    let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
    let begin = rt::clock::now();
    loop {
        match ask().await {
            Err(e) if e.code() == Code::Unavailable && begin.elapsed() < limit => {
                rt::clock::sleep(backoff.delay()).await;
            }
            answer => return answer,
        }
    }
}

/// Waits for a change of the object, or a little.
async fn changed(watch: &mut crate::watch::Watch, key: &Key) -> Result<()> {
    let ours = async {
        loop {
            let change = watch.next().await?;
            let name =
                change.object.as_ref().and_then(|o| o.pointer("/metadata/name")).and_then(|n| n.as_str());
            if name == Some(&key.name) {
                return Ok(());
            }
        }
    };
    match rt::clock::timeout(LOOK_AGAIN, "a change", ours).await {
        Ok(result) => result,
        Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests;
