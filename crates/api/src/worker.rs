//! Workers: hosts of the pool.

use crate::meta::{Condition, Labels, Object};
use base::{ByteSize, Name, Uid};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// A host of the pool.
pub type Worker = Object<WorkerSpec, WorkerStatus>;

/// What an operator wants of a worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct WorkerSpec {
    /// No VM is placed here any more; those that are stay.
    pub cordoned: bool,
    /// CPUs sold per CPU there is, in thousandths: 1000 is none twice.
    pub cpu_ratio_permille: u32,
    /// Labels that VMs ask for (`workerLabels`), beside those the worker tells of itself.
    pub labels: Labels,
}

impl Default for WorkerSpec {
    fn default() -> Self {
        WorkerSpec { cordoned: false, cpu_ratio_permille: 1000, labels: BTreeMap::new() }
    }
}

/// What was seen of a worker.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct WorkerStatus {
    /// Whether its link is up.
    pub online: bool,
    /// When its link was last up. Kept in memory while online.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_seen: Option<Timestamp>,
    /// What the host is.
    pub host: HostFacts,
    /// What VMs may use: detected minus the reserve.
    pub allocatable: Amounts,
    /// What VMs are charged now. Filled in on reading.
    pub reserved: Amounts,
    /// Images it holds, by uid.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<Uid>,
    /// SHA-256 of the token with which it fetches images. Never answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_hash: Option<base::Secret>,
    /// SHA-256 of its public key, by which it is known again when it joins again.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub key: String,
    /// VMs that run there and that nobody asked for: kept, until one adopts or removes them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unclaimed: Vec<Unclaimed>,
    /// `Online`, `Healthy`.
    pub conditions: Vec<Condition>,
}

/// What a worker tells of its host when it connects.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct HostFacts {
    /// `amd64` or `arm64`.
    pub arch: String,
    /// `linux` or `macos`.
    pub os: String,
    /// The host's own name.
    pub hostname: String,
    /// Changes with each boot of the host.
    pub boot_id: String,
    /// The worker program's version.
    pub version: String,
    /// What was detected.
    pub capacity: Amounts,
    /// What is kept back for the host itself.
    pub reserve: Amounts,
    /// Labels from the worker's command line.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: Labels,
    /// How it can run VMs.
    pub runtimes: Vec<RuntimeFacts>,
    /// Spec features this worker understands.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub capabilities: Vec<String>,
    /// macOS guests it may run at once (two on macOS hosts, by Apple's licence).
    pub macos_guests: u32,
}

/// One way to run VMs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct RuntimeFacts {
    /// `qemu` or `synthetic`.
    pub name: String,
    /// The version of the hypervisor.
    pub version: String,
    /// Architectures of guests it runs.
    pub arches: Vec<String>,
    /// `kvm`, `hvf` or `tcg`.
    pub acceleration: String,
    /// Why no better acceleration, in one sentence; empty where there is nothing to say.
    pub message: String,
    /// Memory it needs beside the guest's, per VM.
    pub memory_overhead: ByteSize,
}

/// Amounts of what VMs use up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Amounts {
    /// CPUs, in thousandths.
    pub cpu_milli: u64,
    /// Memory, in bytes.
    pub memory: ByteSize,
    /// Disk, in bytes.
    pub disk: ByteSize,
    /// Named resources.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub named: BTreeMap<String, u64>,
}

/// A VM on a worker that no object of the store knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Unclaimed {
    /// Its uid.
    pub uid: Uid,
    /// Its epoch.
    pub epoch: u64,
    /// The name it was started with.
    pub name: Name,
    /// The project it was started in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<Name>,
    /// Whether it runs.
    pub running: bool,
}

/// The body that adopts an unclaimed VM.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct AdoptRequest {
    /// Its new name; by default the one it was started with.
    pub name: Option<Name>,
    /// Its project; by default the one it was started in.
    pub project: Option<Name>,
}

/// What a new worker sends with its join token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct JoinRequest {
    /// The token's text.
    pub token: base::Secret,
    /// The name it wants.
    pub name: Name,
    /// A PKCS #10 request, PEM, for the worker's own key.
    pub csr: String,
}

/// What a new worker gets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct JoinAnswer {
    /// The worker's uid.
    pub uid: Uid,
    /// Its certificate, PEM.
    pub certificate: String,
    /// The CA's certificate, PEM.
    pub ca: String,
    /// A bearer token of the role `worker`: with it the worker fetches images over the ordinary API.
    pub token: base::Secret,
}
