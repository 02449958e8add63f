//! Prometheus metrics: what requests took, and what the cluster is like at the moment of asking.

use api::{Vm, VmPhase, routes::Route};
use axum::http::StatusCode;
use base::{Error, Result};
use controller::Controller;
use metrics::{counter, gauge, histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use std::{sync::OnceLock, time::Duration};

static HANDLE: OnceLock<Option<PrometheusHandle>> = OnceLock::new();

/// Bounds of the request times, in seconds.
const BOUNDS: [f64; 12] = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0, 30.0];

/// One recorder serves a process, however many servers run in it.
fn handle() -> Option<&'static PrometheusHandle> {
    HANDLE
        .get_or_init(|| {
            let matcher = Matcher::Full("hostler_http_request_seconds".into());
            PrometheusBuilder::new().set_buckets_for_metric(matcher, &BOUNDS).ok()?.install_recorder().ok()
        })
        .as_ref()
}

/// Counts an answered request.
pub(crate) fn count(route: &Route, status: StatusCode, took: Duration) {
    if handle().is_none() {
        return;
    }
    let (route, code) = (route.id.as_str(), status.as_str().to_owned());
    counter!("hostler_http_requests_total", "route" => route, "code" => code).increment(1);
    histogram!("hostler_http_request_seconds", "route" => route).record(took.as_secs_f64());
}

/// The metrics as text.
pub(crate) fn render(controller: &Controller) -> Result<String> {
    let handle =
        handle().ok_or_else(|| Error::unavailable("metrics are recorded by another part of this process"))?;
    cluster(controller);
    handle.run_upkeep();
    Ok(handle.render())
}

#[allow(clippy::cast_precision_loss)] // counts
fn cluster(controller: &Controller) {
    let (phases, workers, online) = controller.view().read(|t| {
        let phases: Vec<VmPhase> = t.vms.iter().map(|vm: &std::sync::Arc<Vm>| vm.status.phase).collect();
        (phases, t.workers.len(), t.workers.iter().filter(|w| w.status.online).count())
    });
    for phase in VmPhase::ALL {
        let n = phases.iter().filter(|p| **p == phase).count();
        gauge!("hostler_vm_state", "state" => phase.as_str()).set(n as f64);
    }
    gauge!("hostler_workers", "state" => "online").set(online as f64);
    gauge!("hostler_workers", "state" => "offline").set((workers - online) as f64);
    gauge!("hostler_scheduler_pending").set(controller.waiting() as f64);
    gauge!("hostler_links").set(controller.links().connected() as f64);
    gauge!("hostler_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
}
