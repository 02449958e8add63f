//! VMs as rows.

use crate::{
    rows::{Row, labels, or_dash, runtime},
    table::{Column, col, wide},
    when,
};
use api::Vm;
use client::Key;

impl Row for Vm {
    const COLUMNS: &'static [Column] = &[
        col("NAME"),
        col("PROJECT"),
        col("PHASE"),
        col("IMAGE"),
        col("CPUS"),
        col("MEMORY"),
        wide("DISK"),
        col("WORKER"),
        wide("RUNTIME"),
        wide("RESTARTS"),
        wide("LABELS"),
        wide("UID"),
        col("AGE"),
        col("MESSAGE"),
    ];
    fn cells(&self) -> Vec<String> {
        let (m, spec, status) = (&self.metadata, &self.spec, &self.status);
        vec![
            m.name.to_string(),
            or_dash(m.project.as_ref().map(ToString::to_string).unwrap_or_default()),
            status.phase.as_str().to_owned(),
            spec.image.to_string(),
            spec.cpus.to_string(),
            spec.memory.to_string(),
            spec.disk.to_string(),
            or_dash(status.worker.as_ref().map(|w| w.name.to_string()).unwrap_or_default()),
            runtime(&status.runtime, &status.acceleration),
            status.restart_count.to_string(),
            labels(&m.labels),
            m.uid.to_string(),
            when::age(m.created_at, rt::clock::wall()),
            or_dash(&status.message),
        ]
    }
    fn name(&self) -> String {
        Key::of(&self.metadata).short()
    }
}
