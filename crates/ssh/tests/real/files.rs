//! SFTP against OpenSSH's server.

use crate::Server;
use base::Code;
use sha2::{Digest, Sha256};
use ssh::sftp::{Copied, SftpClient};
use std::{
    collections::BTreeMap,
    fs::{self, Permissions},
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
};
use tempfile::TempDir;

/// A server, a session with it, and two directories: ours, and the server's.
struct Copying {
    server: Server,
    sftp: SftpClient,
    _dir: TempDir,
    here: PathBuf,
    there: PathBuf,
}

impl Copying {
    async fn start() -> Self {
        let server = Server::start().await;
        let sftp = server.connect().await.sftp().await.unwrap();
        let dir = tempfile::tempdir().unwrap();
        let (here, there) = (dir.path().join("here"), dir.path().join("there"));
        fs::create_dir(&here).unwrap();
        fs::create_dir(&there).unwrap();
        Copying { server, sftp, _dir: dir, here, there }
    }

    async fn up(&self, local: &str, remote: &str) -> base::Result<Copied> {
        let remote = self.there.join(remote);
        self.sftp.upload(&self.here.join(local), remote.to_str().unwrap(), true, |_, _| {}).await
    }

    async fn down(&self, remote: &str, local: &str) -> base::Result<Copied> {
        let remote = self.there.join(remote);
        self.sftp.download(remote.to_str().unwrap(), &self.here.join(local), true, |_, _| {}).await
    }
}

fn noise(length: usize) -> Vec<u8> {
    let mut seed = 88_172_645_463_325_252_u64;
    let next = || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed.to_le_bytes()
    };
    std::iter::repeat_with(next).flatten().take(length).collect()
}

/// What is in a tree: for each path its mode and its digest or link target.
fn picture(root: &Path) -> BTreeMap<String, String> {
    let mut seen = BTreeMap::new();
    let mut open = vec![root.to_owned()];
    while let Some(path) = open.pop() {
        let facts = fs::symlink_metadata(&path).unwrap();
        let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
        let mode = facts.permissions().mode() & 0o777;
        let what = if facts.is_dir() {
            open.extend(fs::read_dir(&path).unwrap().map(|e| e.unwrap().path()));
            format!("{mode:o} directory")
        } else if facts.is_symlink() {
            format!("link to {}", fs::read_link(&path).unwrap().display())
        } else {
            format!("{mode:o} {:?}", Sha256::digest(fs::read(&path).unwrap()))
        };
        seen.insert(name, what);
    }
    seen
}

fn plant(path: &Path, content: &[u8], mode: u32) {
    fs::write(path, content).unwrap();
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// A tree with what trees have: odd names and modes, empty things, links that work and links that do not.
fn plant_tree(root: &Path) {
    fs::create_dir_all(root.join("a/b c/d")).unwrap();
    fs::create_dir(root.join("empty")).unwrap();
    plant(&root.join("plain"), b"hello\n", 0o644);
    plant(&root.join("run"), b"#!/bin/sh\n", 0o755);
    plant(&root.join("a/nothing"), b"", 0o600);
    plant(&root.join("a/b c/naïve 'name\" \\ $x"), b"odd", 0o666);
    plant(&root.join("a/b c/d/large"), &noise(3_000_001), 0o640);
    for i in 0..40 {
        plant(&root.join(format!("a/b c/d/{i}")), format!("{i}").as_bytes(), 0o644);
    }
    symlink("plain", root.join("link")).unwrap();
    symlink("/no/such/file", root.join("a/broken")).unwrap();
    symlink("..", root.join("a/up")).unwrap();
    plant(&root.join("read only"), b"x", 0o444);
    fs::create_dir(root.join("shut")).unwrap();
    plant(&root.join("shut/inside"), b"x", 0o644);
    fs::set_permissions(root.join("shut"), Permissions::from_mode(0o555)).unwrap();
}

#[tokio::test]
async fn trees_survive_both_ways() {
    let at = Copying::start().await;
    plant_tree(&at.here.join("tree"));
    let copied = at.up("tree", "copy").await.unwrap();
    assert_eq!(picture(&at.there.join("copy")), picture(&at.here.join("tree")));
    let expected = Copied {
        files: 47,
        directories: 6,
        links: 3,
        bytes: 3_000_001 + 6 + 10 + 3 + 10 + 60 + 2,
        skipped: vec![],
    };
    assert_eq!(copied, expected);
    let back = at.down("copy", "back").await.unwrap();
    assert_eq!(back, copied);
    assert_eq!(picture(&at.here.join("back")), picture(&at.here.join("tree")));
}

#[tokio::test]
async fn a_directory_gets_the_source_inside() {
    let at = Copying::start().await;
    plant_tree(&at.here.join("tree"));
    plant(&at.here.join("file"), b"1", 0o644);
    at.up("tree", "").await.unwrap();
    at.up("file", "tree/empty").await.unwrap();
    at.up("file", "tree/empty/renamed").await.unwrap();
    assert_eq!(fs::read(at.there.join("tree/empty/file")).unwrap(), b"1");
    assert_eq!(fs::read(at.there.join("tree/empty/renamed")).unwrap(), b"1");
    assert_eq!(fs::read(at.there.join("tree/plain")).unwrap(), b"hello\n");
    fs::create_dir(at.here.join("in")).unwrap();
    at.down("tree", "in").await.unwrap();
    at.down("tree/plain", "in").await.unwrap();
    assert_eq!(picture(&at.here.join("in/tree")), picture(&at.there.join("tree")));
    assert_eq!(fs::read(at.here.join("in/plain")).unwrap(), b"hello\n");
}

#[tokio::test]
async fn copying_again_replaces_and_merges() {
    let at = Copying::start().await;
    plant_tree(&at.here.join("tree"));
    // Nobody but root could replace what is in there.
    fs::set_permissions(at.here.join("tree/shut"), Permissions::from_mode(0o755)).unwrap();
    at.up("tree", "copy").await.unwrap();
    fs::write(at.here.join("tree/plain"), "x").unwrap();
    fs::remove_file(at.here.join("tree/link")).unwrap();
    symlink("run", at.here.join("tree/link")).unwrap();
    fs::write(at.there.join("copy/extra"), "kept").unwrap();
    // Into "copy", since that exists now and the source has its name.
    fs::rename(at.here.join("tree"), at.here.join("copy")).unwrap();
    at.up("copy", "").await.unwrap();
    assert_eq!(fs::read(at.there.join("copy/plain")).unwrap(), b"x");
    assert_eq!(fs::read_link(at.there.join("copy/link")).unwrap(), Path::new("run"));
    assert_eq!(fs::read(at.there.join("copy/extra")).unwrap(), b"kept");
    at.down("copy", "").await.unwrap();
    assert_eq!(fs::read(at.here.join("copy/extra")).unwrap(), b"kept");
    assert_eq!(picture(&at.here.join("copy")), picture(&at.there.join("copy")));
}

#[tokio::test]
async fn a_large_file_tells_its_progress() {
    let at = Copying::start().await;
    let content = noise(40_000_000);
    plant(&at.here.join("large"), &content, 0o644);
    for upload in [true, false] {
        let mut steps = Vec::new();
        let note = |done, total| steps.push((done, total));
        let copied = if upload {
            at.sftp
                .upload(&at.here.join("large"), at.there.join("large").to_str().unwrap(), false, note)
                .await
        } else {
            at.sftp
                .download(at.there.join("large").to_str().unwrap(), &at.here.join("back"), false, note)
                .await
        };
        assert_eq!(copied.unwrap().bytes, 40_000_000);
        assert_eq!((steps[0], *steps.last().unwrap()), ((0, 40_000_000), (40_000_000, 40_000_000)));
        assert!(steps.len() > 100 && steps.is_sorted(), "{}", steps.len());
    }
    assert!(fs::read(at.there.join("large")).unwrap() == content, "damaged on its way up");
    assert!(fs::read(at.here.join("back")).unwrap() == content, "damaged on its way down");
    assert_eq!(fs::read_dir(&at.here).unwrap().count(), 2, "nothing is left of the copy under another name");
}

#[tokio::test]
async fn a_server_without_limits_gets_small_requests() {
    // Servers other than OpenSSH's know no limits; a client that did not ask uses the small size.
    let at = Copying::start().await;
    for length in [0, 1, 32_767, 32_768, 32_769, 261_119, 261_120, 261_121, 1_000_000] {
        let content = noise(length);
        plant(&at.here.join("edge"), &content, 0o644);
        at.up("edge", "edge").await.unwrap();
        at.down("edge", "again").await.unwrap();
        assert!(fs::read(at.here.join("again")).unwrap() == content, "{length}");
    }
}

#[tokio::test]
async fn a_file_without_a_size_is_read_to_its_end() {
    let at = Copying::start().await;
    if Path::new("/proc/cpuinfo").exists() {
        at.sftp.download("/proc/version", &at.here.join("version"), false, |_, _| {}).await.unwrap();
        assert_eq!(fs::read(at.here.join("version")).unwrap(), fs::read("/proc/version").unwrap());
    }
}

#[tokio::test]
async fn links_named_by_the_user_are_followed() {
    let at = Copying::start().await;
    plant(&at.here.join("real"), b"content", 0o644);
    symlink("real", at.here.join("link")).unwrap();
    at.up("link", "copy").await.unwrap();
    assert!(fs::symlink_metadata(at.there.join("copy")).unwrap().is_file());
    symlink("copy", at.there.join("link")).unwrap();
    symlink("kept", at.here.join("target")).unwrap();
    fs::write(at.here.join("kept"), "old").unwrap();
    at.down("link", "target").await.unwrap();
    assert_eq!(fs::read(at.here.join("kept")).unwrap(), b"content");
    assert!(fs::symlink_metadata(at.here.join("target")).unwrap().is_symlink());
}

#[tokio::test]
async fn what_is_no_file_is_skipped_and_named() {
    let at = Copying::start().await;
    for root in [at.here.join("up"), at.there.join("down")] {
        fs::create_dir(&root).unwrap();
        fs::write(root.join("file"), "x").unwrap();
        std::os::unix::net::UnixListener::bind(root.join("socket")).unwrap();
    }
    let up = at.up("up", "copy").await.unwrap();
    assert_eq!((up.files, up.skipped.len()), (1, 1));
    assert!(up.skipped[0].contains("socket"));
    let down = at.down("down", "back").await.unwrap();
    assert_eq!((down.files, down.skipped.len()), (1, 1));
}

#[tokio::test]
async fn errors_name_the_path_and_the_reason() {
    let at = Copying::start().await;
    fs::create_dir(at.here.join("dir")).unwrap();
    fs::create_dir(at.there.join("dir")).unwrap();
    fs::write(at.here.join("file"), "x").unwrap();
    fs::write(at.there.join("file"), "x").unwrap();
    let plain = |path: PathBuf| path.to_str().unwrap().to_owned();
    let there = |name: &str| plain(at.there.join(name));

    let e = at.sftp.upload(&at.here.join("dir"), &there("x"), false, |_, _| {}).await.unwrap_err();
    assert_eq!((e.code, e.hint.unwrap().contains("--recursive")), (Code::Invalid, true));
    let e = at.sftp.download(&there("dir"), &at.here.join("x"), false, |_, _| {}).await.unwrap_err();
    assert_eq!((e.code, e.hint.unwrap().contains("--recursive")), (Code::Invalid, true));

    let cases = [
        (at.up("missing", "x").await, Code::NotFound),
        (at.down("missing", "x").await, Code::NotFound),
        (at.up("file", "no/such/dir").await, Code::NotFound),
        (at.up("file", "no/").await, Code::NotFound),
        (at.down("file", "no/such/dir").await, Code::NotFound),
        (at.up("dir", "file").await, Code::Conflict),
        (at.down("dir", "file").await, Code::Conflict),
    ];
    for (i, (result, code)) in cases.into_iter().enumerate() {
        let e = result.unwrap_err();
        assert_eq!(e.code, code, "case {i}: {e}");
    }
    assert_eq!(fs::read_dir(&at.here).unwrap().count(), 2, "nothing was left behind");
}

#[tokio::test]
async fn a_session_that_ends_is_an_error_and_no_hang() {
    let at = Copying::start().await;
    plant(&at.here.join("large"), &noise(20_000_000), 0o644);
    let connection = at.server.connect().await;
    let sftp = connection.sftp().await.unwrap();
    let target = at.there.join("large");
    let mut closing = None;
    let source = at.here.join("large");
    let upload = sftp.upload(&source, target.to_str().unwrap(), false, |done, _| {
        if done > 1_000_000 && closing.is_none() {
            let connection = connection.clone();
            closing = Some(rt::task::spawn("close", async move { connection.close().await }));
        }
    });
    let e = rt::clock::timeout(std::time::Duration::from_secs(30), "the failure", upload)
        .await
        .unwrap()
        .unwrap_err();
    assert_eq!(e.code, Code::Unavailable, "{e}");
}
