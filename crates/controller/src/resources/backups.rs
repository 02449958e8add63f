//! Backups of the store: an operation, so that it is seen, and done again after a crash.

use super::new_metadata;
use crate::{caller::Caller, change::Writer, controller::Controller, view::View};
use api::{
    Operation, Verb,
    record::{OperationSpec, OperationState, OperationStatus, OperationStep},
};
use base::{Error, Name, Result, Uid};
use serde_json::json;
use std::path::{Path, PathBuf};

const KIND: &str = "backup";

impl Controller {
    /// Starts a backup into `backups/` of the state directory; the answer is the operation.
    pub async fn create_backup(&self, caller: &Caller) -> Result<Operation> {
        if let Some(answer) = self.writer().replay(caller).await? {
            return Ok(answer);
        }
        let uid = rt::ids::uid();
        let name = Name::new(format!("backup-{uid}")).map_err(|e| Error::internal(e.to_string()))?;
        let operation = Operation {
            metadata: new_metadata(name, None, std::collections::BTreeMap::new()),
            spec: OperationSpec {
                kind: KIND.into(),
                input: json!({}),
                author: caller.principal.name.to_string(),
                cancelled: false,
            },
            status: OperationStatus {
                steps: vec![OperationStep { name: "copy the store".into(), state: OperationState::Pending }],
                ..OperationStatus::default()
            },
        };
        self.commit_new(caller, operation, None, |_| Ok(())).await
    }

    /// Asks an operation to end early.
    pub async fn cancel_operation(
        &self,
        caller: &Caller,
        project: Option<&Name>,
        name: &str,
    ) -> Result<Operation> {
        let uid = self.find::<Operation>(project, name)?.metadata.uid;
        let operation = self
            .writer()
            .update::<Operation>(uid, |operation, change| {
                if operation.status.state.ended() || operation.spec.cancelled {
                    return Ok(false);
                }
                operation.spec.cancelled = true;
                operation.metadata.generation += 1;
                change.audit(caller, Verb::Update, project, "ok")?;
                Ok(true)
            })
            .await?;
        Ok(Operation::clone(&operation))
    }
}

/// Carries out the operations that are asked for and not ended: also those that a crash interrupted, from their start,
/// since a backup that was cut short is worth nothing.
pub(crate) async fn run(view: View, writer: Writer, data_dir: PathBuf) {
    let mut follower = view.follow(view.revision());
    loop {
        let open: Vec<Uid> = view.read(|t| {
            let open = |o: &&std::sync::Arc<Operation>| o.spec.kind == KIND && !o.status.state.ended();
            t.operations.iter().filter(open).map(|o| o.metadata.uid).collect()
        });
        for uid in open {
            if let Err(e) = step(&view, &writer, &data_dir, uid).await {
                tracing::error!(error = %e, operation = %uid, "an operation could not be written down");
            }
        }
        match follower.next().await {
            Ok(_) => {}
            Err(e) if e.code == base::Code::Gone => follower.skip_to_now(),
            Err(_) => return,
        }
    }
}

async fn step(view: &View, writer: &Writer, data_dir: &Path, uid: Uid) -> Result<()> {
    let Some(operation) = view.by_uid::<Operation>(uid) else { return Ok(()) };
    if operation.spec.cancelled {
        return end(writer, uid, OperationState::Cancelled, Ok(json!(null))).await;
    }
    set_state(writer, uid, OperationState::Running).await?;
    match backup(writer, data_dir, &operation).await {
        Ok(path) => end(writer, uid, OperationState::Succeeded, Ok(json!({ "path": path }))).await,
        Err(e) => end(writer, uid, OperationState::Failed, Err(e)).await,
    }
}

async fn backup(writer: &Writer, data_dir: &Path, operation: &Operation) -> Result<PathBuf> {
    let dir = data_dir.join("backups");
    rt::files::private_dir(&dir)?;
    let path = dir.join(format!("{}.db", operation.metadata.name));
    // What an attempt before a crash left is not a backup.
    for leftover in [path.clone(), store::sqlite::manifest_path(&path)] {
        match std::fs::remove_file(&leftover) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::io(format_args!("remove {}", leftover.display()), &e));
            }
            _ => {}
        }
    }
    writer.store().backup(&path).await?;
    Ok(path)
}

async fn set_state(writer: &Writer, uid: Uid, state: OperationState) -> Result<()> {
    let set = |operation: &mut Operation, _: &mut crate::change::Change<'_>| {
        operation.status.state = state;
        operation.status.steps.iter_mut().for_each(|s| s.state = state);
        Ok(true)
    };
    writer.update::<Operation>(uid, set).await.map(|_| ())
}

pub(crate) async fn end(
    writer: &Writer,
    uid: Uid,
    state: OperationState,
    result: Result<serde_json::Value>,
) -> Result<()> {
    let set = |operation: &mut Operation, change: &mut crate::change::Change<'_>| {
        let status = &mut operation.status;
        status.state = state;
        status.steps.iter_mut().for_each(|s| s.state = state);
        status.ended_at = Some(rt::clock::wall());
        match &result {
            Ok(value) => status.result = Some(value.clone()).filter(|v| !v.is_null()),
            Err(e) => status.error = Some(e.clone()),
        }
        let message =
            result.as_ref().map_or_else(ToString::to_string, |_| format!("{} ended", operation.spec.kind));
        change.event("operation", &operation.metadata, &format!("{state:?}"), message)?;
        Ok(true)
    };
    writer.update::<Operation>(uid, set).await.map(|_| ())
}
