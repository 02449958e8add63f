use super::*;
use bytes::Bytes;
use futures::TryStreamExt;
use tempfile::TempDir;

fn store() -> (TempDir, BlobStore) {
    let dir = tempfile::tempdir().unwrap();
    let store = BlobStore::open(dir.path()).unwrap();
    (dir, store)
}

fn files(dir: &TempDir) -> usize {
    std::fs::read_dir(dir.path().join("partial")).unwrap().count()
}

#[tokio::test]
async fn what_is_written_is_read_back_in_ranges() {
    let (dir, store) = store();
    let content: Vec<u8> = (0..3_000_000_u32).map(|i| u8::try_from(i % 253).unwrap()).collect();
    let mut writer = store.create(ByteSize::mib(10), None).await.unwrap();
    for piece in content.chunks(70_000) {
        writer.write(Bytes::copy_from_slice(piece)).await.unwrap();
    }
    let blob = writer.finish(None).await.unwrap();
    assert_eq!((blob.digest, blob.size), (Digest::of(&content), 3_000_000));
    assert_eq!(files(&dir), 0);
    assert!(store.verify(&blob.digest).await.unwrap());

    for (offset, length) in
        [(0, None), (2_999_999, None), (3_000_000, None), (1_000, Some(500_000)), (9, Some(0))]
    {
        let reader = store.read(&blob.digest, offset, length).await.unwrap();
        assert_eq!(reader.size(), 3_000_000);
        let read: Vec<Bytes> = reader.into_stream().try_collect().await.unwrap();
        let start = usize::try_from(offset).unwrap();
        let end = length.map_or(content.len(), |n| start + usize::try_from(n).unwrap());
        assert_eq!(read.concat(), content[start..end]);
    }
    let beyond = store.read(&blob.digest, 3_000_001, None).await.unwrap_err();
    assert_eq!(beyond.code, Code::Invalid);
    assert_eq!(store.list().unwrap(), [blob]);
    store.delete(&blob.digest).unwrap();
    store.delete(&blob.digest).unwrap();
    assert_eq!(store.read(&blob.digest, 0, None).await.unwrap_err().code, Code::NotFound);
}

#[tokio::test]
async fn limits_are_kept_and_leave_nothing_behind() {
    let (dir, store) = store();
    let mut writer = store.create(ByteSize(10), None).await.unwrap();
    writer.write(Bytes::from_static(b"0123456789")).await.unwrap();
    assert_eq!(writer.write(Bytes::from_static(b"x")).await.unwrap_err().code, Code::TooLarge);
    drop(writer);
    assert_eq!(store.create(ByteSize(10), Some(ByteSize(11))).await.unwrap_err().code, Code::TooLarge);
    let endless = store.create(ByteSize(u64::MAX), Some(ByteSize(1 << 60))).await.unwrap_err();
    assert_eq!(endless.code, Code::Exhausted);
    assert!(endless.hint.is_some());
    assert_eq!(files(&dir), 0);
}

#[tokio::test]
async fn another_content_than_expected_is_not_kept() {
    let (dir, store) = store();
    let mut writer = store.create(ByteSize(10), None).await.unwrap();
    writer.write(Bytes::from_static(b"hello")).await.unwrap();
    let error = writer.finish(Some(&Digest::of(b"hallo"))).await.unwrap_err();
    assert_eq!(error.code, Code::Invalid);
    assert_eq!((files(&dir), store.list().unwrap().len()), (0, 0));
}

#[tokio::test]
async fn a_crash_leaves_uploads_that_the_next_start_removes() {
    let (dir, store) = store();
    let writer = store.create(ByteSize(10), None).await.unwrap();
    std::mem::forget(writer);
    assert_eq!(files(&dir), 1);
    BlobStore::open(dir.path()).unwrap();
    assert_eq!(files(&dir), 0);
}

#[tokio::test]
async fn damage_is_found() {
    let (_dir, store) = store();
    let mut writer = store.create(ByteSize(10), None).await.unwrap();
    writer.write(Bytes::from_static(b"hello")).await.unwrap();
    let blob = writer.finish(None).await.unwrap();
    std::fs::remove_file(store.path(&blob.digest)).unwrap();
    std::fs::write(store.path(&blob.digest), b"hallo").unwrap();
    assert!(!store.verify(&blob.digest).await.unwrap());
}
