//! Operations with fleet directories: each runs this same program in a sandbox, with the arguments that were asked for.
//!
//! What runs is not ours, so nothing of it runs in this process: see the crate `runner`. A `check` or a `deploy` that was
//! cut off by the end of this process begins again, since both converge; a `run` does not, since nobody knows what its
//! commands would do a second time.

mod log;
mod operation;
mod overseer;
mod progress;
mod schedule;

pub use log::{LogReader, Logs, Told};

use crate::{
    change::{Change, Writer},
    kind,
    resources::fleet_operation,
    view::{Any, Follower, View},
};
use api::{
    Fleet, Operation,
    fleet::{Drift, FleetCheck, FleetInput, FleetVerb},
    record::OperationState,
};
use base::{Code, Error, Result, Uid};
use operation::Ended;
use runner::Place;
use schedule::{Checks, WHOLE};
use std::{
    collections::HashSet,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, OnceLock},
    time::Duration,
};

/// What operations are run with.
#[derive(Clone)]
pub(crate) struct Runs {
    pub(crate) view: View,
    pub(crate) writer: Writer,
    pub(crate) data_dir: PathBuf,
    /// This program, for the sandbox.
    pub(crate) program: PathBuf,
    pub(crate) logs: Logs,
    /// Where this controller listens, once it does.
    pub(crate) address: Arc<OnceLock<SocketAddr>>,
}

/// How often scheduled checks are looked at.
const TICK: Duration = Duration::from_secs(5);

/// Runs what is asked for until the process ends.
pub(crate) async fn run(runs: Runs) {
    let place = Arc::new(Place::of(&runs.data_dir));
    clear(&place).await;
    runs.end_interrupted().await;
    let running = rt::task::Group::new();
    let mut begun: HashSet<Uid> = HashSet::new();
    let mut checks = Checks::default();
    let mut follower = runs.view.follow(runs.view.revision());
    loop {
        for operation in runs.due(&begun) {
            let uid = operation.metadata.uid;
            begun.insert(uid);
            let (runs, place) = (runs.clone(), Arc::clone(&place));
            running.spawn("fleet operation", async move { runs.carry_out(&place, uid).await });
        }
        runs.schedule(&mut checks).await;
        tokio::select! {
            moved = something_of_ours(&mut follower) => if moved.is_err() { return },
            () = rt::clock::sleep(TICK) => {}
        }
        begun.retain(|uid| runs.view.by_uid::<Operation>(*uid).is_some_and(|o| !o.status.state.ended()));
    }
}

/// Ends what an earlier process has left.
async fn clear(place: &Arc<Place>) {
    let place = Arc::clone(place);
    let cleared = rt::task::blocking(move || place.clear()).await;
    if let Err(e) = cleared.and_then(|cleared| cleared) {
        tracing::warn!(error = %e, "what earlier operations left could not be removed");
    }
}

/// Waits until an operation, a fleet directory or the settings changed. VMs change thousands of times a second, and are
/// nothing to us.
async fn something_of_ours(follower: &mut Follower) -> Result<()> {
    let ours = |change: &Arc<crate::view::Change>| {
        matches!(change.object, Any::Operation(_) | Any::Fleet(_) | Any::Settings(_))
    };
    loop {
        match follower.next().await {
            Ok(changes) if changes.iter().any(ours) => return Ok(()),
            Ok(_) => {}
            Err(e) if e.code == Code::Gone => {
                follower.skip_to_now();
                return Ok(());
            }
            Err(e) => return Err(e),
        }
    }
}

/// The input of an operation of ours.
fn input(operation: &Operation) -> Option<FleetInput> {
    operation.spec.kind.starts_with("fleet-").then_some(())?;
    serde_json::from_value(operation.spec.input.clone()).ok()
}

impl Runs {
    /// What an earlier process has begun.
    async fn end_interrupted(&self) {
        let begun: Vec<Arc<Operation>> = self.view.read(|t| {
            let running = |o: &&Arc<Operation>| o.status.state == OperationState::Running;
            t.operations.iter().filter(running).cloned().collect()
        });
        for operation in begun {
            let Some(input) = input(&operation) else { continue };
            if input.request.verb.repeats() {
                continue;
            }
            let error = Error::unavailable("the controller ended while this ran")
                .because("commands are not repeated: nobody knows what they would do a second time")
                .hint("look at its log, then start it again");
            self.end(operation.metadata.uid, OperationState::Failed, Err(error)).await;
        }
    }

    /// Open operations of ours, as many as may run beside those that do.
    fn due(&self, begun: &HashSet<Uid>) -> Vec<Arc<Operation>> {
        self.view.read(|t| {
            let room = (t.cluster_settings().runners as usize).saturating_sub(begun.len());
            let due = |o: &&Arc<Operation>| {
                !o.status.state.ended() && !begun.contains(&o.metadata.uid) && input(o).is_some()
            };
            let mut due: Vec<_> = t.operations.iter().filter(due).cloned().collect();
            due.sort_by_key(|o| o.metadata.uid);
            due.truncate(room);
            due
        })
    }

    async fn carry_out(&self, place: &Place, uid: Uid) {
        let Some(operation) = self.view.by_uid::<Operation>(uid) else { return };
        let Some(input) = input(&operation) else { return };
        let ended = tokio::select! {
            ended = self.attempt(place, &operation, &input) => ended,
            () = self.cancelled(uid) => Ok(Ended::Cancelled),
        };
        let drift = ended.as_ref().map_or(Drift::Unknown, Ended::drift);
        match ended {
            Ok(Ended::Cancelled) => {
                self.end(uid, OperationState::Cancelled, Ok(serde_json::Value::Null)).await;
            }
            Ok(Ended::Exit { code, report, nodes }) => {
                let state =
                    if matches!(code, 0 | 3) { OperationState::Succeeded } else { OperationState::Failed };
                let result = serde_json::json!({ "exitCode": code, "report": report, "nodes": nodes });
                self.end(uid, state, Ok(result)).await;
            }
            Err(e) => self.end(uid, OperationState::Failed, Err(e)).await,
        }
        if input.request.verb == FleetVerb::Check && input.request.arguments == WHOLE {
            self.note_check(&operation, &input, drift).await;
        }
    }

    async fn cancelled(&self, uid: Uid) {
        let mut follower = self.view.follow(self.view.revision());
        while self.view.by_uid::<Operation>(uid).is_some_and(|o| !o.spec.cancelled) {
            if follower.next().await.is_err() {
                follower.skip_to_now();
            }
        }
    }

    /// The last check of a directory is part of its status, with an event where it came to something else.
    async fn note_check(&self, operation: &Operation, input: &FleetInput, drift: Drift) {
        let key = kind::key::<Fleet>(operation.metadata.project.as_ref(), input.fleet.as_str());
        let Some(fleet) = self.view.get::<Fleet>(&key) else { return };
        let check = FleetCheck { at: rt::clock::wall(), operation: operation.metadata.name.clone(), drift };
        let noted = self.writer.update::<Fleet>(fleet.metadata.uid, |fleet, change| {
            let before = fleet.status.last_check.as_ref().map(|c| c.drift);
            fleet.status.last_check = Some(check.clone());
            match drift {
                _ if before == Some(drift) => {}
                Drift::None => {
                    change.event("fleet", &fleet.metadata, "InStep", "its nodes are as they should be")?;
                }
                Drift::Pending => {
                    change.warning("fleet", &fleet.metadata, "Drifted", "a deploy would change something")?;
                }
                Drift::Unknown => {
                    change.warning(
                        "fleet",
                        &fleet.metadata,
                        "Unchecked",
                        "not all nodes could be checked",
                    )?;
                }
            }
            Ok(true)
        });
        if let Err(e) = noted.await {
            tracing::warn!(error = %e, fleet = %input.fleet, "a check could not be written down");
        }
    }

    /// Marks the step that an operation is at.
    async fn at_step(&self, uid: Uid, step: usize) -> Result<()> {
        let set = |operation: &mut Operation, _: &mut Change<'_>| {
            operation.status.state = OperationState::Running;
            for (i, s) in operation.status.steps.iter_mut().enumerate() {
                s.state = match i.cmp(&step) {
                    std::cmp::Ordering::Less => OperationState::Succeeded,
                    std::cmp::Ordering::Equal => OperationState::Running,
                    std::cmp::Ordering::Greater => OperationState::Pending,
                };
            }
            Ok(true)
        };
        self.writer.update::<Operation>(uid, set).await.map(drop)
    }

    async fn end(&self, uid: Uid, state: OperationState, result: Result<serde_json::Value>) {
        if let Err(e) = crate::resources::end_operation(&self.writer, uid, state, result).await {
            tracing::error!(error = %e, operation = %uid, "the end of an operation could not be written down");
        }
    }
}
