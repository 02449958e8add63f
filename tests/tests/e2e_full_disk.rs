//! A disk that is full, under the controller's store and under a worker's guests: a small file system of the test's own.

#![allow(clippy::expect_used, clippy::unwrap_used)] // what is not as it must be ends the test

use api::{NewObject, Project, ProjectSpec};
use base::{Code, Name, Secret};
use client::{Client, Key, Options};
use e2e::{Cli, Cluster, Layout, Process, Setup, eventually, guest_image, skip};
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
    async fn mount(dir: &Path, mebibytes: u32) -> Option<Self> {
        let disk = dir.join("disk");
        fs::create_dir(&disk).unwrap();
        let mut command = rt::process::command("unshare");
        let script = "mount -t tmpfs -o size=$1m tmpfs \"$0\" && touch \"$0/mounted\" && exec sleep 600";
        command.args(["-m", "sh", "-c", script]).arg(&disk).arg(mebibytes.to_string());
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
        let process = self.start(cli, &args, log);
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

    /// Starts our program where the file system is.
    fn start(&self, cli: &Cli, args: &[&str], log: &Path) -> Process {
        let mut command = rt::process::command("nsenter");
        command.args(["-t", &self.holder.pid.to_string(), "-m"]).arg(e2e::binary()).args(args);
        cli.dress(&mut command);
        Process::start(command, log)
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
    let Some(small) = SmallDisk::mount(dir.path(), 24).await else {
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

#[tokio::test(flavor = "multi_thread")]
async fn qemu_a_full_disk_of_a_worker_pauses_its_guests() {
    let name = "qemu_a_full_disk_of_a_worker_pauses_its_guests";
    let Some(guest) = guest_image() else { return skip(name, "the guest image is not built") };
    let cluster = Cluster::start(Setup::qemu(Layout::Apart, 0, guest)).await;
    let Some(small) = SmallDisk::mount(cluster.dir(), 480).await else {
        return skip(name, "this user may not mount file systems");
    };
    let cli = cluster.cli();
    let made = cli.run(&["worker", "token", "create", "small", "-o", "json"]).await.json();
    let token = cluster.dir().join("small.token").display().to_string();
    fs::write(&token, made["status"]["token"].as_str().unwrap()).unwrap();
    let (url, data) = (cluster.url(), small.disk.join("worker").display().to_string());
    let args = ["worker", "run", &url, "--join-token-file", &token, "--data-dir", &data, "--name", "small"];
    let args = [&args[..], &["--reserve-disk", "0"]].concat();
    let _worker = small.start(cli, &args, &cluster.dir().join("small.log"));

    let create = ["vm", "create", "web", "--image", "tiny", "--memory", "128MiB", "--disk", "64MiB"];
    cli.run(&[&create[..], &["--wait", "--timeout", "2m"]].concat()).await.ok();
    let says = async |word: &str| {
        let ran = cli.run(&["vm", "get", "web", "-o", "json"]).await.json();
        ran["status"]["message"].as_str().unwrap_or_default().contains(word).then_some(ran)
    };
    let minute = Duration::from_mins(1);

    // No room for what the guest writes: it is paused, and loses nothing.
    let pid = cluster.hypervisors();
    small.fill();
    let line = "head -c 20000000 /dev/zero | tr '\\0' x >f && sync && wc -c <f";
    let write = ["vm", "exec", "web", "--", line];
    let (wrote, ()) = tokio::join!(cli.run(&write), async {
        let paused = eventually("it is paused", minute, async || says("paused").await).await;
        let message = paused["status"]["message"].as_str().unwrap();
        assert!(message.contains("disk") && message.contains("free space"), "{message}");
        fs::remove_file(small.filler()).unwrap();
    });
    assert_eq!(wrote.ok().trim(), "20000000");
    assert_eq!(cluster.hypervisors(), pid, "it is the same guest");
    eventually("it says nothing any more", minute, async || {
        let vm = cli.run(&["vm", "get", "web", "-o", "json"]).await.json();
        (vm["status"]["phase"] == "Running" && vm["status"]["message"] == "").then_some(())
    })
    .await;
}
