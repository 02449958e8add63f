//! `hostler worker run`.

use api::worker::Amounts;
use base::{ByteSize, Error, Name, Result, Secret};
use cli::WorkerOptions;
use std::path::PathBuf;
use worker::agent::{AgentOptions, Reserve, RunOptions, SYNTHETIC, Worker};

/// What a synthetic worker offers.
pub fn synthetic_capacity() -> Amounts {
    Amounts {
        cpu_milli: 16_000,
        memory: ByteSize::gib(64),
        disk: ByteSize::gib(1024),
        named: std::collections::BTreeMap::new(),
    }
}

/// This very program, for the shims.
pub fn this_program() -> Result<PathBuf> {
    std::env::current_exe().map_err(|e| Error::io("find this program", &e))
}

/// Runs until asked to end. Its VMs go on.
pub async fn run(options: WorkerOptions) -> Result<()> {
    if let Some(point) = &options.failpoint {
        rt::failpoint::arm(point);
    }
    let worker = Worker::start(run_options(options)?).await?;
    let signal = rt::task::shutdown_signal().await?;
    tracing::info!(signal, "the worker ends; its VMs go on");
    worker.stop().await;
    Ok(())
}

fn run_options(options: WorkerOptions) -> Result<RunOptions> {
    let join_token = options.join_token_file.as_ref().map(|path| {
        std::fs::read_to_string(path).map(|t| Secret::new(t.trim())).map_err(|e| {
            Error::io(format_args!("read the join token in {}", path.display()), &e).at("--join-token-file")
        })
    });
    let name = options.name.clone().unwrap_or_else(rt::host::hostname);
    let name = Name::new(name).map_err(|e| Error::invalid("--name", e.to_string()))?;
    let mut agent = AgentOptions::new(&options.data_dir, this_program()?);
    agent.reserve = Reserve {
        cpu_milli: options.reserve_cpu_milli,
        memory: options.reserve_memory,
        disk: options.reserve_disk,
    };
    if options.synthetic {
        agent.runtimes = vec![SYNTHETIC.into()];
        agent.capacity = Some(synthetic_capacity());
    }
    agent.labels = options.labels;
    agent.resources = options.resources;
    Ok(RunOptions { agent, name, url: options.url, join_token: join_token.transpose()? })
}
