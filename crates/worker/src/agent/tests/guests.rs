//! A real SSH server in the place of a guest: the startup script and commands.

use super::{
    super::*,
    links::{Controller, dial},
    rig::{LIMIT, Rig, assignment, spec, work},
};
use crate::runtimes::{BoxedIo, Capabilities, LogChunk, Machine, Observed, Target, synthetic::Synthetic};
use api::{
    assignment::{Desired, GuestKeys, Work},
    stream::Control,
    vm::{StartupScript, VmPhase, VmSpec},
};
use base::{Secret, Uid};
use futures::future::BoxFuture;
use link::{
    Class, TunnelStream,
    controller_side::Session,
    frame::{Channel, FrameReader, FrameWriter},
};
use std::net::SocketAddr;
use tokio::{io::AsyncReadExt, sync::broadcast};

use sshd::Sshd;

// By path: `testkit` as a whole needs crates above this one.
#[allow(dead_code, missing_docs)] // only a part of it is used here
#[path = "../../../../testkit/src/sshd.rs"]
mod sshd;

/// A synthetic machine that passes for a real one, and behind whose port 22 another server may be.
pub struct Disguised {
    inner: Synthetic,
    ssh: Option<SocketAddr>,
}

impl Disguised {
    pub fn new(ssh: Option<SocketAddr>) -> Self {
        Disguised { inner: Synthetic::new(), ssh }
    }
}

impl Runtime for Disguised {
    fn name(&self) -> &'static str {
        QEMU
    }
    fn probe(&self) -> BoxFuture<'_, Result<Capabilities>> {
        self.inner.probe()
    }
    fn adopt(&self) -> BoxFuture<'_, Result<Vec<Observed>>> {
        self.inner.adopt()
    }
    fn start(&self, machine: Machine) -> BoxFuture<'_, Result<()>> {
        self.inner.start(machine)
    }
    fn stop(&self, uid: Uid, grace: Duration) -> BoxFuture<'_, Result<()>> {
        self.inner.stop(uid, grace)
    }
    fn remove(&self, uid: Uid) -> BoxFuture<'_, Result<()>> {
        self.inner.remove(uid)
    }
    fn connect(&self, uid: Uid, target: Target) -> BoxFuture<'_, Result<BoxedIo>> {
        match (self.ssh, target) {
            (Some(address), Target::Port(22)) => Box::pin(async move {
                let stream = tokio::net::TcpStream::connect(address).await;
                Ok(Box::pin(stream.map_err(|e| Error::io("reach the guest", &e))?) as BoxedIo)
            }),
            _ => self.inner.connect(uid, target),
        }
    }
    fn console_log(&self, uid: Uid, from: u64, limit: usize) -> BoxFuture<'_, Result<LogChunk>> {
        self.inner.console_log(uid, from, limit)
    }
    fn observe(&self, uid: Uid) -> Option<Observed> {
        self.inner.observe(uid)
    }
    fn list(&self) -> Vec<Observed> {
        self.inner.list()
    }
    fn events(&self) -> broadcast::Receiver<Observed> {
        self.inner.events()
    }
}

/// A worker whose guests are this server, and its session at a controller.
struct Guests {
    sshd: Sshd,
    rig: Rig,
    session: Session,
    dir: tempfile::TempDir,
    _controller: Controller,
    _link: rt::task::Task<()>,
}

impl Guests {
    async fn start() -> Self {
        let sshd = Sshd::start(&[]).await.unwrap();
        let dir = tempfile::tempdir().unwrap();
        let options = AgentOptions {
            state_dir: Some(dir.path().into()),
            ..AgentOptions::synthetic(Amounts::default())
        };
        let runtime: Arc<dyn Runtime> = Arc::new(Disguised::new(Some(sshd.address())));
        let rig = Rig::of(Agent::with_runtimes(options, vec![runtime], None).await.unwrap());
        let controller = Controller::start().await;
        let link = dial(&controller, rig.agent.clone());
        let session = controller.session().await;
        Guests { sshd, rig, session, dir, _controller: controller, _link: link }
    }

    fn work(&self, spec: VmSpec) -> Work {
        let keys = GuestKeys {
            user_private: self.sshd.user_key().clone(),
            user_public: String::new(),
            host_private: Secret::new(""),
            host_public: self.sshd.host_key().to_owned(),
        };
        Work { runtime: QEMU.into(), user: self.sshd.user().to_owned(), keys, ..work(spec) }
    }

    async fn run(&mut self, uid: Uid, spec: VmSpec) {
        let work = self.work(spec);
        self.rig.send(vec![assignment(uid, Desired::Running, work)]).await;
    }

    async fn open(&self, uid: Uid, rest: &str) -> Result<TunnelStream> {
        self.session.open_tunnel(&format!("vms/{uid}/{rest}"), Class::Interactive).await
    }
}

/// What a command said, and how it ended.
async fn talk(tunnel: TunnelStream, words: &[(Channel, &[u8])]) -> (String, String, Control) {
    let (reader, writer) = tunnel.into_split();
    let (mut reader, mut writer) = (FrameReader::new(reader), FrameWriter::new(writer));
    for (channel, bytes) in words {
        writer.send_on(*channel, bytes).await.unwrap();
    }
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let reading = async {
        loop {
            match reader.next_on_channel().await.unwrap().expect("a last word comes first") {
                (Channel::Stdout, bytes) => out.extend(bytes),
                (Channel::Stderr, bytes) => err.extend(bytes),
                (_, bytes) => return serde_json::from_slice(&bytes).unwrap(),
            }
        }
    };
    let last = rt::clock::timeout(LIMIT, "a command", reading).await.unwrap();
    assert!(reader.next_on_channel().await.unwrap().is_none());
    (String::from_utf8_lossy(&out).into(), String::from_utf8_lossy(&err).into(), last)
}

fn script(text: &str) -> StartupScript {
    let env = [("WHO".to_owned(), Some(Secret::new("it's me")))].into();
    StartupScript { script: text.into(), env, timeout_seconds: 20 }
}

#[tokio::test]
async fn the_startup_script_runs_once_per_start_and_its_output_is_a_log() {
    let (mut guests, uid) = (Guests::start().await, rt::ids::uid());
    guests.run(uid, VmSpec { startup_script: Some(script("echo \"$WHO\"; echo oops >&2")), ..spec() }).await;
    guests.rig.until(uid, "running", |vm| vm.phase == VmPhase::Running).await;
    let mut log = guests.open(uid, "logs/startup?header=true").await.unwrap();
    let mut bytes = Vec::new();
    log.read_to_end(&mut bytes).await.unwrap();
    let (header, text) = bytes.split_at(16);
    let text = String::from_utf8_lossy(text);
    assert!(text.contains("it's me\n") && text.contains("oops\n"), "{text}");
    assert_eq!(header[..8], [0; 8]);
    assert_eq!(u64::from_be_bytes(header[8..].try_into().unwrap()), text.len() as u64);
    let mut console = guests.open(uid, "logs/console?offset=10&limit=7").await.unwrap();
    bytes.clear();
    console.read_to_end(&mut bytes).await.unwrap();
    assert_eq!(bytes, b"machine");
    assert!(guests.dir.path().join("logs").join(uid.to_string()).exists());
}

#[tokio::test]
async fn a_failed_startup_script_is_the_vms_failure() {
    let (mut guests, uid) = (Guests::start().await, rt::ids::uid());
    guests.run(uid, VmSpec { startup_script: Some(script("exit 7")), ..spec() }).await;
    let vm = guests.rig.until(uid, "failed", |vm| vm.phase == VmPhase::Failed).await;
    assert_eq!(vm.reason, "StartupScriptFailed");
    assert!(vm.message.contains("exit code 7"), "{}", vm.message);
}

#[tokio::test]
async fn commands_run_in_the_guest() {
    let (mut guests, uid) = (Guests::start().await, rt::ids::uid());
    // Nothing there yet: the wait begins before the VM does.
    let refused = guests.open(uid, "exec?command=true").await.unwrap_err();
    assert_eq!(refused.code, Code::NotFound);
    guests.run(uid, spec()).await;
    let command = api::routes::encode("cat; echo \"$A\" >&2; exit 3");
    let tunnel = guests.open(uid, &format!("exec?command={command}&env=A%3Db%20c&wait=20")).await.unwrap();
    let eof = serde_json::to_vec(&Control::Eof {}).unwrap();
    let words: [(Channel, &[u8]); 2] = [(Channel::Stdin, b"hello"), (Channel::Control, &eof)];
    let (out, err, last) = talk(tunnel, &words).await;
    assert_eq!((out.as_str(), err.as_str()), ("hello", "b c\n"));
    assert_eq!(last, Control::Exit { code: Some(3), signal: None });

    let resize = serde_json::to_vec(&Control::Resize { rows: 7, cols: 30 }).unwrap();
    let terminal = api::routes::encode("read x; stty size");
    let tunnel = guests.open(uid, &format!("exec?command={terminal}&tty=true&rows=5&cols=20")).await.unwrap();
    let (out, _, last) = talk(tunnel, &[(Channel::Control, &resize), (Channel::Stdin, b"\n")]).await;
    assert!(out.contains("7 30"), "{out}");
    assert_eq!(last, Control::Exit { code: Some(0), signal: None });

    // What the worker was told of a VM can be asked for, also when nobody claims it any more.
    for _ in 0..2 {
        let mut told = guests.open(uid, "assignment").await.unwrap();
        let mut text = Vec::new();
        told.read_to_end(&mut text).await.unwrap();
        let told: api::assignment::Assignment = serde_json::from_slice(&text).unwrap();
        assert_eq!(told.work.unwrap().user, guests.sshd.user());
        guests.rig.send(vec![]).await;
    }
    assert_eq!(guests.open(uid, "exec?command=true").await.unwrap_err().code, Code::Conflict);
}

#[tokio::test]
async fn what_cannot_run_says_why() {
    let (mut guests, uid) = (Guests::start().await, rt::ids::uid());
    let work = guests.work(spec());
    guests.rig.send(vec![assignment(uid, Desired::Stopped, work)]).await;
    let stopped = guests.open(uid, "exec?command=true").await.unwrap_err();
    assert_eq!(stopped.code, Code::Conflict);
    assert!(stopped.hint.unwrap().contains("vm start"));
    let waited = guests.open(uid, "exec?command=true&wait=1").await.unwrap();
    let (_, _, last) = talk(waited, &[]).await;
    assert!(matches!(last, Control::Error { error } if error.code == Code::Conflict));

    // Another host key than the controller made: not our guest.
    let mut wrong = guests.work(spec());
    wrong.keys.host_public = ssh::KeyPair::generate().public_openssh().unwrap();
    guests.rig.send(vec![assignment(uid, Desired::Running, wrong)]).await;
    guests.rig.until(uid, "running", |vm| vm.phase == VmPhase::Running).await;
    let refused = guests.open(uid, "exec?command=true").await.unwrap_err();
    assert_eq!(refused.code, Code::Forbidden);
}
