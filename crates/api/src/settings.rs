//! Cluster settings: one object.

use crate::meta::{Empty, Object};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The cluster's settings.
pub type Settings = Object<SettingsSpec, Empty>;

/// The name of the only settings object.
pub const SETTINGS_NAME: &str = "cluster";

/// What an admin sets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct SettingsSpec {
    /// How workers are filled.
    pub placement_profile: PlacementProfile,
    /// Seconds without a link after which a worker's VMs are `Unknown`. Nothing else happens to them.
    pub worker_offline_seconds: u64,
    /// Seconds after which a VM that others were placed before gets a reservation.
    pub reservation_after_seconds: u64,
    /// Networks that code of fleet directories may reach although they are the controller's host's own: `127.0.0.0/8`,
    /// link-local ones. The controller itself is never reached.
    #[schema(value_type = Vec<String>)]
    pub runner_networks: Vec<IpNet>,
    /// Operations with fleet directories that run at the same time.
    pub runners: u32,
    /// What each of these operations may use, all its processes together. One that uses more is ended.
    pub runner_limits: RunnerLimits,
    /// How long records are kept.
    pub retention: Retention,
}

impl Default for SettingsSpec {
    fn default() -> Self {
        SettingsSpec {
            placement_profile: PlacementProfile::default(),
            worker_offline_seconds: 60,
            reservation_after_seconds: 60,
            runner_networks: Vec::new(),
            runners: 4,
            runner_limits: RunnerLimits::default(),
            retention: Retention::default(),
        }
    }
}

/// How workers are filled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum PlacementProfile {
    /// The fullest worker that fits: leaves room for large VMs.
    #[default]
    Pack,
    /// The emptiest worker: spreads load.
    Spread,
}

/// What an operation with a fleet directory may use, all its processes together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct RunnerLimits {
    /// Memory in MiB, with that of its files in `/tmp`.
    pub memory_mib: u32,
    /// Processors that it may keep busy at a time.
    pub cpus: u32,
    /// Seconds of CPU time.
    pub cpu_seconds: u32,
    /// Processes and threads at a time.
    pub processes: u32,
    /// Seconds from its begin to its end.
    pub time_seconds: u32,
}

impl Default for RunnerLimits {
    fn default() -> Self {
        RunnerLimits { memory_mib: 4096, cpus: 2, cpu_seconds: 1800, processes: 512, time_seconds: 7200 }
    }
}

/// How long records are kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Retention {
    /// Days that events are kept.
    pub event_days: u32,
    /// Events kept per object.
    pub events_per_object: u32,
    /// Days that ended operations are kept.
    pub operation_days: u32,
    /// Hours that idempotency keys are kept.
    pub idempotency_hours: u32,
    /// Days that audit records are kept.
    pub audit_days: u32,
}

impl Default for Retention {
    fn default() -> Self {
        Retention {
            event_days: 7,
            events_per_object: 1000,
            operation_days: 7,
            idempotency_hours: 24,
            audit_days: 90,
        }
    }
}
