//! `hostler dev`: a controller and its workers in one process, over the same link as in production. Its VMs end with it.

use crate::{
    control::{self, Running},
    work,
};
use api::{Image, ImageSpec, JoinTokenSpec, NewObject, image::ImageFormat, worker::Amounts};
use base::{ByteSize, Code, Error, Name, Result, Secret};
use cli::DevOptions;
use controller::{Caller, Principal};
use std::{collections::BTreeMap, path::Path, time::Duration};
use worker::agent::{AgentOptions, RunOptions, SYNTHETIC, Worker};

/// How long the guests have to end.
const GRACE: Duration = Duration::from_secs(5);

/// Runs until asked to end.
pub async fn run(options: DevOptions) -> Result<()> {
    if let Some(point) = &options.failpoint {
        rt::failpoint::arm(point);
    }
    if !options.listen.ip().is_loopback() {
        return Err(Error::invalid(
            "--listen",
            "a dev cluster speaks plain HTTP, and only on loopback addresses",
        )
        .hint("use 127.0.0.1:PORT, or run `hostler controller run` and `hostler worker run`"));
    }
    let running = control::start(&options.data_dir, options.listen, Vec::new(), true).await?;
    let token = control::bootstrap(&running, &options.data_dir).await?;
    let url = format!("http://{}", running.server.address());
    if !options.no_context {
        let (file, name) = (&options.config_file, &options.context);
        control::write_context(file, name, &running.controller, url.clone(), &token, true)?;
    }
    if options.synthetic {
        synthetic_image(&running).await?;
    }
    let workers = start_workers(&running, &options).await?;
    for worker in &workers {
        rt::clock::timeout(Duration::from_secs(30), "the link of a worker", worker.connected()).await?;
    }
    tracing::info!(%url, workers = workers.len(), "the dev cluster serves; Ctrl-C ends it and its VMs");
    let ended = async {
        cli::dev_ready(&options, &url, &token).await?;
        std::future::pending().await
    };
    let result = tokio::select! {
        signal = rt::task::shutdown_signal() => signal.map(|signal| tracing::info!(signal, "ending the VMs")),
        failed = ended => failed,
    };
    let ending = workers.into_iter().map(|w| w.stop_with_machines(GRACE));
    futures::future::join_all(ending).await;
    result
}

/// The principal of what the program itself does.
fn ourselves() -> Result<Caller> {
    Ok(Caller {
        principal: Principal {
            uid: rt::ids::uid(),
            name: name("hostler-dev")?,
            roles: Vec::new(),
            token_hash: None,
        },
        source: "local".into(),
        request_id: rt::ids::uid().to_string(),
        path: "dev".into(),
        idempotency: None,
        if_match: None,
    })
}

fn name(text: impl Into<String>) -> Result<Name> {
    Name::new(text).map_err(|e| Error::internal(e.to_string()))
}

async fn synthetic_image(running: &Running) -> Result<()> {
    let spec = ImageSpec {
        format: ImageFormat::Synthetic,
        arch: rt::host::arch().into(),
        os: "linux".into(),
        command_line: String::new(),
        user: "hostler".into(),
        seed: true,
        password: None,
        key: None,
    };
    if running.controller.get::<Image>(None, "synthetic").is_ok() {
        return Ok(());
    }
    let new = NewObject { name: name("synthetic")?, labels: BTreeMap::new(), spec };
    running.controller.create_image(&ourselves()?, new).await.map(|_| ())
}

async fn start_workers(running: &Running, options: &DevOptions) -> Result<Vec<Worker>> {
    let token = join_token(running, options.workers).await?;
    let starting = (1..=options.workers).map(|i| start_worker(running, options, &token, i));
    futures::future::try_join_all(starting).await
}

async fn start_worker(running: &Running, options: &DevOptions, token: &Secret, i: u32) -> Result<Worker> {
    let dir = options.data_dir.join("workers").join(i.to_string());
    let agent = agent_options(&dir, options)?;
    let url = format!("https://{}", running.server.address());
    Worker::start(RunOptions {
        agent,
        name: name(format!("dev-{i}"))?,
        url: Some(url),
        join_token: Some(token.clone()),
    })
    .await
}

/// Workers share this host's capacity out; synthetic ones have their own.
fn agent_options(dir: &Path, options: &DevOptions) -> Result<AgentOptions> {
    let mut agent = AgentOptions::new(dir, work::this_program()?);
    if options.synthetic {
        agent.runtimes = vec![SYNTHETIC.into()];
        agent.capacity = Some(work::synthetic_capacity());
    } else if options.workers > 1 {
        let n = u64::from(options.workers);
        let (free, _) = rt::files::disk_space(&options.data_dir)?;
        let reserve = rt::host::memory() / 20;
        agent.capacity = Some(Amounts {
            cpu_milli: u64::from(rt::host::cpus()) * 1000 / n,
            memory: ByteSize((rt::host::memory() - reserve) / n),
            disk: ByteSize(free / 10 * 9 / n),
            named: BTreeMap::new(),
        });
    }
    Ok(agent)
}

/// A join token for this start. Workers that have joined before only check that it is of the same cluster.
async fn join_token(running: &Running, uses: u32) -> Result<Secret> {
    let caller = ourselves()?;
    let spec = JoinTokenSpec { uses: uses.max(1), ttl_seconds: 600 };
    match running.controller.delete_join_token(&caller, "dev").await {
        Err(e) if e.code != Code::NotFound => return Err(e),
        _ => {}
    }
    let new = NewObject { name: name("dev")?, labels: BTreeMap::new(), spec };
    let token = running.controller.create_join_token(&caller, new).await?;
    token.status.token.ok_or_else(|| Error::internal("a join token without its text"))
}
