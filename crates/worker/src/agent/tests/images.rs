//! Images on their way to a machine.

use super::{
    super::*,
    guests::Disguised,
    rig::{Rig, assignment, image, spec, work},
};
use ::images::Digest;
use api::{
    assignment::{Desired, Report, Work},
    image::{ImageFormat, ImagePart},
    vm::VmPhase,
};
use base::ByteSize;
use futures::{StreamExt, future::BoxFuture, stream::BoxStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

const CONTENT: &[u8] = b"a disk";
/// A large file: this many times a piece of 1 MiB.
const PIECES: usize = 96;

/// A source that is there when it is told so.
#[derive(Default)]
struct Shelf {
    open: AtomicBool,
    asked: AtomicUsize,
}

impl Source for Shelf {
    fn fetch(&self, _: Digest, offset: u64) -> BoxFuture<'_, Result<BoxStream<'static, Result<Bytes>>>> {
        Box::pin(async move {
            self.asked.fetch_add(1, Ordering::SeqCst);
            if !self.open.load(Ordering::SeqCst) {
                return Err(Error::unavailable("closed"));
            }
            let rest = Bytes::from_static(&CONTENT[usize::try_from(offset).unwrap()..]);
            Ok(futures::stream::iter([Ok(rest)]).boxed())
        })
    }
}

fn disk_work() -> Work {
    let digest = Digest::of(CONTENT).to_string();
    let part = ImagePart { name: "disk".into(), digest, size: ByteSize(CONTENT.len() as u64) };
    Work { runtime: QEMU.into(), image: image(ImageFormat::Raw), parts: vec![part], ..work(spec()) }
}

#[tokio::test]
async fn many_vms_wait_for_one_download_and_the_last_one_frees_it() {
    let dir = tempfile::tempdir().unwrap();
    let shelf = Arc::new(Shelf::default());
    let options =
        AgentOptions { state_dir: Some(dir.path().into()), ..AgentOptions::synthetic(Amounts::default()) };
    let runtime: Arc<dyn Runtime> = Arc::new(Disguised::new(None));
    let agent = Agent::with_runtimes(options, vec![runtime], Some(shelf.clone())).await.unwrap();
    let mut rig = Rig::of(agent);
    let (uids, work) = ([(); 5].map(|()| rt::ids::uid()), disk_work());
    let all = |desired| uids.iter().map(|uid| assignment(*uid, desired, work.clone())).collect();
    rig.send(all(Desired::Running)).await;
    let vm = rig.until(uids[0], "trouble", |vm| vm.message.contains("closed")).await;
    assert_eq!((vm.phase, vm.reason.as_str()), (VmPhase::Assigned, "Fetching"));
    let failed = shelf.asked.load(Ordering::SeqCst);
    shelf.open.store(true, Ordering::SeqCst);
    for uid in uids {
        rig.until(uid, "running", |vm| vm.phase == VmPhase::Running).await;
    }
    assert!(shelf.asked.load(Ordering::SeqCst) <= failed + 2, "one download, perhaps one more failure");
    let Report::Snapshot { images, .. } = rig.snapshot().await else { panic!("a snapshot comes first") };
    assert_eq!(images, [work.image_uid]);

    let host = &rig.agent.0.host;
    host.collect().await.unwrap();
    assert_eq!(host.images.held(), [work.image_uid]);
    rig.send(vec![]).await;
    rig.until(uids[4], "unclaimed", |vm| vm.unclaimed).await;
    let host = &rig.agent.0.host;
    host.collect().await.unwrap();
    assert_eq!(host.images.held(), [work.image_uid], "unclaimed VMs keep their image");
    rig.send(all(Desired::Removed)).await;
    for uid in uids {
        rig.until_gone(uid).await;
    }
    let host = &rig.agent.0.host;
    host.collect().await.unwrap();
    assert!(host.images.held().is_empty());
}

/// A source of one large file, as fast as it is taken.
struct Flood(Bytes);

impl Source for Flood {
    fn fetch(&self, _: Digest, _: u64) -> BoxFuture<'_, Result<BoxStream<'static, Result<Bytes>>>> {
        let pieces = std::iter::repeat_n(self.0.clone(), PIECES).map(Ok);
        Box::pin(async move { Ok(futures::stream::iter(pieces).boxed()) })
    }
}

#[tokio::test]
async fn a_fetch_does_not_delay_a_heartbeat() {
    let dir = tempfile::tempdir().unwrap();
    let piece = Bytes::from(vec![7; 1 << 20]);
    let whole = piece.repeat(PIECES);
    let part = ImagePart {
        name: "disk".into(),
        digest: Digest::of(&whole).to_string(),
        size: ByteSize(whole.len() as u64),
    };
    drop(whole);
    let options = AgentOptions {
        state_dir: Some(dir.path().into()),
        heartbeat: Duration::from_millis(20),
        ..AgentOptions::synthetic(Amounts::default())
    };
    let runtime: Arc<dyn Runtime> = Arc::new(Disguised::new(None));
    let agent = Agent::with_runtimes(options, vec![runtime], Some(Arc::new(Flood(piece)))).await.unwrap();
    let mut lines = std::pin::pin!(agent.lines());
    let mut rig = Rig::of(agent.clone());
    let uid = rt::ids::uid();
    let work = Work { parts: vec![part], ..disk_work() };
    rig.send(vec![assignment(uid, Desired::Running, work)]).await;
    let (mut last, mut longest) = (rt::clock::now(), Duration::ZERO);
    loop {
        let line = rt::clock::timeout(super::rig::LIMIT, "a line", lines.next()).await.unwrap().unwrap();
        longest = longest.max(last.elapsed());
        last = rt::clock::now();
        match serde_json::from_slice(&line).unwrap() {
            Report::Vm { vm } if vm.phase == VmPhase::Running => break,
            _ => {}
        }
    }
    assert!(longest < Duration::from_secs(2), "{longest:?}");
}
