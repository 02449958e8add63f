//! `hostler worker`.

use super::{
    merge,
    objects::{self, ListArgs, done, for_each},
    project::keys,
};
use crate::{
    Daemons, Result, WorkerOptions,
    app::App,
    complete, env,
    failure::OK,
    parse,
    rows::{self, Row, labels, or_dash, runtime},
    table::{Column, col, wide},
    when,
};
use api::{
    JoinToken, JoinTokenSpec, NewObject, Patch, Vm, Worker,
    query::DeleteWorkerQuery,
    routes::RouteId,
    worker::{AdoptRequest, Amounts, Unclaimed},
};
use base::{ByteSize, Name, Uid};
use clap::{Args, Subcommand};
use client::Key;
use serde_json::json;
use std::path::PathBuf;

/// Workers: hosts of the pool.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List workers
    #[command(visible_alias = "ls")]
    List(ListArgs),
    /// Show workers
    Get(Names),
    /// Place no more VMs there; those that run stay
    Cordon(Names),
    /// Place VMs there again
    Uncordon(Names),
    /// Set (KEY=VALUE) and remove (KEY-) labels
    Label {
        /// The worker
        #[arg(value_parser = parse::name, add = complete::workers())]
        name: Name,
        /// What to set or remove
        #[arg(required = true, value_name = "KEY=VALUE|KEY-")]
        changes: Vec<String>,
    },
    /// Change how many CPUs are sold per CPU
    CpuRatio {
        /// The worker
        #[arg(value_parser = parse::name, add = complete::workers())]
        name: Name,
        /// For example 2 or 1.5
        ratio: f64,
    },
    /// Forget a worker
    #[command(visible_alias = "forget")]
    Delete {
        /// Their names
        #[arg(required = true, value_parser = parse::name, add = complete::workers())]
        names: Vec<Name>,
        /// It will never come back, and its VMs are dead: only then may they be placed elsewhere
        #[arg(long)]
        confirm_dead: bool,
    },
    /// VMs that run on a worker and that the controller does not know
    #[command(subcommand)]
    Unclaimed(UnclaimedCommand),
    /// Tokens with which hosts join
    #[command(subcommand, visible_alias = "tokens", alias = "join-token")]
    Token(TokenCommand),
    /// Be a worker: join a controller and run its VMs
    Run(Run),
}

/// Workers by name.
#[derive(Args, Clone, Debug)]
pub struct Names {
    /// Their names
    #[arg(required = true, value_name = "NAME", value_parser = parse::name, add = complete::workers())]
    pub names: Vec<Name>,
}

/// VMs that nobody asked for.
#[derive(Debug, Subcommand)]
pub enum UnclaimedCommand {
    /// List them, of one worker or of all
    #[command(visible_alias = "ls")]
    List {
        /// The worker
        #[arg(value_parser = parse::name, add = complete::workers())]
        worker: Option<Name>,
    },
    /// Make one an object again; it keeps running
    Adopt {
        /// The worker
        #[arg(value_parser = parse::name, add = complete::workers())]
        worker: Name,
        /// The VM's uid
        uid: Uid,
        /// A new name
        #[arg(long, value_parser = parse::name)]
        name: Option<Name>,
    },
    /// Remove one, disk and all
    Remove {
        /// The worker
        #[arg(value_parser = parse::name, add = complete::workers())]
        worker: Name,
        /// The VM's uid
        uid: Uid,
    },
}

/// Tokens with which hosts join.
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Make one and print it, once
    Create {
        /// Its name; by default a new one
        #[arg(value_parser = parse::name)]
        name: Option<Name>,
        /// How many hosts may use it
        #[arg(long, default_value_t = 1, value_name = "N")]
        uses: u32,
        /// After this time nobody may use it
        #[arg(long, default_value = "24h", value_name = "TIME", value_parser = parse::seconds)]
        ttl: u64,
    },
    /// List them
    #[command(visible_alias = "ls")]
    List(ListArgs),
    /// End them
    #[command(visible_alias = "rm")]
    Delete(Names),
}

/// `hostler worker run`.
#[derive(Args, Clone, Debug)]
pub struct Run {
    /// The controller, for example https://controller:6120; not needed once the worker has joined
    pub controller: Option<String>,
    /// A file with the join token; not needed once the worker has joined
    #[arg(long, value_name = "FILE")]
    pub join_token_file: Option<PathBuf>,
    /// Where its key, VMs and images are kept [default: $XDG_STATE_HOME/hostler/worker]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Its name [default: the host's]
    #[arg(long, value_parser = parse::name)]
    pub name: Option<Name>,
    /// A label; repeat it for several
    #[arg(long = "label", short = 'l', value_name = "KEY=VALUE", value_parser = parse::pair)]
    pub labels: Vec<(String, String)>,
    /// A named resource that it offers, for example gpu=2
    #[arg(long = "resource", value_name = "NAME=N", value_parser = parse::amount)]
    pub resources: Vec<(String, u64)>,
    /// CPUs kept back for the host, for example 0.5
    #[arg(long, value_name = "CPUS")]
    pub reserve_cpus: Option<f64>,
    /// Memory kept back for the host
    #[arg(long, value_name = "SIZE", value_parser = parse::size)]
    pub reserve_memory: Option<ByteSize>,
    /// Disk kept back for the host
    #[arg(long, value_name = "SIZE", value_parser = parse::size)]
    pub reserve_disk: Option<ByteSize>,
    /// Play VMs instead of running them
    #[arg(long)]
    pub synthetic: bool,
    /// End the process at a point that a test chose
    #[arg(long, hide = true)]
    pub failpoint: Option<String>,
}

impl Row for Worker {
    const COLUMNS: &'static [Column] = &[
        col("NAME"),
        col("STATE"),
        col("ARCH"),
        col("CPUS"),
        col("MEMORY"),
        col("DISK"),
        col("RUNTIMES"),
        wide("OS"),
        wide("VERSION"),
        wide("LABELS"),
        wide("UID"),
        col("AGE"),
        col("MESSAGE"),
    ];
    fn cells(&self) -> Vec<String> {
        let (m, status) = (&self.metadata, &self.status);
        let (used, all) = (&status.reserved, &status.allocatable);
        let runtimes: Vec<String> =
            status.host.runtimes.iter().map(|r| runtime(&r.name, &r.acceleration)).collect();
        let mut all_labels = status.host.labels.clone();
        all_labels.extend(self.spec.labels.clone());
        vec![
            m.name.to_string(),
            state(self),
            or_dash(&status.host.arch),
            format!("{}/{}", cpus(used), cpus(all)),
            format!("{}/{}", used.memory, all.memory),
            format!("{}/{}", used.disk, all.disk),
            or_dash(runtimes.join(",")),
            or_dash(&status.host.os),
            or_dash(&status.host.version),
            labels(&all_labels),
            m.uid.to_string(),
            when::age(m.created_at, rt::clock::wall()),
            or_dash(trouble(self)),
        ]
    }
    fn name(&self) -> String {
        self.metadata.name.to_string()
    }
}

/// What an operator should know first.
fn state(worker: &Worker) -> String {
    let mut words = vec![if worker.status.online { "Online" } else { "Offline" }];
    if worker.spec.cordoned {
        words.push("Cordoned");
    }
    if !worker.status.unclaimed.is_empty() {
        words.push("Unclaimed");
    }
    words.join(",")
}

fn trouble(worker: &Worker) -> String {
    let bad = worker.status.conditions.iter().filter(|c| !c.status);
    bad.map(|c| c.message.as_str()).collect::<Vec<_>>().join("; ")
}

/// CPUs from thousandths, without zeros at the end.
#[allow(clippy::cast_precision_loss)] // shown with at most three decimals
fn cpus(amounts: &Amounts) -> String {
    format!("{}", amounts.cpu_milli as f64 / 1000.0)
}

impl Row for JoinToken {
    const COLUMNS: &'static [Column] = &[col("NAME"), col("USED"), col("ENDS IN"), col("AGE")];
    fn cells(&self) -> Vec<String> {
        let m = &self.metadata;
        let age = u64::try_from(rt::clock::wall().as_second() - m.created_at.as_second()).unwrap_or(0);
        let left = self.spec.ttl_seconds.saturating_sub(age);
        vec![
            m.name.to_string(),
            format!("{}/{}", self.status.used, self.spec.uses),
            if left == 0 { "ended".into() } else { when::span(left) },
            when::span(age),
        ]
    }
    fn name(&self) -> String {
        self.metadata.name.to_string()
    }
}

/// An unclaimed VM with the worker that it runs on.
#[derive(Debug, serde::Serialize)]
struct UnclaimedRow {
    worker: Name,
    #[serde(flatten)]
    vm: Unclaimed,
}

impl Row for UnclaimedRow {
    const COLUMNS: &'static [Column] =
        &[col("WORKER"), col("UID"), col("NAME"), col("PROJECT"), col("RUNNING"), wide("EPOCH")];
    fn cells(&self) -> Vec<String> {
        vec![
            self.worker.to_string(),
            self.vm.uid.to_string(),
            self.vm.name.to_string(),
            or_dash(self.vm.project.as_ref().map(ToString::to_string).unwrap_or_default()),
            self.vm.running.to_string(),
            self.vm.epoch.to_string(),
        ]
    }
    fn name(&self) -> String {
        self.vm.uid.to_string()
    }
}

impl Command {
    pub async fn run(self, app: &App, daemons: &dyn Daemons) -> Result {
        match self {
            Command::List(args) => objects::list::<Worker>(app, None, &args).await,
            Command::Get(args) => objects::get::<Worker>(app, &keys(&args.names)).await,
            Command::Cordon(args) => cordon(app, &args.names, true).await,
            Command::Uncordon(args) => cordon(app, &args.names, false).await,
            Command::Label { name, changes } => {
                let spec = json!({ "labels": merge::labels(&changes)? });
                patch(app, &name, spec, "labelled").await
            }
            Command::CpuRatio { name, ratio } => {
                let permille = thousandths(ratio, "RATIO")?;
                patch(app, &name, json!({ "cpuRatioPermille": permille }), "changed").await
            }
            Command::Delete { names, confirm_dead } => delete(app, &names, confirm_dead).await,
            Command::Unclaimed(command) => command.run(app).await,
            Command::Token(command) => command.run(app).await,
            Command::Run(args) => {
                daemons.worker(args.options()?).await?;
                Ok(OK)
            }
        }
    }
}

async fn patch(app: &App, name: &Name, spec: serde_json::Value, what: &str) -> Result {
    let patch = Patch { labels: None, spec: Some(spec) };
    let worker: Worker = app.client()?.patch(&Key::cluster(name.as_str()), &patch).await?;
    objects::changed(app, &worker, what)
}

async fn cordon(app: &App, names: &[Name], cordoned: bool) -> Result {
    let client = app.client()?;
    let patch = Patch { labels: None, spec: Some(json!({ "cordoned": cordoned })) };
    for_each(app, &keys(names), async |key| {
        client.patch::<Worker>(key, &patch).await?;
        done(app, "worker", key, if cordoned { "cordoned" } else { "takes VMs again" });
        Ok(())
    })
    .await
}

async fn delete(app: &App, names: &[Name], confirm_dead: bool) -> Result {
    let client = app.client()?;
    for_each(app, &keys(names), async |key| {
        let call =
            client.call(RouteId::DeleteWorker, &[&key.name]).query(&DeleteWorkerQuery { confirm_dead });
        call.send_optional::<serde_json::Value>().await?;
        done(app, "worker", key, "forgotten");
        Ok(())
    })
    .await
}

impl UnclaimedCommand {
    async fn run(self, app: &App) -> Result {
        let client = app.client()?;
        match self {
            UnclaimedCommand::List { worker } => {
                let workers = match worker {
                    Some(name) => vec![client.get::<Worker>(&Key::cluster(name.as_str())).await?],
                    None => client.list_all(None, &ListArgs::default().query()).await?.0,
                };
                let of = |w: Worker| {
                    let name = w.metadata.name;
                    w.status.unclaimed.into_iter().map(move |vm| UnclaimedRow { worker: name.clone(), vm })
                };
                let items: Vec<UnclaimedRow> = workers.into_iter().flat_map(of).collect();
                rows::list(app, &items, None, "unclaimed VMs")?;
                Ok(OK)
            }
            UnclaimedCommand::Adopt { worker, uid, name } => {
                let request = AdoptRequest { name, project: app.global.project.clone() };
                let call = client.call(RouteId::AdoptVm, &[worker.as_str(), &uid.to_string()]).json(&request);
                objects::changed::<Vm>(app, &call.send().await?, "adopted")
            }
            UnclaimedCommand::Remove { worker, uid } => {
                let question = format!("Remove VM {uid} from {worker}, disk and all?");
                app.confirm(&question)?;
                let call = client.call(RouteId::RemoveUnclaimed, &[worker.as_str(), &uid.to_string()]);
                call.send_optional::<serde_json::Value>().await?;
                done(app, "unclaimed VM", &Key::cluster(uid.to_string()), "removed");
                Ok(OK)
            }
        }
    }
}

impl TokenCommand {
    async fn run(self, app: &App) -> Result {
        match self {
            TokenCommand::Create { name, uses, ttl } => create_token(app, name, uses, ttl).await,
            TokenCommand::List(args) => objects::list::<JoinToken>(app, None, &args).await,
            TokenCommand::Delete(args) => objects::delete::<JoinToken>(app, &keys(&args.names)).await,
        }
    }
}

/// The token alone goes to stdout, so that `> token` makes a token file.
async fn create_token(app: &App, name: Option<Name>, uses: u32, ttl_seconds: u64) -> Result {
    let random = format!("join-{:08x}", u32::from_le_bytes(rt::ids::random_bytes()));
    let name = name.map_or_else(|| parse::name(&random).map_err(base::Error::internal), Ok)?;
    let client = app.client()?;
    let spec = JoinTokenSpec { uses, ttl_seconds };
    let new = NewObject { name, labels: std::collections::BTreeMap::new(), spec };
    let token: JoinToken = client.create(None, &new).await?;
    if app.printer.format.is_data() {
        return objects::changed(app, &token, "created");
    }
    let text = token.status.token.as_ref().ok_or_else(|| base::Error::internal("the answer has no token"))?;
    app.printer.note(&format!("join token {} created; this is shown once:", token.metadata.name));
    app.printer.line(text.expose_secret());
    app.printer.note(&format!("on the new host: hostler worker run {} --join-token-file FILE", client.url()));
    Ok(OK)
}

impl Run {
    fn options(self) -> Result<WorkerOptions> {
        Ok(WorkerOptions {
            url: self.controller,
            join_token_file: self.join_token_file,
            data_dir: env::data_dir(self.data_dir, "worker")?,
            name: self.name.map(|n| n.to_string()),
            labels: self.labels.into_iter().collect(),
            resources: self.resources.into_iter().collect(),
            reserve_cpu_milli: self.reserve_cpus.map(|n| thousandths(n, "--reserve-cpus")).transpose()?,
            reserve_memory: self.reserve_memory,
            reserve_disk: self.reserve_disk,
            synthetic: self.synthetic,
            failpoint: self.failpoint,
        })
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // the range is checked before
fn thousandths(n: f64, flag: &str) -> Result<u64> {
    if n.is_finite() && (0.0..1e6).contains(&n) {
        return Ok((n * 1000.0).round() as u64);
    }
    Err(base::Error::invalid(flag, format!("{n} is out of range")).hint("use 0 to 1000000").into())
}
