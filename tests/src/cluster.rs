//! A cluster from its start to its end.

use crate::{Cli, Process, WallClock, binary, eventually, processes_under};
use base::{Secret, Uid};
use client::{Client, Key, Options};
use std::{
    collections::BTreeMap,
    fs,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    time::Duration,
};
use tempfile::TempDir;

/// Longest time for a part to serve.
const START: Duration = Duration::from_mins(1);

/// Which processes a cluster consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// `hostler dev`: all in one.
    Dev,
    /// `hostler controller run`, and `hostler worker run` for each worker.
    Apart,
}

impl Layout {
    /// `Apart` where `HOSTLER_TEST_LAYOUT` is `apart`, else `Dev`: for all tests that hold on both, which `make test` runs
    /// twice. A test names its layout where one process of the cluster ends or joins without the others (`Apart`), or
    /// where it writes plain HTTP byte by byte, or executes what is written for a newcomer (`Dev`).
    ///
    /// # Panics
    /// Where it is another word.
    pub fn chosen() -> Self {
        let chosen = crate::from_environment("HOSTLER_TEST_LAYOUT");
        match chosen.as_deref().map(|c| c.to_str().unwrap_or_default()) {
            None | Some("dev") => Layout::Dev,
            Some("apart") => Layout::Apart,
            Some(other) => panic!("HOSTLER_TEST_LAYOUT is {other}, neither dev nor apart"),
        }
    }
}

/// What a cluster is made of.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Its processes.
    pub layout: Layout,
    /// How many workers.
    pub workers: u32,
    /// Whether its VMs only play.
    pub synthetic: bool,
    /// The guest image to import as `tiny`.
    pub guest: Option<PathBuf>,
    /// What its processes take for the time of day, where that is not the machine's.
    pub clock: Option<WallClock>,
}

impl Setup {
    /// Workers that only play.
    pub fn synthetic(layout: Layout, workers: u32) -> Self {
        Setup { layout, workers, synthetic: true, guest: None, clock: None }
    }

    /// Workers that run QEMU, with this guest image.
    pub fn qemu(layout: Layout, workers: u32, guest: PathBuf) -> Self {
        Setup { layout, workers, synthetic: false, guest: Some(guest), clock: None }
    }
}

/// A running cluster. Dropping it ends all its processes, hypervisors included.
#[derive(Debug)]
pub struct Cluster {
    /// Its processes: the controller (or `dev`) first.
    pub controller: Process,
    /// Its workers, where they are apart.
    pub workers: Vec<Process>,
    /// Where its first controller listened.
    listen: Option<String>,
    setup: Setup,
    cli: Cli,
    dir: TempDir,
}

impl Cluster {
    /// Starts a cluster and waits until all its workers are online, and its image is there.
    ///
    /// # Panics
    /// Where a part does not start.
    pub async fn start(setup: Setup) -> Self {
        let dir = TempDir::with_prefix("hostler-e2e-").expect("a directory");
        let cli = Cli::new(dir.path());
        let cli = setup.clock.as_ref().map_or(cli.clone(), |clock| clock.dress(cli));
        let listen = format!("{}:0", loopback());
        let controller = start_controller(&cli, &setup, dir.path(), &listen, &[]);
        let mut cluster = Cluster { controller, workers: Vec::new(), listen: None, setup, cli, dir };
        cluster.wait_until_serving().await;
        cluster.listen = Some(cluster.address());
        if cluster.setup.layout == Layout::Apart && cluster.setup.workers > 0 {
            cluster.start_workers().await;
        }
        cluster.wait_until_online().await;
        cluster.bring_images().await;
        cluster
    }

    /// Which processes it consists of.
    pub fn layout(&self) -> Layout {
        self.setup.layout
    }

    /// The directory of everything.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The controller's state directory.
    pub fn data_dir(&self) -> PathBuf {
        data_dir(self.setup.layout, self.dir())
    }

    /// A worker's state directory, counted from 1.
    pub fn worker_dir(&self, worker: u32) -> PathBuf {
        match self.setup.layout {
            Layout::Dev => self.data_dir().join("workers").join(worker.to_string()),
            Layout::Apart => self.dir().join(format!("w{worker}")),
        }
    }

    /// The name of a worker, counted from 1.
    pub fn worker_name(&self, worker: u32) -> String {
        match self.setup.layout {
            Layout::Dev => format!("dev-{worker}"),
            Layout::Apart => format!("w{worker}"),
        }
    }

    /// The command line of its admin.
    pub fn cli(&self) -> &Cli {
        &self.cli
    }

    /// Where it listens: `127.x.y.z:PORT`.
    ///
    /// # Panics
    /// Before it serves.
    pub fn address(&self) -> String {
        fs::read_to_string(self.data_dir().join("address")).expect("it serves").trim().to_owned()
    }

    /// Its URL: plain for `dev`.
    pub fn url(&self) -> String {
        match self.setup.layout {
            Layout::Dev => format!("http://{}", self.address()),
            Layout::Apart => format!("https://{}", self.address()),
        }
    }

    /// The admin's token.
    ///
    /// # Panics
    /// Before it serves.
    pub fn token(&self) -> Secret {
        Secret::new(fs::read_to_string(self.data_dir().join("admin.token")).expect("a token").trim())
    }

    /// The client of its admin.
    pub fn client(&self) -> Client {
        self.client_with(|_| ())
    }

    /// The client of whoever has this token.
    pub fn client_of(&self, token: &Secret) -> Client {
        self.client_with(|options| options.token = Some(token.clone()))
    }

    /// The client of its admin, but for what `change` does to its options.
    ///
    /// # Panics
    /// Where the CA cannot be read.
    pub fn client_with(&self, change: impl FnOnce(&mut Options)) -> Client {
        let mut options = Options::new(self.url());
        options.token = Some(self.token());
        if self.setup.layout == Layout::Apart {
            let ca = fs::read_to_string(self.data_dir().join("ca.crt")).expect("a CA");
            options.tls = Some(link::pki::client_tls_ca(&ca).expect("a CA"));
        }
        change(&mut options);
        Client::new(options).expect("a client")
    }

    /// The name of the image to make VMs from.
    pub fn image(&self) -> &'static str {
        if self.setup.synthetic { "synthetic" } else { "tiny" }
    }

    /// Starts the controller again where it was, with these further arguments (`--failpoint NAME:N`). Does not wait.
    ///
    /// # Panics
    /// Before it served for the first time.
    pub fn restart_controller(&mut self, args: &[&str]) {
        self.forget_what_is_told_at_a_start();
        let address = self.listen.as_deref().expect("it has served");
        self.controller = start_controller(&self.cli, &self.setup, self.dir.path(), address, args);
    }

    /// As [`restart_controller`](Self::restart_controller), but by a program that is given the controller's command line.
    ///
    /// # Panics
    /// Where it never served.
    pub fn restart_controller_by(&mut self, by: &[&str]) {
        self.forget_what_is_told_at_a_start();
        let address = self.listen.as_deref().expect("it has served");
        let mut command = rt::process::command(by[0]);
        command.args(&by[1..]).arg(binary()).args(controller_arguments(&self.setup, address));
        self.cli.dress(&mut command);
        self.controller = Process::start(command, &self.dir.path().join("controller.log"));
    }

    /// What `dev` tells anew at each start: nobody must read what the start before said.
    fn forget_what_is_told_at_a_start(&self) {
        let mut told = vec![self.data_dir().join("address")];
        if self.setup.layout == Layout::Dev {
            told.extend([self.data_dir().join("admin.token"), self.context_file()]);
        }
        for file in told {
            let _ = fs::remove_file(file); // one that died at its start told nothing
        }
    }

    fn context_file(&self) -> PathBuf {
        self.cli.home().join("config/hostler/config.toml")
    }

    /// Starts a worker, counted from 1, again. Does not wait.
    pub fn restart_worker(&mut self, worker: u32) {
        let process = self.start_worker(worker, &[]);
        self.workers[worker as usize - 1] = process;
    }

    /// Waits until requests are answered.
    ///
    /// # Panics
    /// Where that does not happen, with the log.
    pub async fn wait_until_serving(&mut self) {
        let begin = rt::clock::now();
        loop {
            assert!(!self.controller.has_ended(), "it ended:\n{}", self.controller.log());
            assert!(begin.elapsed() < START, "it does not serve:\n{}", self.controller.log());
            let told = ["address", "admin.token", "ca.crt"].iter().all(|f| self.data_dir().join(f).exists());
            let told = told && self.context_file().exists(); // written last
            if told && self.client().call(api::routes::RouteId::WhoAmI, &[]).raw().await.is_ok() {
                return;
            }
            rt::clock::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until all workers are online.
    pub async fn wait_until_online(&self) {
        let client = self.client();
        let wanted = self.setup.workers as usize;
        eventually("all workers online", START, || async {
            let (workers, _) =
                client.list_all::<api::Worker>(None, &api::query::ListQuery::default()).await.ok()?;
            (workers.iter().filter(|w| w.status.online).count() == wanted).then_some(())
        })
        .await;
    }

    /// The hypervisors that run, by their process ids.
    pub fn hypervisors(&self) -> Vec<u32> {
        let is_qemu = |pid: &u32| {
            fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.starts_with("qemu-system"))
        };
        let mut pids: Vec<u32> =
            processes_under(self.dir()).into_iter().filter(is_qemu).filter(|p| crate::alive(*p)).collect();
        pids.sort_unstable();
        pids
    }

    /// The machines that a synthetic worker (counted from 1) has, as it wrote them down: uid, and how often it was
    /// started.
    ///
    /// # Panics
    /// Where what it wrote is not understood.
    pub fn synthetic_machines(&self, worker: u32) -> BTreeMap<Uid, u64> {
        let text = fs::read_to_string(self.worker_dir(worker).join("synthetic.jsonl")).unwrap_or_default();
        let mut machines = BTreeMap::new();
        // The last line may be in the writing.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        for line in whole.lines() {
            let line: serde_json::Value = serde_json::from_str(line).expect("a whole line");
            let observed = &line["observed"];
            let uid: Uid = observed["uid"].as_str().and_then(|uid| uid.parse().ok()).expect("a uid");
            if line["removed"] == true {
                machines.remove(&uid);
            } else {
                machines.insert(uid, observed["run"].as_u64().expect("a count"));
            }
        }
        machines
    }

    async fn start_workers(&mut self) {
        let n = self.setup.workers.to_string();
        let made =
            self.cli.run(&["worker", "token", "create", "e2e", "--uses", &n, "-o", "json"]).await.json();
        let token = made["status"]["token"].as_str().expect("the token's text").to_owned();
        fs::write(self.dir().join("join.token"), token).expect("the token is written");
        for worker in 1..=self.setup.workers {
            let file = self.dir().join("join.token").to_string_lossy().into_owned();
            let url = self.url();
            let process = self.start_worker(worker, &[&url, "--join-token-file", &file]);
            self.workers.push(process);
        }
    }

    fn start_worker(&self, worker: u32, args: &[&str]) -> Process {
        let dir = self.worker_dir(worker).to_string_lossy().into_owned();
        let name = self.worker_name(worker);
        let mut all = vec!["worker", "run", "--data-dir", &dir, "--name", &name];
        if self.setup.synthetic {
            all.push("--synthetic");
        }
        all.extend(args);
        Process::start(self.cli.command(&all), &self.dir().join(format!("{name}.log")))
    }

    async fn bring_images(&self) {
        if self.setup.synthetic && self.setup.layout == Layout::Apart {
            let new = serde_json::json!({
                "name": "synthetic",
                "spec": {"format": "synthetic", "arch": rt::host::arch()},
            });
            let new: api::NewObject<api::ImageSpec> = serde_json::from_value(new).expect("an image");
            let made = self.client().create::<api::Image, _>(None, &new).await;
            made.expect("the synthetic image is made");
        }
        let Some(dir) = &self.setup.guest else { return };
        if self.setup.layout == Layout::Dev {
            return self.wait_for_image().await;
        }
        let text = fs::read(dir.join("image.json")).expect("a guest image");
        let image: serde_json::Value = serde_json::from_slice(&text).expect("its description");
        let file = |part: &str| dir.join(image[part]["file"].as_str().expect("a file")).display().to_string();
        let (kernel, initrd) = (file("kernel"), file("initrd"));
        let line = image["commandLine"].as_str().expect("a command line");
        let args =
            ["image", "import", "tiny", "--kernel", &kernel, "--initrd", &initrd, "--command-line", line];
        self.cli.run(&args).await.ok();
    }

    /// `dev` imports its image while it serves already.
    async fn wait_for_image(&self) {
        let (client, key) = (self.client(), Key::cluster(self.image()));
        eventually("the image is there", START, || async {
            let image = client.find::<api::Image>(&key).await.ok()??;
            image.status.ready.then_some(())
        })
        .await;
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // The controller and workers first: a worker would start again what we end.
        for pid in [self.controller.pid].into_iter().chain(self.workers.iter().map(|w| w.pid)) {
            let _ = rt::process::signal(pid, rt::process::Signal::KILL);
        }
        for pid in processes_under(self.dir.path()) {
            let _ = rt::process::signal(pid, rt::process::Signal::KILL);
        }
        // The operations of a controller that was killed: the next one would end them.
        drop(runner::Place::of(&self.data_dir()));
    }
}

/// An address of this process's own (all of 127/8 is this host, under Linux): while a controller is away, nobody else
/// gets its port.
fn loopback() -> Ipv4Addr {
    let [_, a, b, c] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, 64 | a, b, c)
}

fn data_dir(layout: Layout, dir: &Path) -> PathBuf {
    match layout {
        Layout::Dev => dir.join("state/hostler/dev"),
        Layout::Apart => dir.join("state/hostler/controller"),
    }
}

fn start_controller(cli: &Cli, setup: &Setup, dir: &Path, listen: &str, args: &[&str]) -> Process {
    assert!(binary().exists(), "{} is not built: cargo build -p hostler", binary().display());
    let mut command = cli.command(&[]);
    command.args(controller_arguments(setup, listen)).args(args);
    Process::start(command, &dir.join("controller.log"))
}

fn controller_arguments(setup: &Setup, listen: &str) -> Vec<String> {
    let mut all = match setup.layout {
        Layout::Dev => vec!["dev".to_owned(), "--workers".to_owned(), setup.workers.to_string()],
        Layout::Apart => vec!["controller".to_owned(), "run".to_owned()],
    };
    all.extend(["--listen".to_owned(), listen.to_owned()]);
    if setup.layout == Layout::Dev {
        if setup.synthetic {
            all.push("--synthetic".to_owned());
        }
        if let Some(guest) = &setup.guest {
            all.extend(["--guest-image-dir".to_owned(), guest.display().to_string()]);
        }
    }
    all
}
