//! The QEMU runtime with a real Linux guest: the tiny image, translated.
#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests

mod common;

use base::{ByteSize, Secret};
use common::{Bench, exited, heard, logged};
use rt::process;
use std::{path::Path, time::Duration};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use worker::runtimes::{ExitCause, ImageFiles, Machine, Runtime, Seed, Target};

/// The tiny image, built where `make` builds it; nothing happens when it is up to date.
async fn tiny() -> ImageFiles {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
    let guest = root.join("target/guest");
    let mut build = process::command(root.join("guest/build.sh"));
    build.arg(&guest);
    process::run(build, Duration::from_mins(10)).await.unwrap();
    let image = common::json(&guest.join("image.json"));
    ImageFiles::Kernel {
        kernel: guest.join("vmlinuz"),
        initrd: guest.join("initrd.img"),
        command_line: image["commandLine"].as_str().unwrap().to_owned(),
    }
}

async fn host_key(bench: &Bench) -> (Secret, String) {
    let path = bench.dir.path().join("host_key");
    let mut keygen = process::command("ssh-keygen");
    keygen.args(["-q", "-t", "ed25519", "-N", "", "-C", "", "-f"]).arg(&path);
    process::run(keygen, common::LONG).await.unwrap();
    let read = |p: &Path| std::fs::read_to_string(p).unwrap();
    (Secret::new(read(&path)), read(&path.with_extension("pub")))
}

#[tokio::test]
async fn qemu_boots_linux_which_answers_ssh_and_powers_off() {
    let bench = Bench::new();
    let (host_key_private, host_key_public) = host_key(&bench).await;
    let machine = Machine {
        image: tiny().await,
        memory: ByteSize::mib(256),
        disk: ByteSize::mib(64),
        seed: Seed { hostname: "hello".into(), host_key_private, host_key_public, ..common::seed() },
        ..bench.machine()
    };
    let qemu = bench.qemu();
    bench.start(&qemu, &machine).await;
    // A forward accepts while the guest boots: only the banner says that it answers.
    let mut banner = String::new();
    while banner.is_empty() {
        let mut ssh = qemu.connect(machine.uid, Target::Port(22)).await.unwrap();
        let mut ssh = BufReader::new(&mut ssh);
        let _ = tokio::time::timeout(Duration::from_secs(2), ssh.read_line(&mut banner)).await;
    }
    assert!(banner.starts_with("SSH-2.0-dropbear"), "{banner}");
    let log = logged(&qemu, machine.uid, "Linux version").await;
    assert!(log.contains("Kernel command line: "), "{log}");
    let mut console = qemu.connect(machine.uid, Target::Console).await.unwrap();
    console.write_all(b"\n").await.unwrap();
    heard(&mut console, "hello").await;
    qemu.stop(machine.uid, common::LONG).await.unwrap();
    let exit = exited(&qemu, machine.uid).await;
    assert_eq!((exit.code, exit.cause), (Some(0), ExitCause::Requested), "{exit:?}");
}
