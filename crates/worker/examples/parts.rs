//! Processes that the tests of this crate need: a shim, and an agent that starts one machine and then waits to be
//! killed.
//!
//!     parts shim DIR
//!     parts start STATE_DIR IMAGE UID [FAILPOINT]
#![allow(clippy::disallowed_methods)] // it has an argv of its own

use base::{ByteSize, Error, Name, Result, Secret};
use std::{ffi::OsString, path::PathBuf, process::ExitCode};
use worker::{
    runtimes::{
        DiskFormat, ImageFiles, Machine, Runtime, Seed,
        qemu::{Acceleration, Qemu, Settings},
    },
    shim,
};

fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().skip(1).collect();
    match args.as_slice() {
        [word, dir] if word == "shim" => ExitCode::from(shim::run(dir.as_ref())),
        [word, state, image, uid, failpoint @ ..] if word == "start" => {
            if let Some(name) = failpoint.first() {
                rt::failpoint::arm(&name.to_string_lossy());
            }
            if let Err(e) = start(state.into(), image.into(), &uid.to_string_lossy()) {
                tracing::error!("{e}");
            }
            ExitCode::FAILURE
        }
        _ => ExitCode::from(2),
    }
}

/// Starts a machine, says so, and never ends.
fn start(state: PathBuf, image: PathBuf, uid: &str) -> Result<()> {
    use std::io::Write;
    let own = std::env::current_exe().map_err(|e| Error::io("find this program", &e))?;
    let runtime = tokio::runtime::Runtime::new().map_err(|e| Error::io("start tokio", &e))?;
    runtime.block_on(async {
        let qemu =
            Qemu::new(Settings { acceleration: Some(Acceleration::Tcg), ..Settings::new(state, own) })?;
        let uid = uid.parse()?;
        qemu.start(machine(uid, image)).await?;
        let pid = qemu.observe(uid).and_then(|o| o.pid).unwrap_or_default();
        let _ = writeln!(std::io::stdout(), "{pid}");
        std::future::pending().await
    })
}

fn machine(uid: base::Uid, image: PathBuf) -> Machine {
    Machine {
        uid,
        epoch: 1,
        name: Name::new("left-behind").unwrap_or_else(|_| unreachable!("it is a name")),
        arch: "amd64".into(),
        cpus: 1,
        memory: ByteSize::mib(64),
        disk: ByteSize(0),
        ephemeral: false,
        image: ImageFiles::Disk { path: image, format: DiskFormat::Raw },
        seed: Seed {
            hostname: "left-behind".into(),
            user: "dev".into(),
            authorized_keys: vec![],
            host_key_private: Secret::new(""),
            host_key_public: String::new(),
        },
        synthetic: None,
    }
}
