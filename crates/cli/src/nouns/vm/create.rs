//! `hostler vm create`.

use super::{flags::SpecFlags, wait_for};
use crate::{
    Result,
    app::App,
    complete,
    failure::OK,
    nouns::{
        merge::merge,
        objects::{WaitArgs, changed},
    },
    parse::{self, InProject},
    rows,
};
use api::{NewObject, Vm, VmSpec, query::CreateVmQuery, routes::RouteId, vm::PlacementPreview};
use base::{ByteSize, Error, Name};
use clap::Args;
use client::wait::Goal;
use serde_json::json;

/// Make a VM.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:\n  hostler vm create web --image tiny --wait\n  \
                        hostler vm create ci-42 --image debian-13 --cpus 4 --memory 8GiB --ephemeral --ttl 2h\n  \
                        hostler vm create big --image tiny --memory 64GiB --dry-run")]
pub struct Create {
    /// Its name, or NAME.PROJECT
    #[arg(value_parser = parse::in_project)]
    pub name: InProject,
    /// What it starts from
    #[arg(long, short = 'i', value_name = "IMAGE", value_parser = parse::name, add = complete::images())]
    pub image: Name,
    /// The disk; the image's size where that is larger [default: 2GiB]
    #[arg(long, value_name = "SIZE", value_parser = parse::size)]
    pub disk: Option<ByteSize>,
    /// amd64 or arm64 [default: the image's]
    #[arg(long)]
    pub arch: Option<String>,
    /// linux or macos [default: the image's]
    #[arg(long)]
    pub os: Option<String>,
    /// qemu or synthetic [default: what the image needs]
    #[arg(long)]
    pub runtime: Option<String>,
    /// A label; repeat it for several
    #[arg(long = "label", short = 'l', value_name = "KEY=VALUE", value_parser = parse::pair)]
    pub labels: Vec<(String, String)>,
    /// Do not start it
    #[arg(long)]
    pub stopped: bool,
    /// Give it no key of the context
    #[arg(long)]
    pub no_ssh_key: bool,
    /// Only say where it would go
    #[arg(long)]
    pub dry_run: bool,
    /// What can be changed later.
    #[command(flatten)]
    pub spec: SpecFlags,
    /// Whether to wait.
    #[command(flatten)]
    pub wait: WaitArgs,
}

impl Create {
    pub async fn run(self, app: &App) -> Result {
        let key = app.key(&self.name)?;
        let project = key.project.clone().unwrap_or_default();
        let new = self.body(app)?;
        let client = app.client()?;
        if self.dry_run {
            let call = client.call(RouteId::CreateVm, &[&project]).query(&CreateVmQuery { dry_run: true });
            return preview(app, &key.name, &call.json(&new).send().await?);
        }
        let made: Vm = client.create(Some(&project), &new).await?;
        if !self.wait.wait {
            return changed(app, &made, "created");
        }
        app.printer.note(&format!("VM {} created", key.name));
        let goal = if self.stopped { Goal::Placed } else { Goal::Ready };
        match wait_for(app, &key, goal, &self.wait).await? {
            Some(vm) if app.printer.format.is_data() => rows::one(app, &vm)?,
            Some(vm) => {
                changed(app, &vm, if self.stopped { "has a worker" } else { "is ready" })?;
            }
            None => {}
        }
        Ok(OK)
    }

    fn body(&self, app: &App) -> Result<NewObject<VmSpec>> {
        let mut patch = self.spec.patch()?;
        if self.spec.ssh_keys.is_empty() && !self.no_ssh_key {
            let key = app.context()?.and_then(|c| c.ssh_public_key);
            merge(&mut patch, key.map_or_else(|| json!({}), |k| json!({"guest": {"authorizedKeys": [k]}})));
        }
        let mut more = json!({
            "image": self.image, "arch": self.arch, "os": self.os, "runtime": self.runtime,
            "power": if self.stopped { "Stopped" } else { "Running" },
        });
        if let Some(disk) = self.disk {
            merge(&mut more, json!({ "disk": disk }));
        }
        merge(&mut patch, more);
        let spec = serde_json::from_value(patch)
            .map_err(|e| Error::invalid("vm create", "these flags do not make a VM").because(e))?;
        Ok(NewObject { name: self.name.name.clone(), labels: self.labels.iter().cloned().collect(), spec })
    }
}

/// Where it would go: on stdout the worker; why it would wait, as a sentence with what would change that.
fn preview(app: &App, name: &str, preview: &PlacementPreview) -> Result {
    if app.printer.format.is_data() {
        app.printer.value(preview)?;
        return Ok(OK);
    }
    match (&preview.worker, &preview.pending) {
        (Some(worker), _) => app.printer.line(&format!("{name} would go to {worker}")),
        (None, Some(pending)) => app.printer.line(&format!("{name} would wait: {pending}")),
        (None, None) => app.printer.line(&format!("{name} would wait")),
    }
    if let Some(fix) = &preview.fix {
        app.printer.note(&format!("hint: {fix}"));
    }
    Ok(OK)
}
