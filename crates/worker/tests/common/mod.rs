//! A state directory, a one-sector guest, and bounded waits.
#![allow(dead_code)] // each test program uses a part
#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests

use base::{ByteSize, Name, Secret, Uid};
use std::{
    path::{Path, PathBuf},
    time::Duration,
};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt};
use worker::runtimes::{
    DiskFormat, Exit, ImageFiles, Machine, Observed, Phase, Runtime, Seed,
    qemu::{Acceleration, Qemu, Settings},
};

/// Translation on a busy machine is slow.
pub const LONG: Duration = Duration::from_mins(1);

/// The program with the processes that tests need: beside this one, or, where cargo has a build directory apart, in the
/// target directory.
pub fn parts() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let beside = own.ancestors().nth(2).unwrap().join("examples/parts");
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/debug/examples/parts");
    if beside.exists() { beside } else { target }
}

/// A worker's state and an image.
pub struct Bench {
    pub dir: TempDir,
    pub image: PathBuf,
    started: std::sync::Mutex<Vec<u32>>,
}

impl Bench {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let image = dir.path().join("image.raw");
        let mut bytes = include_bytes!("../guest/boot.bin").to_vec();
        bytes.resize(1 << 20, 0);
        std::fs::write(&image, bytes).unwrap();
        Bench { dir, image, started: std::sync::Mutex::default() }
    }

    /// Longer than a socket's address may be.
    pub fn state(&self) -> PathBuf {
        self.dir
            .path()
            .join("a-state-directory-with-a-name-that-is-much-too-long-for-the-address-of-a-socket".repeat(2))
    }

    pub fn settings(&self) -> Settings {
        Settings { acceleration: Some(Acceleration::Tcg), ..Settings::new(self.state(), parts()) }
    }

    pub fn qemu(&self) -> Qemu {
        Qemu::new(self.settings()).unwrap()
    }

    pub fn vm_dir(&self, uid: Uid) -> PathBuf {
        self.state().join("vms").join(uid.to_string())
    }

    pub fn machine(&self) -> Machine {
        Machine {
            uid: rt::ids::uid(),
            epoch: 1,
            name: Name::new("test").unwrap(),
            arch: "amd64".into(),
            cpus: 1,
            memory: ByteSize::mib(64),
            disk: ByteSize(0),
            ephemeral: false,
            image: ImageFiles::Disk { path: self.image.clone(), format: DiskFormat::Raw },
            seed: seed(),
            synthetic: None,
        }
    }

    /// Starts a machine; whatever becomes of the test, its hypervisor is ended with the bench.
    pub async fn start(&self, qemu: &Qemu, machine: &Machine) -> Observed {
        qemu.start(machine.clone()).await.unwrap();
        let observed = qemu.observe(machine.uid).unwrap();
        self.owns(observed.pid.unwrap());
        observed
    }

    pub fn owns(&self, pid: u32) {
        self.started.lock().unwrap().push(pid);
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        for pid in self.started.lock().unwrap().iter() {
            let command = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            if command.contains("qemu-system") {
                let _ = rt::process::signal(*pid, rt::process::Signal::KILL);
            }
        }
    }
}

pub fn seed() -> Seed {
    Seed {
        hostname: "test".into(),
        user: "dev".into(),
        authorized_keys: vec!["ssh-ed25519 AAAA dev".into()],
        host_key_private: Secret::new("private"),
        host_key_public: "ssh-ed25519 BBBB".into(),
    }
}

/// Waits until a machine is as asked.
pub async fn until(qemu: &dyn Runtime, uid: Uid, what: &str, is: impl Fn(&Observed) -> bool) -> Observed {
    let mut events = qemu.events();
    rt::clock::timeout(LONG, what, async {
        loop {
            if let Some(o) = qemu.observe(uid).filter(&is) {
                return o;
            }
            let _ = tokio::time::timeout(Duration::from_secs(1), events.recv()).await;
        }
    })
    .await
    .unwrap_or_else(|e| panic!("{e}: {:?}", qemu.observe(uid)))
}

pub async fn exited(qemu: &dyn Runtime, uid: Uid) -> Exit {
    match until(qemu, uid, "its end", |o| !o.phase.is_live()).await.phase {
        Phase::Exited(exit) => exit,
        _ => unreachable!(),
    }
}

/// Waits until the console's log contains a text.
pub async fn logged(qemu: &dyn Runtime, uid: Uid, text: &str) -> String {
    rt::clock::timeout(LONG, text, async {
        loop {
            let chunk = qemu.console_log(uid, 0, 1 << 20).await.unwrap();
            let log = String::from_utf8_lossy(&chunk.bytes).into_owned();
            if log.contains(text) {
                return log;
            }
            rt::clock::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .unwrap()
}

/// Reads a stream until a text has come.
pub async fn heard(stream: &mut (impl AsyncRead + Unpin), text: &str) -> String {
    let mut seen = Vec::new();
    rt::clock::timeout(LONG, text, async {
        let mut buffer = [0; 256];
        while !String::from_utf8_lossy(&seen).contains(text) {
            let n = stream.read(&mut buffer).await.unwrap();
            assert!(n > 0, "closed after {:?}", String::from_utf8_lossy(&seen));
            seen.extend_from_slice(&buffer[..n]);
        }
    })
    .await
    .unwrap();
    String::from_utf8_lossy(&seen).into_owned()
}

/// Reads what a machine left on disk.
pub fn json(path: &Path) -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}
