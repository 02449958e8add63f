//! SFTP servers that are poor, or mean harm.

use base::Code;
use russh_sftp::{
    protocol::{Attrs, Data, File, FileAttributes, Handle, Name, OpenFlags, Status, StatusCode},
    server,
};
use ssh::sftp::SftpClient;
use std::{collections::HashSet, fs, path::Path};

const DIRECTORY: u32 = 0o040_755;
const FILE: u32 = 0o100_644;
const LINK: u32 = 0o120_777;

/// What it lists where, what its files contain, and how it writes. It knows no extension, so no limits either.
#[derive(Default)]
struct Fake {
    listings: Vec<(&'static str, Vec<(&'static str, u32)>)>,
    content: Vec<u8>,
    /// The most bytes it gives to one read.
    short: usize,
    /// Bytes after which its disk is full.
    room: u64,
    listed: HashSet<String>,
}

fn attributes(mode: u32, size: usize) -> FileAttributes {
    FileAttributes { permissions: Some(mode), size: Some(size as u64), ..FileAttributes::default() }
}

fn done(id: u32) -> Status {
    Status { id, status_code: StatusCode::Ok, error_message: String::new(), language_tag: String::new() }
}

impl Fake {
    fn mode(&self, path: &str) -> Option<u32> {
        if path == "deep" || path.starts_with("deep/") || self.listings.iter().any(|(p, _)| *p == path) {
            return Some(DIRECTORY);
        }
        (path == "file").then_some(FILE)
    }
}

impl server::Handler for Fake {
    type Error = StatusCode;

    fn unimplemented(&self) -> StatusCode {
        StatusCode::OpUnsupported
    }

    async fn stat(&mut self, id: u32, path: String) -> Result<Attrs, StatusCode> {
        let mode = self.mode(&path).ok_or(StatusCode::NoSuchFile)?;
        Ok(Attrs { id, attrs: attributes(mode, self.content.len()) })
    }

    async fn opendir(&mut self, id: u32, path: String) -> Result<Handle, StatusCode> {
        self.listed.remove(&path);
        Ok(Handle { id, handle: path })
    }

    async fn readdir(&mut self, id: u32, path: String) -> Result<Name, StatusCode> {
        if !self.listed.insert(path.clone()) {
            return Err(StatusCode::Eof);
        }
        let mut names = vec![(".", DIRECTORY), ("..", DIRECTORY)];
        match self.listings.iter().find(|(p, _)| *p == path) {
            Some((_, listed)) => names.extend(listed),
            None => names.push(("d", DIRECTORY)),
        }
        let size = self.content.len();
        let files = names.into_iter().map(|(name, mode)| File::new(name, attributes(mode, size))).collect();
        Ok(Name { id, files })
    }

    async fn readlink(&mut self, id: u32, _: String) -> Result<Name, StatusCode> {
        Ok(Name { id, files: vec![File::dummy("/etc")] })
    }

    async fn open(
        &mut self,
        id: u32,
        path: String,
        _: OpenFlags,
        _: FileAttributes,
    ) -> Result<Handle, StatusCode> {
        Ok(Handle { id, handle: path })
    }

    async fn close(&mut self, id: u32, _: String) -> Result<Status, StatusCode> {
        Ok(done(id))
    }

    async fn read(&mut self, id: u32, _: String, offset: u64, len: u32) -> Result<Data, StatusCode> {
        let start = usize::try_from(offset).unwrap();
        let end = self.content.len().min(start + (len as usize).min(self.short));
        if start >= end {
            return Err(StatusCode::Eof);
        }
        Ok(Data { id, data: self.content[start..end].to_vec() })
    }

    async fn write(&mut self, id: u32, _: String, offset: u64, data: Vec<u8>) -> Result<Status, StatusCode> {
        if offset + data.len() as u64 > self.room { Err(StatusCode::Failure) } else { Ok(done(id)) }
    }
}

async fn client(fake: Fake) -> SftpClient {
    let (ours, theirs) = tokio::io::duplex(1 << 16);
    server::run(theirs, fake).await;
    SftpClient::new(ours).await.unwrap()
}

async fn fetch(fake: Fake, path: &str, into: &Path) -> base::Result<ssh::sftp::Copied> {
    client(fake).await.download(path, into, true, |_, _| {}).await
}

#[tokio::test]
async fn names_that_lead_elsewhere_are_refused() {
    for name in ["../../escape", "/tmp/escape", "a/b", "", "x\0y", "../.."] {
        let dir = tempfile::tempdir().unwrap();
        let fake = Fake { listings: vec![("evil", vec![("good", FILE), (name, FILE)])], ..Fake::default() };
        let e = fetch(fake, "evil", dir.path()).await.unwrap_err();
        assert_eq!(e.code, Code::Forbidden, "{name:?}");
        assert_eq!(
            fs::read_dir(dir.path()).unwrap().count(),
            0,
            "nothing is written before all names are known"
        );
    }
}

#[tokio::test]
async fn a_link_is_not_a_way_out() {
    let dir = tempfile::tempdir().unwrap();
    // The same name, first as a link to somewhere, then as a directory to write into.
    let twice = vec![("evil", vec![("x", LINK), ("x", DIRECTORY)]), ("evil/x", vec![("passwd", FILE)])];
    let e = fetch(Fake { listings: twice, ..Fake::default() }, "evil", dir.path()).await.unwrap_err();
    assert_eq!(e.code, Code::Forbidden);
    // A link that is there from an earlier copy.
    let outside = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("later")).unwrap();
    std::os::unix::fs::symlink(outside.path(), dir.path().join("later/x")).unwrap();
    let later = vec![("later", vec![("x", DIRECTORY)]), ("later/x", vec![("passwd", FILE)])];
    let e =
        fetch(Fake { listings: later, short: 10, ..Fake::default() }, "later", dir.path()).await.unwrap_err();
    assert_eq!(e.code, Code::Conflict);
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
    // And one in the place of a file is replaced, not followed.
    let target = outside.path().join("kept");
    fs::write(&target, "kept").unwrap();
    fs::create_dir(dir.path().join("files")).unwrap();
    std::os::unix::fs::symlink(&target, dir.path().join("files/f")).unwrap();
    let files = vec![("files", vec![("f", FILE)])];
    let fake = Fake { listings: files, content: b"new".to_vec(), short: 10, ..Fake::default() };
    fetch(fake, "files", dir.path()).await.unwrap();
    assert_eq!(fs::read(&target).unwrap(), b"kept");
    assert_eq!(fs::read(dir.path().join("files/f")).unwrap(), b"new");
}

#[tokio::test]
async fn an_endless_tree_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let e = fetch(Fake::default(), "deep", dir.path()).await.unwrap_err();
    assert_eq!(e.code, Code::Forbidden);
}

#[tokio::test]
async fn short_reads_are_completed() {
    let dir = tempfile::tempdir().unwrap();
    let content: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
    let fake = Fake { content: content.clone(), short: 10_007, ..Fake::default() };
    fetch(fake, "file", &dir.path().join("copy")).await.unwrap();
    assert!(fs::read(dir.path().join("copy")).unwrap() == content);
}

#[tokio::test]
async fn a_full_disk_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("large"), vec![1; 1_000_000]).unwrap();
    let client = client(Fake { room: 500_000, ..Fake::default() }).await;
    let e = client.upload(&dir.path().join("large"), "there", false, |_, _| {}).await.unwrap_err();
    assert_eq!(e.code, Code::Conflict);
    assert!(e.hint.unwrap().contains("disk"));
}

#[tokio::test]
async fn no_sftp_server_is_an_error() {
    let (ours, theirs) = tokio::io::duplex(100);
    drop(theirs);
    assert_eq!(SftpClient::new(ours).await.err().unwrap().code, Code::Unavailable);
    let (ours, mut theirs) = tokio::io::duplex(100);
    let talk = rt::task::spawn("talk", async move {
        let _ =
            tokio::io::AsyncWriteExt::write_all(&mut theirs, b"This account is currently not available.\n")
                .await;
        std::future::pending::<()>().await;
    });
    assert_eq!(SftpClient::new(ours).await.err().unwrap().code, Code::Unavailable);
    drop(talk);
}
