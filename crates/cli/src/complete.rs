//! Names for the shell's completion, asked from the cluster. A shell waits for the answer at each press of a key: what is
//! not there in time is left out, and nothing is ever said about a failure.

use crate::{
    app::{App, load_contexts},
    args::Global,
};
use api::{Image, Vm, Worker, query::ListQuery};
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate};
use client::{Key, Kind};
use std::{ffi::OsStr, time::Duration};

const BUDGET: Duration = Duration::from_millis(300);
/// More than anybody reads.
const MOST: u32 = 200;

/// Names of VMs of the current project.
pub fn vms() -> ArgValueCompleter {
    ArgValueCompleter::new(|typed: &OsStr| names::<Vm>(typed))
}

/// Names of workers.
pub fn workers() -> ArgValueCompleter {
    ArgValueCompleter::new(|typed: &OsStr| names::<Worker>(typed))
}

/// Names of images.
pub fn images() -> ArgValueCompleter {
    ArgValueCompleter::new(|typed: &OsStr| names::<Image>(typed))
}

/// Names of contexts.
pub fn contexts() -> ArgValueCompleter {
    ArgValueCompleter::new(|typed: &OsStr| {
        let names = load_contexts().map(|(_, c)| c.contexts.into_keys().collect()).unwrap_or_default();
        candidates(typed, names)
    })
}

fn names<K: Kind>(typed: &OsStr) -> Vec<CompletionCandidate> {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        return Vec::new();
    };
    let found = runtime.block_on(rt::clock::timeout(BUDGET, "completion", ask::<K>()));
    runtime.shutdown_background();
    candidates(typed, found.ok().and_then(Result::ok).unwrap_or_default())
}

async fn ask<K: Kind>() -> crate::Result<Vec<String>> {
    let app = App::new(Global::default());
    let (client, project) = (app.client()?, app.project()?);
    let query = ListQuery { limit: Some(MOST), ..ListQuery::default() };
    let page = client.page::<K>(Some(&project), &query).await?;
    Ok(page.items.iter().map(|o| Key::of(o.metadata())).map(|k| k.short()).collect())
}

fn candidates(typed: &OsStr, names: Vec<String>) -> Vec<CompletionCandidate> {
    let typed = typed.to_string_lossy();
    names.into_iter().filter(|n| n.starts_with(typed.as_ref())).map(CompletionCandidate::new).collect()
}
