//! The other process: synthetic workers, each with a link of its own. `--fleet URL TOKEN-FILE COUNT`

use api::worker::Amounts;
use base::{ByteSize, Result, Secret};
use bench::argument;
use worker::agent::{Fleet, FleetOptions, Shape};

pub async fn run() -> Result<()> {
    let [url, file, count] = [1, 2, 3].map(|n| argument(n).expect("URL TOKEN-FILE COUNT"));
    let token = std::fs::read_to_string(&file).map_err(|e| base::Error::io("read the token", &e))?;
    let capacity = Amounts {
        cpu_milli: 16_000,
        memory: ByteSize::gib(64),
        disk: ByteSize::gib(1024),
        named: std::collections::BTreeMap::new(),
    };
    let fleet = Fleet::start(FleetOptions {
        url,
        join_token: Secret::new(token.trim()),
        count: count.parse().expect("a number"),
        prefix: "w".into(),
        shapes: vec![Shape { capacity, ..Shape::default() }],
        heartbeat: api::assignment::HEARTBEAT,
    })
    .await?;
    rt::task::shutdown_signal().await?;
    drop(fleet);
    Ok(())
}
