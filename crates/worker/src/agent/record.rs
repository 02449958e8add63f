//! What the agent remembers of each VM, beside what the runtime knows: one small file per VM.

use super::keeper::Keeper;
use api::{access::DEFAULT_PROJECT, assignment::Assignment, vm::VmPhase};
use base::{Error, Name, Result, Uid};
use images::Digest;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The version of this file.
const VERSION: u32 = 1;

/// A VM's past on this host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// The version of this record.
    pub version: u32,
    /// The VM.
    pub uid: Uid,
    /// The placement that was last acted on.
    pub epoch: u64,
    /// Its name.
    pub name: Name,
    /// Its project.
    pub project: Name,
    /// The runtime that has it.
    #[serde(default)]
    pub runtime: String,
    /// The files of the image it was made from: they stay as long as this record.
    #[serde(default)]
    pub parts: Vec<Digest>,
    /// The generation of the spec last acted on.
    #[serde(default)]
    pub generation: u64,
    /// Starts after the first.
    #[serde(default)]
    pub restart_count: u64,
    /// The last `spec.restarts` carried out.
    #[serde(default)]
    pub restarts_done: u64,
    /// Whether it was ever started here.
    #[serde(default)]
    pub started: bool,
    /// The run whose guest has answered.
    #[serde(default)]
    pub ready_run: u64,
    /// When it did.
    #[serde(default)]
    pub ready_at: Option<Timestamp>,
    /// The run whose startup script has ended well.
    #[serde(default)]
    pub script_run: u64,
    /// The run whose end was taken note of.
    #[serde(default)]
    pub settled_run: u64,
    /// Why it rests although it should run.
    #[serde(default)]
    pub rest: Option<Rest>,
    /// The host key of a guest without a seed, as it was first seen.
    #[serde(default)]
    pub host_key: Option<String>,
}

/// A state that only a person ends: by a restart, or by stop and start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rest {
    /// `Stopped` or `Failed`.
    pub phase: VmPhase,
    /// In one word.
    pub reason: String,
    /// In one sentence.
    pub message: String,
}

impl Record {
    /// The record of a VM that was never here.
    pub fn new(assignment: &Assignment) -> Self {
        Record::named(assignment.uid, assignment.name.clone(), assignment.project.clone())
    }

    /// The record of a VM of which only the runtime knows: it is called by its uid, which is a name too.
    pub fn unknown(uid: Uid) -> Result<Self> {
        let name =
            |text: &str| Name::new(text).map_err(|e| Error::internal("a name of ours is none").because(e));
        Ok(Record::named(uid, name(&uid.to_string())?, name(DEFAULT_PROJECT)?))
    }

    fn named(uid: Uid, name: Name, project: Name) -> Self {
        Record {
            version: VERSION,
            uid,
            epoch: 0,
            name,
            project,
            runtime: String::new(),
            parts: Vec::new(),
            generation: 0,
            restart_count: 0,
            restarts_done: 0,
            started: false,
            ready_run: 0,
            ready_at: None,
            script_run: 0,
            settled_run: 0,
            rest: None,
            host_key: None,
        }
    }

    fn key(uid: Uid) -> String {
        format!("records/{uid}.json")
    }

    /// Keeps it.
    pub async fn save(&self, keeper: &Keeper) -> Result<()> {
        keeper.save(&Record::key(self.uid), self).await
    }

    /// All that are kept.
    pub fn load_all(keeper: &Keeper) -> Result<Vec<Record>> {
        keeper.load_all("records", VERSION)
    }

    /// Forgets it.
    pub async fn forget(keeper: &Keeper, uid: Uid) -> Result<()> {
        keeper.forget(&Record::key(uid)).await
    }
}
