//! An agent with what a test needs around it.

use super::super::*;
use api::{
    assignment::{Assignment, Desired, GuestKeys, Report, VmReport, Work},
    image::{ImageFormat, ImagePart, ImageSpec},
    vm::{SyntheticScript, VmSpec},
};
use base::{ByteSize, Name, Revision, Secret, Uid};
use futures::StreamExt;
use std::pin::pin;

/// No wait in these tests is longer.
pub const LIMIT: Duration = Duration::from_secs(30);

pub fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

pub fn spec() -> VmSpec {
    VmSpec::new(name("image"))
}

pub fn playing(script: SyntheticScript) -> VmSpec {
    VmSpec { synthetic: Some(script), ..spec() }
}

/// The work of a synthetic VM.
pub fn work(spec: VmSpec) -> Work {
    Work {
        runtime: SYNTHETIC.into(),
        arch: rt::host::arch().into(),
        user: "hostler".into(),
        image_uid: rt::ids::uid(),
        image: image(ImageFormat::Synthetic),
        parts: Vec::<ImagePart>::new(),
        virtual_size: ByteSize(0),
        keys: GuestKeys {
            user_private: Secret::new(""),
            user_public: String::new(),
            host_private: Secret::new(""),
            host_public: String::new(),
        },
        spec,
    }
}

pub fn image(format: ImageFormat) -> ImageSpec {
    ImageSpec {
        format,
        arch: rt::host::arch().into(),
        os: "linux".into(),
        command_line: String::new(),
        user: "hostler".into(),
        seed: true,
        password: None,
        key: None,
    }
}

pub fn assignment(uid: Uid, desired: Desired, work: Work) -> Assignment {
    let work = (desired != Desired::Removed).then(|| Box::new(work));
    Assignment { uid, epoch: 1, project: name("default"), name: name("vm"), generation: 1, desired, work }
}

/// An agent, and the controller's side of the conversation.
pub struct Rig {
    pub agent: Agent,
    seq: u64,
}

impl Rig {
    pub async fn new() -> Self {
        Rig::with(AgentOptions::synthetic(Amounts::default())).await
    }

    pub async fn with(options: AgentOptions) -> Self {
        Rig::of(Agent::start(options, None).await.unwrap())
    }

    pub fn of(agent: Agent) -> Self {
        let seq = agent.0.host.desires().revision().seq;
        Rig { agent, seq }
    }

    /// Sends a full desired set.
    pub async fn send(&mut self, vms: Vec<Assignment>) {
        self.seq += 1;
        let revision = Revision::new(1, self.seq);
        let set = Assignments { version: 1, revision, vms, keep_images: vec![] };
        let body = serde_json::to_vec(&set).unwrap();
        let answer = self.agent.put_assignments(body.into()).await.unwrap();
        assert_eq!(serde_json::from_slice::<Accepted>(&answer).unwrap().revision, revision);
    }

    pub async fn run(&mut self, uid: Uid, spec: VmSpec) {
        self.send(vec![assignment(uid, Desired::Running, work(spec))]).await;
    }

    /// Waits until a VM looks like this.
    pub async fn until(&self, uid: Uid, what: &str, like: impl Fn(&VmReport) -> bool) -> VmReport {
        let last = parking_lot::Mutex::new(None);
        let waiting = async {
            let mut lines = pin!(self.agent.lines());
            loop {
                let vms = match next(&mut lines).await {
                    Report::Snapshot { vms, .. } => vms,
                    Report::Vm { vm } => vec![*vm],
                    _ => continue,
                };
                if let Some(vm) = vms.into_iter().find(|vm| vm.uid == uid) {
                    if like(&vm) {
                        return vm;
                    }
                    *last.lock() = Some(vm);
                }
            }
        };
        let found = rt::clock::timeout(LIMIT, what, waiting).await;
        found.unwrap_or_else(|e| panic!("{e}; it was last {:?}", last.lock()))
    }

    /// Waits until this VM is said to be gone.
    pub async fn until_gone(&self, uid: Uid) -> u64 {
        let waiting = async {
            let mut lines = pin!(self.agent.lines());
            loop {
                match next(&mut lines).await {
                    Report::Gone { uid: gone, epoch } if gone == uid => return epoch,
                    _ => {}
                }
            }
        };
        rt::clock::timeout(LIMIT, "the end of a VM", waiting).await.unwrap()
    }

    /// What a new reader is told first.
    pub async fn snapshot(&self) -> Report {
        let mut lines = pin!(self.agent.lines());
        next(&mut lines).await
    }
}

async fn next(lines: &mut (impl Stream<Item = Bytes> + Unpin)) -> Report {
    serde_json::from_slice(&lines.next().await.unwrap()).unwrap()
}
