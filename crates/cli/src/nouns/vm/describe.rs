//! `hostler vm describe`.

use crate::{
    Result,
    app::App,
    failure::OK,
    parse::InProject,
    rows::{Rows, labels, runtime},
    when,
};
use api::{Event, Vm, query::RecordQuery};
use serde::Serialize;

/// A VM with its events.
#[derive(Debug, Serialize)]
struct Described {
    vm: Vm,
    events: Vec<Event>,
}

/// Shows all that is known of a VM, with its last events.
pub async fn run(app: &App, name: &InProject) -> Result {
    let key = app.key(name)?;
    let client = app.client()?;
    let vm: Vm = client.get(&key).await?;
    let query = RecordQuery {
        last: Some(20),
        project: key.project.clone(),
        kind: Some("vm".into()),
        name: Some(key.name.clone()),
        ..RecordQuery::default()
    };
    let mut events: Vec<Event> = client.records(&query).await?;
    events.retain(|e| e.uid == vm.metadata.uid);
    if app.printer.format.is_data() {
        app.printer.value(&Described { vm, events })?;
        return Ok(OK);
    }
    describe(app, &vm);
    if !events.is_empty() {
        app.printer.line("\nEvents");
        Rows::begin(app, &events);
    }
    Ok(OK)
}

fn describe(app: &App, vm: &Vm) {
    let (m, spec, status) = (&vm.metadata, &vm.spec, &vm.status);
    let now = rt::clock::wall();
    let line = |label: &str, value: String| {
        if !value.is_empty() && value != "-" {
            app.printer.line(&format!("{label:<12} {value}"));
        }
    };
    line("Name", m.name.to_string());
    line("Project", m.project.as_ref().map(ToString::to_string).unwrap_or_default());
    line("Uid", m.uid.to_string());
    line("Phase", status.phase.as_str().to_owned());
    line("Message", status.message.clone());
    line("Fix", status.fix.clone().unwrap_or_default());
    line("Worker", status.worker.as_ref().map(|w| w.name.to_string()).unwrap_or_default());
    line("Image", spec.image.to_string());
    line("Size", format!("{} CPUs, {} memory, {} disk", spec.cpus, spec.memory, spec.disk));
    line("Runtime", runtime(&status.runtime, &status.acceleration));
    line("Process", status.pid.map(|p| p.to_string()).unwrap_or_default());
    line("Labels", labels(&m.labels));
    line("Restarts", format!("{} ({:?})", status.restart_count, spec.restart_policy));
    line("Created", format!("{} ago", when::age(m.created_at, now)));
    line("Started", status.started_at.map(|t| format!("{} ago", when::age(t, now))).unwrap_or_default());
    line("Ready", status.ready_at.map(|t| format!("{} ago", when::age(t, now))).unwrap_or_default());
    for condition in &status.conditions {
        let holds = if condition.status { "yes" } else { "no" };
        let since = when::age(condition.since, now);
        line(&condition.kind, format!("{holds}, {} for {since}: {}", condition.reason, condition.message));
    }
}
