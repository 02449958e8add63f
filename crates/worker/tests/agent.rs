//! The agent with a real QEMU and the tiny guest: from an assignment to a guest that answers, and across the agent's
//! death.
#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests

mod common;

use api::{
    assignment::{Assignment, Assignments, Desired, GuestKeys, Report, VmReport, Work},
    image::{ImageFormat, ImagePart, ImageSpec},
    vm::{StartupScript, VmPhase, VmSpec},
};
use base::{ByteSize, Error, Name, Result, Revision, Secret, Uid};
use bytes::Bytes;
use futures::{
    StreamExt,
    future::BoxFuture,
    stream::{self, BoxStream},
};
use images::{Digest, Source};
use rt::process;
use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    pin::pin,
    sync::Arc,
    time::Duration,
};
use worker::agent::{Agent, AgentOptions, QEMU};

/// Files by their digest.
struct Files(HashMap<Digest, PathBuf>);

impl Source for Files {
    fn fetch(&self, digest: Digest, offset: u64) -> BoxFuture<'_, Result<BoxStream<'static, Result<Bytes>>>> {
        Box::pin(async move {
            let path = self.0.get(&digest).ok_or_else(|| Error::not_found("no such file"))?;
            let bytes = Bytes::from(std::fs::read(path).unwrap());
            Ok(stream::iter([Ok(bytes.slice(usize::try_from(offset).unwrap()..))]).boxed())
        })
    }
}

/// The tiny image, built where `make` builds it; nothing happens when it is up to date.
async fn tiny() -> (ImageSpec, Vec<ImagePart>, Files) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
    let guest = root.join("target/guest");
    let mut build = process::command(root.join("guest/build.sh"));
    build.arg(&guest);
    process::run(build, Duration::from_mins(10)).await.unwrap();
    let image = common::json(&guest.join("image.json"));
    let mut files = HashMap::new();
    let parts = ["kernel", "initrd"].map(|name| {
        let part = &image[name];
        let digest = format!("sha256:{}", part["sha256"].as_str().unwrap());
        files.insert(digest.parse().unwrap(), guest.join(part["file"].as_str().unwrap()));
        ImagePart { name: name.into(), digest, size: ByteSize(part["size"].as_u64().unwrap()) }
    });
    let spec = ImageSpec {
        format: ImageFormat::Kernel,
        arch: image["arch"].as_str().unwrap().into(),
        os: "linux".into(),
        command_line: image["commandLine"].as_str().unwrap().into(),
        user: "hostler".into(),
        seed: true,
        password: None,
        key: None,
    };
    (spec, parts.into(), Files(files))
}

fn keys() -> GuestKeys {
    let (user, host) = (ssh::KeyPair::generate(), ssh::KeyPair::generate());
    GuestKeys {
        user_private: user.private_openssh().unwrap(),
        user_public: user.public_openssh().unwrap(),
        host_private: host.private_openssh().unwrap(),
        host_public: host.public_openssh().unwrap(),
    }
}

fn set(seq: u64, uid: Uid, desired: Desired, work: &Work) -> Assignments {
    let name = |text: &str| Name::new(text).unwrap();
    let work = (desired != Desired::Removed).then(|| Box::new(work.clone()));
    let (project, name) = (name("default"), name("hello"));
    let vm = Assignment { uid, epoch: 1, project, name, generation: 1, desired, work };
    Assignments { version: 1, revision: Revision::new(1, seq), vms: vec![vm], keep_images: vec![] }
}

async fn until(agent: &Agent, what: &str, is: impl Fn(&VmReport) -> bool) -> VmReport {
    let waiting = async {
        let mut lines = pin!(agent.lines());
        loop {
            let vms = match serde_json::from_slice(&lines.next().await.unwrap()).unwrap() {
                Report::Snapshot { vms, .. } => vms,
                Report::Vm { vm } => vec![*vm],
                _ => continue,
            };
            if let Some(vm) = vms.into_iter().find(&is) {
                return vm;
            }
        }
    };
    rt::clock::timeout(Duration::from_mins(2), what, waiting).await.unwrap()
}

async fn until_gone(agent: &Agent) {
    let mut lines = pin!(agent.lines());
    let waiting = async {
        loop {
            let report: Report = serde_json::from_slice(&lines.next().await.unwrap()).unwrap();
            if matches!(report, Report::Gone { .. }) {
                return;
            }
        }
    };
    rt::clock::timeout(Duration::from_mins(1), "the removal", waiting).await.unwrap();
}

#[tokio::test]
async fn a_guest_boots_runs_its_script_outlives_the_agent_and_goes() {
    let bench = common::Bench::new();
    let (image, parts, files) = tiny().await;
    let files: Arc<dyn Source> = Arc::new(files);
    let script = StartupScript {
        script: "test \"$(hostname)\" = hello && echo \"$GREETING\"".into(),
        env: [("GREETING".to_owned(), Some(Secret::new("good day")))].into(),
        timeout_seconds: 60,
    };
    let spec = VmSpec {
        memory: ByteSize::mib(256),
        disk: ByteSize::mib(64),
        startup_script: Some(script),
        ..VmSpec::new(Name::new("tiny").unwrap())
    };
    let work = Work {
        spec,
        runtime: QEMU.into(),
        arch: image.arch.clone(),
        user: image.user.clone(),
        image_uid: rt::ids::uid(),
        image,
        parts,
        virtual_size: ByteSize(0),
        keys: keys(),
    };
    let options = || AgentOptions::new(bench.state(), common::parts());
    let uid = rt::ids::uid();

    let agent = Agent::start(options(), Some(files.clone())).await.unwrap();
    agent.assign(set(1, uid, Desired::Running, &work)).await.unwrap();
    let vm = until(&agent, "a process", |vm| vm.pid.is_some()).await;
    bench.owns(vm.pid.unwrap());
    let vm =
        until(&agent, "a running guest", |vm| matches!(vm.phase, VmPhase::Running | VmPhase::Failed)).await;
    assert_eq!((vm.phase, vm.message.as_str()), (VmPhase::Running, ""));
    let log = bench.state().join("logs").join(uid.to_string()).join("startup.0.log");
    assert_eq!(std::fs::read_to_string(log).unwrap(), "good day\n");
    agent.stop().await;
    drop(agent);

    let agent = Agent::start(options(), Some(files)).await.unwrap();
    let again = until(&agent, "the same guest", |vm| vm.phase == VmPhase::Running).await;
    assert_eq!((again.pid, again.restart_count, again.ready_at), (vm.pid, 0, vm.ready_at));
    agent.assign(set(2, uid, Desired::Stopped, &work)).await.unwrap();
    until(&agent, "the end", |vm| vm.phase == VmPhase::Stopped && vm.pid.is_none()).await;
    agent.assign(set(3, uid, Desired::Removed, &work)).await.unwrap();
    until_gone(&agent).await;
    assert!(!bench.vm_dir(uid).exists());
}
