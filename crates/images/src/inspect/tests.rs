use super::*;
use std::{path::PathBuf, process::ExitStatus};

async fn qemu_img(args: &[&str]) -> Option<ExitStatus> {
    rt::process::command("qemu-img").args(args).status().await.ok()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn file(dir: &tempfile::TempDir, content: &[u8]) -> PathBuf {
    let path = dir.path().join(rt::ids::uid().to_string());
    std::fs::write(&path, content).unwrap();
    path
}

async fn refusal(path: &Path, content: Content) -> String {
    let error = inspect(path, content).await.unwrap_err();
    assert_eq!(error.code, Code::Invalid, "{error}");
    error.to_string()
}

/// A qcow2 header of version 3 for a disk of 1 MiB, changed by `edit`.
fn header(edit: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut h = vec![0; 512];
    h[..4].copy_from_slice(b"QFI\xfb");
    h[7] = 3;
    h[29] = 0x10; // size, big endian at 24: 0x10_0000
    edit(&mut h);
    h
}

type Edit = fn(&mut Vec<u8>);

#[test]
fn reads_the_header() {
    assert_eq!(qcow2(&header(|_| ())).unwrap(), 1 << 20);
    let wrong: [(&str, Edit); 8] = [
        ("backing file", |h| h[15] = 1),
        ("external file", |h| h[79] = 4),
        ("corrupt", |h| h[79] = 2),
        ("features that nobody", |h| h[78] = 1),
        ("encrypted", |h| h[35] = 1),
        ("version 1", |h| h[7] = 1),
        ("no bytes", |h| h[29] = 0),
        ("cut off", |h| h.truncate(20)),
    ];
    for (expected, edit) in wrong {
        let error = qcow2(&header(edit)).unwrap_err();
        assert!(error.message.contains(expected), "{expected}: {error}");
        assert_eq!(error.code, Code::Invalid);
    }
}

#[tokio::test]
async fn what_qemu_img_makes() {
    let dir = tempfile::tempdir().unwrap();
    let (base, overlay, external, data) = (
        dir.path().join("base.qcow2"),
        dir.path().join("overlay.qcow2"),
        dir.path().join("external.qcow2"),
        dir.path().join("data.raw"),
    );
    if qemu_img(&["create", "-q", "-f", "qcow2", text(&base), "64M"]).await.is_none() {
        return; // not installed here; the header tests stand alone
    }
    let facts = inspect(&base, Content::Qcow2).await.unwrap();
    assert_eq!(facts.virtual_size, ByteSize::mib(64));
    assert!(refusal(&base, Content::Raw).await.contains("qcow2"));

    qemu_img(&["create", "-q", "-f", "qcow2", "-b", text(&base), "-F", "qcow2", text(&overlay)]).await;
    assert!(refusal(&overlay, Content::Qcow2).await.contains("backing file"));
    let data_file = format!("data_file={}", text(&data));
    qemu_img(&["create", "-q", "-f", "qcow2", "-o", &data_file, text(&external), "1M"]).await;
    assert!(refusal(&external, Content::Qcow2).await.contains("external file"));
    for format in ["vmdk", "vdi", "vhdx"] {
        let path = dir.path().join(format);
        qemu_img(&["create", "-q", "-f", format, text(&path), "4M"]).await;
        assert!(refusal(&path, Content::Raw).await.contains(format));
        assert!(refusal(&path, Content::Qcow2).await.contains(format));
    }
}

#[tokio::test]
async fn a_header_without_an_image_is_refused_by_qemu_img() {
    let dir = tempfile::tempdir().unwrap();
    if qemu_img(&["--version"]).await.is_some() {
        let path = file(&dir, &header(|_| ()));
        assert!(refusal(&path, Content::Qcow2).await.contains("qemu-img"));
    }
}

#[tokio::test]
async fn raw_disks_and_boot_files() {
    let dir = tempfile::tempdir().unwrap();
    let raw = inspect(&file(&dir, &[0; 1000]), Content::Raw).await.unwrap();
    assert_eq!(raw.virtual_size, ByteSize(1024));
    assert!(refusal(&file(&dir, b""), Content::Raw).await.contains("empty"));
    assert!(refusal(&file(&dir, b"\x1f\x8b......"), Content::Raw).await.contains("compressed (gzip)"));
    assert!(refusal(&file(&dir, b"\xfd7zXZ\0..."), Content::Qcow2).await.contains("compressed (xz)"));
    assert!(refusal(&file(&dir, b"hello"), Content::Qcow2).await.contains("not a qcow2 image"));

    let mut kernel = vec![0; 1024];
    kernel[0x202..0x206].copy_from_slice(b"HdrS");
    inspect(&file(&dir, &kernel), Content::Kernel).await.unwrap();
    assert!(refusal(&file(&dir, b"hello"), Content::Kernel).await.contains("kernel"));
    inspect(&file(&dir, b"070701..."), Content::Initrd).await.unwrap();
    inspect(&file(&dir, b"\x1f\x8b..."), Content::Initrd).await.unwrap();
    assert!(refusal(&file(&dir, b"hello"), Content::Initrd).await.contains("initial RAM disk"));
}

proptest::proptest! {
    #[test]
    fn no_header_makes_it_panic(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
        let _ = raw(&bytes, bytes.len() as u64);
        let mut framed = b"QFI\xfb\0\0\0\x03".to_vec();
        framed.extend(bytes);
        let _ = qcow2(&framed);
    }
}
