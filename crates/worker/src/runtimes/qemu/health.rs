//! What goes wrong inside a running machine.

use super::{qmp::Qmp, run::Run, vm::Vm};
use rt::clock;
use serde_json::json;
use std::{future::pending, time::Duration};
use tokio::sync::broadcast::error::RecvError;

/// How often a paused machine is tried again.
const RETRY: Duration = Duration::from_secs(5);
/// With less free space it would only pause again.
const ENOUGH: u64 = 64 << 20;

/// Watches a run for as long as it is polled. QEMU pauses a guest that writes to a full disk: that is said, and the guest
/// goes on as soon as there is space.
pub(super) async fn watch(vm: &Vm, run: &Run) {
    if let Ok(qmp) = run.qmp().await {
        listen(vm, run, &qmp).await;
    }
    pending::<()>().await;
}

async fn listen(vm: &Vm, run: &Run, qmp: &Qmp) {
    let mut events = qmp.events();
    loop {
        // Asked each time: one full disk makes many events, and an agent that comes later gets none.
        let status = qmp.call("query-status", json!({})).await.unwrap_or_default();
        if status["status"] == "io-error" {
            resume(vm, run, qmp).await;
        }
        loop {
            match events.recv().await {
                Ok(e) if e.name == "BLOCK_IO_ERROR" && e.data["action"] == "stop" => break,
                Ok(_) | Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return,
            }
        }
    }
}

async fn resume(vm: &Vm, run: &Run, qmp: &Qmp) {
    let dir = vm.dir().path();
    vm.update(run.number, |o| {
        o.message = format!(
            "paused: the disk of the worker is full; free space on the file system of {}",
            dir.display()
        );
    });
    while rt::files::disk_space(dir).is_ok_and(|(free, _)| free < ENOUGH) {
        clock::sleep(RETRY).await;
    }
    if qmp.call("cont", json!({})).await.is_ok() {
        vm.update(run.number, |o| o.message.clear());
    }
}
