use super::*;
use std::sync::atomic::{AtomicUsize, Ordering};

const LIMIT: Duration = Duration::from_secs(20);

/// A source that cuts each connection after `cut` bytes and may give wrong bytes at first.
struct Scripted {
    content: Vec<u8>,
    cut: usize,
    wrong: AtomicUsize,
    asked: Mutex<Vec<u64>>,
    refuse: Option<Code>,
}

impl Scripted {
    fn new(content: Vec<u8>) -> Self {
        let cut = usize::MAX;
        Scripted { content, cut, wrong: AtomicUsize::new(0), asked: Mutex::default(), refuse: None }
    }
}

impl Source for Scripted {
    fn fetch(&self, _: Digest, offset: u64) -> BoxFuture<'_, Result<BoxStream<'static, Result<Bytes>>>> {
        Box::pin(async move {
            self.asked.lock().push(offset);
            if let Some(code) = self.refuse {
                return Err(Error::new(code, "refused"));
            }
            let start = usize::try_from(offset).unwrap();
            let end = start.saturating_add(self.cut).min(self.content.len());
            let mut bytes = self.content[start..end].to_vec();
            let wrong =
                self.wrong.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_ok();
            if wrong {
                bytes[0] ^= 1;
            }
            let mut pieces: Vec<Result<Bytes>> =
                bytes.chunks(1000).map(|c| Ok(Bytes::copy_from_slice(c))).collect();
            if end < self.content.len() {
                pieces.push(Err(Error::unavailable("cut")));
            }
            Ok(futures::stream::iter(pieces).boxed())
        })
    }
}

fn content(n: usize) -> Vec<u8> {
    (0..n).map(|i| u8::try_from(i % 251).unwrap()).collect()
}

fn part(content: &[u8]) -> Part {
    Part { digest: Digest::of(content), size: ByteSize(content.len() as u64) }
}

fn setup(source: Scripted) -> (tempfile::TempDir, Fetcher, Arc<Scripted>, Part) {
    let dir = tempfile::tempdir().unwrap();
    let wanted = part(&source.content);
    let source = Arc::new(source);
    let fetcher = Fetcher::new(BlobStore::open(dir.path()).unwrap(), source.clone());
    (dir, fetcher, source, wanted)
}

async fn fetch(fetcher: &Fetcher, part: Part) -> Result<()> {
    rt::clock::timeout(LIMIT, "the test", fetcher.fetch(&[part])).await.unwrap()
}

#[tokio::test]
async fn a_cut_connection_goes_on_where_it_stopped() {
    let mut source = Scripted::new(content(10_000));
    source.cut = 4_000;
    let (_dir, fetcher, source, part) = setup(source);
    fetch(&fetcher, part).await.unwrap();
    assert_eq!(*source.asked.lock(), [0, 4_000, 8_000]);
    assert!(fetcher.store().verify(&part.digest).await.unwrap());
    assert_eq!(fetcher.progress(&[part]), Progress { done: 10_000, total: 10_000, trouble: None });
}

#[tokio::test]
async fn a_new_process_goes_on_where_the_old_one_stopped() {
    let data = content(9_000);
    let wanted = part(&data);
    let dir = tempfile::tempdir().unwrap();
    let store = BlobStore::open(dir.path()).unwrap();
    let mut writer = BlobWriter::download(store, &wanted.digest, wanted.size).await.unwrap();
    writer.write(Bytes::copy_from_slice(&data[..5_000])).await.unwrap();
    writer.flush().await.unwrap();
    drop(writer);

    let source = Arc::new(Scripted::new(data));
    let fetcher = Fetcher::new(BlobStore::open(dir.path()).unwrap(), source.clone());
    fetch(&fetcher, wanted).await.unwrap();
    assert_eq!(*source.asked.lock(), [5_000]);
}

#[tokio::test]
async fn wrong_bytes_are_fetched_once_more_and_then_refused() {
    let source = Scripted::new(content(5_000));
    source.wrong.store(1, Ordering::SeqCst);
    let (_dir, fetcher, source, part) = setup(source);
    fetch(&fetcher, part).await.unwrap();
    assert_eq!(*source.asked.lock(), [0, 0]);

    let source = Scripted::new(content(5_000));
    source.wrong.store(9, Ordering::SeqCst);
    let (dir, fetcher, source, part) = setup(source);
    let error = fetch(&fetcher, part).await.unwrap_err();
    assert_eq!(error.code, Code::Invalid);
    assert_eq!(source.asked.lock().len(), 2);
    assert!(!fetcher.store().contains(&part.digest));
    assert_eq!(std::fs::read_dir(dir.path().join("partial")).unwrap().count(), 0);
}

#[tokio::test]
async fn many_waiters_share_one_download() {
    let (_dir, fetcher, source, part) = setup(Scripted::new(content(50_000)));
    let waiters = (0..50).map(|_| fetch(&fetcher, part));
    for result in futures::future::join_all(waiters).await {
        result.unwrap();
    }
    assert_eq!(*source.asked.lock(), [0]);
    fetch(&fetcher, part).await.unwrap();
    assert_eq!(source.asked.lock().len(), 1);
}

#[tokio::test]
async fn a_final_refusal_reaches_every_waiter_and_is_not_remembered() {
    let mut source = Scripted::new(content(10));
    source.refuse = Some(Code::NotFound);
    let (_dir, fetcher, source, part) = setup(source);
    for result in futures::future::join_all((0..3).map(|_| fetch(&fetcher, part))).await {
        assert_eq!(result.unwrap_err().code, Code::NotFound);
    }
    assert_eq!(source.asked.lock().len(), 1);
    fetch(&fetcher, part).await.unwrap_err();
    assert_eq!(source.asked.lock().len(), 2);
}

#[tokio::test]
async fn a_source_that_sends_too_much_is_refused() {
    let (_dir, fetcher, _, mut wanted) = setup(Scripted::new(content(6_000)));
    wanted.size = ByteSize(5_000);
    assert_eq!(fetch(&fetcher, wanted).await.unwrap_err().code, Code::Invalid);
    assert!(!fetcher.store().contains(&wanted.digest));
}

#[tokio::test]
async fn nobody_waits_nobody_downloads() {
    let mut source = Scripted::new(content(5_000));
    source.refuse = Some(Code::Unavailable);
    let (_dir, fetcher, _, part) = setup(source);
    let parts = [part];
    let waiting = rt::clock::timeout(Duration::from_millis(50), "the test", fetcher.fetch(&parts));
    assert_eq!(waiting.await.unwrap_err().code, Code::Timeout);
    assert!(fetcher.0.running.lock().values().all(|w| w.strong_count() == 0));
}

#[tokio::test]
async fn collects_what_is_not_kept() {
    let (_dir, fetcher, _, first) = setup(Scripted::new(content(5_000)));
    fetch(&fetcher, first).await.unwrap();
    let mut second = fetcher.store().create(ByteSize(10), None).await.unwrap();
    second.write(Bytes::from_static(b"second")).await.unwrap();
    let second = second.finish(None).await.unwrap();
    assert_eq!(fetcher.collect([second.digest, first.digest].into()).await.unwrap(), 0);
    assert_eq!(fetcher.collect([second.digest].into()).await.unwrap(), 5_000);
    assert_eq!(fetcher.store().list().unwrap(), [second]);
}
