//! Clusters of real processes for end-to-end tests: `hostler dev`, or `controller run` and `worker run` apart. Each has
//! directories and ports of its own, and takes everything with it when it ends, hypervisors included.

#![allow(clippy::expect_used, clippy::unwrap_used)] // a test library: what is not as it must be ends the test

mod arguments;
mod cli;
mod clock;
mod cluster;
mod fleet;
mod guest;
mod http;
mod machines;
mod process;
mod registered;
mod seeded;
mod shell;
mod terminal;

pub use arguments::Arguments;
pub use cli::{Cli, Ran};
pub use clock::WallClock;
pub use cluster::{Cluster, Layout, Setup};
pub use fleet::Fleet;
pub use guest::{guest_image, skip, unpacked_packages};
pub use http::{Answer, Ask, Event, Events, Http};
pub use machines::{Machines, Snapshot};
pub use process::{Process, alive, processes_under};
pub use registered::Registered;
pub use seeded::Seeded;
pub use shell::Shell;
pub use terminal::Terminal;

use std::{future::Future, time::Duration};

/// The binary under test: `HOSTLER_TEST_BINARY`, else the debug build.
pub fn binary() -> std::path::PathBuf {
    from_environment("HOSTLER_TEST_BINARY").unwrap_or_else(|| {
        let target = from_environment("CARGO_TARGET_DIR")
            .unwrap_or_else(|| concat!(env!("CARGO_MANIFEST_DIR"), "/../target").into());
        target.join("debug/hostler")
    })
}

#[allow(clippy::disallowed_methods)] // how the test command tells where things are
fn from_environment(name: &str) -> Option<std::path::PathBuf> {
    std::env::var_os(name).map(Into::into)
}

/// Asks again every 20 ms until there is an answer. Panics after `limit`, saying what was waited for.
pub async fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    limit: Duration,
    mut ask: impl FnMut() -> F,
) -> T {
    let begin = rt::clock::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(begin.elapsed() < limit, "{what} did not happen within {} s", limit.as_secs());
        rt::clock::sleep(Duration::from_millis(20)).await;
    }
}
