//! A disk that is full under the controller's store: a small file system of the test's own.

#![allow(clippy::expect_used, clippy::unwrap_used)] // what is not as it must be ends the test

use api::{NewObject, Project, ProjectSpec};
use base::{Code, Name, Secret};
use client::{Client, Key, Options};
use e2e::{Cli, Process, eventually, skip};
use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    time::Duration,
};
use tempfile::TempDir;

const NAME: &str = "e2e_a_full_disk_is_said_and_loses_nothing";

/// A mount namespace with a small file system at `disk`, held by a process.
struct SmallDisk {
    holder: Process,
    disk: PathBuf,
}

impl SmallDisk {
    /// `None` where this user may not mount.
    async fn mount(dir: &Path) -> Option<Self> {
        let disk = dir.join("disk");
        fs::create_dir(&disk).unwrap();
        let mut command = rt::process::command("unshare");
        let script = "mount -t tmpfs -o size=24m tmpfs \"$0\" && touch \"$0/mounted\" && exec sleep 600";
        command.args(["-m", "sh", "-c", script]).arg(&disk);
        let mut small = SmallDisk { holder: Process::start(command, &dir.join("holder.log")), disk };
        let (mounted, holder) = (small.inside().join("mounted"), &mut small.holder);
        let there = eventually("the file system is there", Duration::from_secs(10), || {
            let state = (holder.has_ended(), mounted.exists());
            async move { (state.0 || state.1).then_some(state.1) }
        })
        .await;
        there.then_some(small)
    }

    /// The file system as it is seen from here.
    fn inside(&self) -> PathBuf {
        let path = format!("/proc/{}/root{}", self.holder.pid, self.disk.display());
        PathBuf::from(path)
    }

    /// Starts a controller whose directory is there, and waits until it serves.
    async fn controller(&self, cli: &Cli, log: &Path) -> (Process, Client) {
        let _ = fs::remove_file(self.inside().join("data/address"));
        let data = self.disk.join("data").display().to_string();
        let args = ["controller", "run", "--data-dir", &data, "--listen", "127.0.0.1:0", "--no-context"];
        let mut command = rt::process::command("nsenter");
        command.args(["-t", &self.holder.pid.to_string(), "-m"]).arg(e2e::binary()).args(args);
        cli.dress(&mut command);
        let process = Process::start(command, log);
        let data = self.inside().join("data");
        let client = eventually("the controller serves", Duration::from_secs(30), || async {
            let read = |file: &str| fs::read_to_string(data.join(file)).ok().map(|t| t.trim().to_owned());
            let mut options = Options::new(format!("https://{}", read("address")?));
            options.token = Some(Secret::new(read("admin.token")?));
            options.tls = Some(link::pki::client_tls_ca(&read("ca.crt")?).ok()?);
            let client = Client::new(options).ok()?;
            client.call(api::routes::RouteId::WhoAmI, &[]).raw().await.ok()?;
            Some(client)
        })
        .await;
        (process, client)
    }

    /// Takes all that is free.
    fn fill(&self) {
        let mut file = File::options().create(true).append(true).open(self.filler()).unwrap();
        for size in [1 << 16, 1 << 12, 1] {
            while file.write_all(&vec![b'x'; size]).is_ok() {}
        }
    }

    fn filler(&self) -> PathBuf {
        self.inside().join("filler")
    }
}

async fn create(client: &Client, number: usize) -> client::Result<Project> {
    let name = Name::new(format!("project-{number}")).unwrap();
    let new = NewObject { name, labels: BTreeMap::new(), spec: ProjectSpec::default() };
    client.create::<Project, _>(None, &new).await
}

async fn all_there(client: &Client, made: &[usize], refused: usize) {
    for number in made {
        let key = Key::cluster(format!("project-{number}"));
        client.get::<Project>(&key).await.expect("an acknowledged object");
    }
    let key = Key::cluster(format!("project-{refused}"));
    assert_eq!(client.find::<Project>(&key).await.unwrap(), None, "what was refused is not there");
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_a_full_disk_is_said_and_loses_nothing() {
    let dir = TempDir::with_prefix("hostler-e2e-").unwrap();
    let Some(small) = SmallDisk::mount(dir.path()).await else {
        return skip(NAME, "this user may not mount file systems");
    };
    let (cli, log) = (Cli::new(dir.path()), dir.path().join("controller.log"));
    let (mut controller, client) = small.controller(&cli, &log).await;
    let mut made = Vec::new();
    for number in 0..10 {
        create(&client, number).await.unwrap();
        made.push(number);
    }

    small.fill();
    let mut number = 10;
    let error = loop {
        match create(&client, number).await {
            Ok(_) => made.push(number), // there was room in the log that is there
            Err(e) => break e,
        }
        number += 1;
        assert!(number < 5_000, "the disk is never full");
    };
    assert_eq!(error.code(), Code::Exhausted, "{error}");
    assert_eq!(error.code().http_status(), 507);
    assert!(error.error.hint.as_ref().is_some_and(|hint| hint.contains("free space")), "{error:?}");
    all_there(&client, &made, number).await; // reading goes on

    fs::remove_file(small.filler()).unwrap();
    create(&client, 9_999).await.expect("there is space again");
    made.push(9_999);
    all_there(&client, &made, number).await;

    controller.kill().await;
    let (_controller, client) = small.controller(&cli, &log).await;
    all_there(&client, &made, number).await;
}
