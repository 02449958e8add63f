//! Bad days of the controller, with synthetic workers in processes of their own.

#![allow(clippy::expect_used, clippy::unwrap_used)] // what is not as it must be ends the test

use api::{NewObject, Vm, VmPhase, VmSpec, Worker, query::RecordQuery, record::Event, routes::RouteId};
use base::{Name, Uid};
use client::{Client, Retry};
use e2e::{Cluster, Layout, Process, Seeded, Setup, eventually};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::{Semaphore, watch},
};

const CREATIONS: usize = 100;
const CLIENTS: usize = 6;
const KILLS: usize = 20;

/// Clients that make VMs, each until it has been told that it is made.
struct Creators {
    allowed: Semaphore,
    next: AtomicUsize,
    sent: watch::Sender<usize>,
    /// Requests that ended without an answer.
    broken: AtomicUsize,
    acknowledged: Mutex<BTreeMap<String, Uid>>,
}

impl Creators {
    fn start(cluster: &Cluster) -> (Arc<Self>, rt::task::Group) {
        // Each request that breaks is to be seen here.
        let client = cluster.client_with(|options| options.retry = Retry::NEVER);
        let creators = Arc::new(Creators {
            allowed: Semaphore::new(0),
            next: AtomicUsize::new(0),
            sent: watch::Sender::new(0),
            broken: AtomicUsize::new(0),
            acknowledged: Mutex::default(),
        });
        let tasks = rt::task::Group::new();
        for _ in 0..CLIENTS {
            let (creators, client) = (creators.clone(), client.clone());
            tasks.spawn("creator", async move { creators.create(&client).await });
        }
        (creators, tasks)
    }

    async fn create(&self, client: &Client) {
        loop {
            self.allowed.acquire().await.unwrap().forget();
            let number = self.next.fetch_add(1, Ordering::SeqCst);
            if number >= CREATIONS {
                return;
            }
            let name = format!("vm-{number}");
            let uid = self.create_one(client, &name).await;
            self.acknowledged.lock().unwrap().insert(name, uid);
        }
    }

    /// Asks until there is an answer, always with the same key.
    async fn create_one(&self, client: &Client, name: &str) -> Uid {
        let new = NewObject {
            name: Name::new(name).unwrap(),
            labels: BTreeMap::new(),
            spec: VmSpec::new(Name::new("synthetic").unwrap()),
        };
        let key = rt::ids::uid().to_string();
        self.sent.send_modify(|n| *n += 1);
        loop {
            let call = client.call(RouteId::CreateVm, &["default"]).json(&new);
            match call.idempotency_key(&key).send::<Vm>().await {
                Ok(vm) => return vm.metadata.uid,
                Err(e) if e.code() == base::Code::Unavailable => {
                    self.broken.fetch_add(1, Ordering::SeqCst);
                    rt::clock::sleep(Duration::from_millis(10)).await; // it is on its way up
                }
                Err(e) => panic!("{name} was refused: {e}"),
            }
        }
    }

    fn acknowledged(&self) -> usize {
        self.acknowledged.lock().unwrap().len()
    }

    fn in_flight(&self) -> usize {
        *self.sent.borrow() - self.acknowledged()
    }

    /// Allows one more and waits until it is on its way.
    async fn one_more(&self) {
        let mut sent = self.sent.subscribe();
        let before = *sent.borrow_and_update();
        self.allowed.add_permits(1);
        let on_its_way = sent.wait_for(|n| *n > before);
        let waited = tokio::time::timeout(Duration::from_secs(30), on_its_way).await;
        waited.expect("no client goes on").expect("the sender lives");
    }

    async fn all_acknowledged(&self) {
        self.allowed.add_permits(CREATIONS + CLIENTS);
        let all = || async { (self.acknowledged() == CREATIONS).then_some(()) };
        eventually("every creation is acknowledged", Duration::from_secs(30), all).await;
    }
}

/// Two workers with room for all.
async fn roomy() -> Cluster {
    let cluster = Cluster::start(Setup::synthetic(Layout::Apart, 2)).await;
    for worker in ["w1", "w2"] {
        cluster.cli().run(&["worker", "cpu-ratio", worker, "8"]).await.ok();
    }
    cluster
}

async fn vms(client: &Client) -> Vec<Vm> {
    client.list_all::<Vm>(None, &api::query::ListQuery::default()).await.expect("a list").0
}

async fn workers(client: &Client) -> Vec<Worker> {
    client.list_all::<Worker>(None, &api::query::ListQuery::default()).await.expect("a list").0
}

async fn events(client: &Client) -> Vec<Event> {
    let (mut all, mut after) = (Vec::new(), 0);
    loop {
        let query = RecordQuery { after: Some(after), limit: Some(1000), ..RecordQuery::default() };
        let page: api::List<Event> =
            client.call(RouteId::ListEvents, &[]).query(&query).send().await.unwrap();
        let Some(last) = page.items.last() else { return all };
        after = last.id;
        all.extend(page.items);
    }
}

async fn all_running(client: &Client, count: usize) -> Vec<Vm> {
    eventually("all VMs run", Duration::from_secs(30), || async {
        let vms = vms(client).await;
        let run = vms.iter().filter(|vm| vm.status.phase == VmPhase::Running).count();
        (run == count && vms.len() == count).then_some(vms)
    })
    .await
}

/// Nothing acknowledged is lost, nothing is there twice, nothing belongs to nobody, and nothing was deleted for that.
async fn nothing_lost_or_doubled(cluster: &Cluster, acknowledged: &BTreeMap<String, Uid>) {
    let client = cluster.client();
    let vms = all_running(&client, CREATIONS).await;
    let objects: BTreeMap<String, Uid> =
        vms.iter().map(|vm| (vm.metadata.name.to_string(), vm.metadata.uid)).collect();
    assert_eq!(&objects, acknowledged);
    assert_eq!(objects.values().collect::<BTreeSet<_>>().len(), CREATIONS, "a uid is there twice");

    let mut on_workers = Vec::new();
    for (worker, number) in [("w1", 1), ("w2", 2)] {
        let machines = cluster.synthetic_machines(number);
        assert!(machines.values().all(|run| *run == 1), "something was started twice on {worker}");
        on_workers.extend(machines.into_keys().map(|uid| (uid, worker.to_owned())));
    }
    on_workers.sort();
    let mut wanted: Vec<(Uid, String)> =
        vms.iter().map(|vm| (vm.metadata.uid, vm.status.worker.as_ref().unwrap().name.to_string())).collect();
    wanted.sort();
    assert_eq!(on_workers, wanted, "the workers run exactly what the controller knows");
    for worker in workers(&client).await {
        assert!(worker.status.unclaimed.is_empty(), "{:?}", worker.status.unclaimed);
    }

    let events = events(&client).await;
    let vm_events = |reason: &str| events.iter().filter(|e| e.kind == "vm" && e.reason == reason).count();
    assert_eq!(vm_events("Created"), CREATIONS);
    let ends: Vec<&Event> = events.iter().filter(|e| e.reason.contains("Delet")).collect();
    assert!(ends.is_empty(), "{ends:?}");
    assert!(vms.iter().all(|vm| vm.status.restart_count == 0 && vm.status.epoch == 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_kills_of_the_controller_lose_and_double_nothing() {
    let mut seeded = Seeded::new("e2e_kills_of_the_controller_lose_and_double_nothing");
    let mut cluster = roomy().await;
    let (creators, _tasks) = Creators::start(&cluster);
    let mut kills = 0;
    while kills < KILLS {
        for _ in 0..seeded.below(3) {
            creators.one_more().await;
        }
        rt::clock::sleep(Duration::from_micros(seeded.below(20_000))).await;
        if creators.in_flight() == 0 {
            creators.one_more().await;
        }
        let broken = creators.broken.load(Ordering::SeqCst);
        cluster.controller.end(rt::process::Signal::KILL).await;
        cluster.restart_controller(&[]);
        cluster.wait_until_serving().await;
        // One that came between two requests does not count.
        kills += usize::from(creators.broken.load(Ordering::SeqCst) > broken);
    }
    assert!(creators.acknowledged() < CREATIONS, "the kills came too late");
    creators.all_acknowledged().await;
    let acknowledged = creators.acknowledged.lock().unwrap().clone();
    nothing_lost_or_doubled(&cluster, &acknowledged).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_crashes_around_a_commit_lose_and_double_nothing() {
    let mut seeded = Seeded::new("e2e_crashes_around_a_commit_lose_and_double_nothing");
    let mut cluster = roomy().await;
    let (creators, _tasks) = Creators::start(&cluster);
    for point in ["store.before-commit", "store.after-commit", "store.before-reply"] {
        for _ in 0..4 {
            let armed = format!("{point}:{}", 1 + seeded.below(12));
            cluster.controller.kill().await;
            cluster.restart_controller(&["--failpoint", &armed]);
            // Creations, and what follows from them, pass the point until it ends the controller.
            let begin = rt::clock::now();
            while !cluster.controller.has_ended() {
                assert!(begin.elapsed() < Duration::from_secs(20), "{armed} was not passed");
                if creators.in_flight() < CLIENTS && *creators.sent.borrow() < CREATIONS {
                    creators.allowed.add_permits(1);
                }
                rt::clock::sleep(Duration::from_millis(10)).await;
            }
            let code = cluster.controller.wait(Duration::ZERO).await;
            assert_eq!(code, None, "it ended by itself:\n{}", cluster.controller.log());
        }
    }
    cluster.restart_controller(&[]);
    cluster.wait_until_serving().await;
    creators.all_acknowledged().await;
    let acknowledged = creators.acknowledged.lock().unwrap().clone();
    nothing_lost_or_doubled(&cluster, &acknowledged).await;
}

/// Makes VMs of the synthetic image, and waits until they run.
async fn with_vms(cluster: &Cluster, count: usize) -> Vec<Vm> {
    let client = cluster.client();
    for number in 0..count {
        let new = NewObject {
            name: Name::new(format!("vm-{number}")).unwrap(),
            labels: BTreeMap::new(),
            spec: VmSpec::new(Name::new("synthetic").unwrap()),
        };
        client.create::<Vm, _>(Some("default"), &new).await.unwrap();
    }
    all_running(&client, count).await
}

async fn phase_everywhere(client: &Client, phase: VmPhase) {
    eventually("all VMs are in that phase", Duration::from_secs(30), || async {
        vms(client).await.iter().all(|vm| vm.status.phase == phase).then_some(())
    })
    .await;
}

/// The same VMs, run on without a restart.
fn unharmed(before: &[Vm], after: &[Vm]) {
    assert_eq!(before.len(), after.len());
    for (old, new) in before.iter().zip(after) {
        assert_eq!(old.metadata.uid, new.metadata.uid);
        assert_eq!(old.status.started_at, new.status.started_at, "{}", new.metadata.name);
        assert_eq!((new.status.restart_count, new.status.epoch), (0, 1), "{}", new.metadata.name);
        assert_eq!(old.status.worker, new.status.worker);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_an_absent_controller_harms_no_vm() {
    let mut cluster = roomy().await;
    let before = with_vms(&cluster, 8).await;
    cluster.cli().run(&["settings", "set", "workerOfflineSeconds=2"]).await.ok();
    cluster.controller.kill().await;
    rt::clock::sleep(Duration::from_secs(4)).await; // longer than the limit
    cluster.restart_controller(&[]);
    cluster.wait_until_serving().await;
    cluster.wait_until_online().await;
    unharmed(&before, &all_running(&cluster.client(), 8).await);
    for worker in [1, 2] {
        assert!(cluster.synthetic_machines(worker).values().all(|run| *run == 1), "one was started again");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_vms_of_an_absent_worker_are_unknown_and_nothing_else() {
    let mut cluster = Cluster::start(Setup::synthetic(Layout::Apart, 1)).await;
    let before = with_vms(&cluster, 4).await;
    let client = cluster.client();
    cluster.cli().run(&["settings", "set", "workerOfflineSeconds=2"]).await.ok();
    cluster.workers[0].kill().await;
    phase_everywhere(&client, VmPhase::Unknown).await;
    let unknown = vms(&client).await;
    assert!(unknown.iter().all(|vm| vm.status.message.contains("may still run")), "{unknown:?}");
    assert!(!workers(&client).await[0].status.online);
    unharmed(&before, &unknown);
    cluster.restart_worker(1);
    cluster.wait_until_online().await;
    unharmed(&before, &all_running(&client, 4).await);
    let ends = events(&client).await.into_iter().filter(|e| e.reason.contains("Delet")).count();
    assert_eq!(ends, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_a_limit_below_the_heartbeat_does_not_make_a_live_worker_absent() {
    let cluster = Cluster::start(Setup::synthetic(Layout::Apart, 1)).await;
    with_vms(&cluster, 1).await;
    cluster.cli().run(&["settings", "set", "workerOfflineSeconds=1"]).await.ok();
    let begin = rt::clock::now();
    while begin.elapsed() < Duration::from_secs(6) {
        assert!(workers(&cluster.client()).await[0].status.online, "its link is up");
        rt::clock::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_vms_that_come_and_go_leave_nothing() {
    let cluster = Cluster::start(Setup::synthetic(Layout::Apart, 1)).await;
    cluster.cli().run(&["worker", "cpu-ratio", "w1", "8"]).await.ok();
    let client = cluster.client();
    let dir = cluster.worker_dir(1);
    let made = with_vms(&cluster, 50).await;
    let uids: Vec<String> = made.iter().map(|vm| vm.metadata.uid.to_string()).collect();
    let mut tunnels = Vec::new();
    for vm in &made {
        let key = client::Key::of(&vm.metadata);
        let mut tunnel = client.vm_port(&key, 7).await.unwrap();
        tunnel.write_all(b"there").await.unwrap();
        tunnel.flush().await.unwrap();
        let mut back = [0; 5];
        tunnel.read_exact(&mut back).await.unwrap();
        assert_eq!(&back, b"there");
        tunnels.push(tunnel);
    }
    assert!(under(&dir).iter().any(|path| path.contains(&uids[0])), "there is something to leave behind");
    for vm in &made {
        client.delete::<Vm>(&client::Key::of(&vm.metadata)).await.unwrap();
    }
    eventually("all VMs are gone", Duration::from_secs(30), || async {
        vms(&client).await.is_empty().then_some(())
    })
    .await;
    let worker = eventually("nothing is charged any more", Duration::from_secs(10), || async {
        let worker = workers(&client).await.remove(0);
        (worker.status.reserved == api::worker::Amounts::default()).then_some(worker)
    })
    .await;
    assert!(worker.status.unclaimed.is_empty());
    for mut tunnel in tunnels {
        let mut rest = Vec::new();
        let end = tokio::time::timeout(Duration::from_secs(5), tunnel.read_to_end(&mut rest)).await;
        assert!(end.is_ok(), "a tunnel outlives its VM");
    }
    let left: Vec<String> = under(&dir).into_iter().filter(|p| uids.iter().any(|u| p.contains(u))).collect();
    assert!(left.is_empty(), "{left:?}");
    assert!(cluster.synthetic_machines(1).is_empty());
}

/// All paths below a directory.
fn under(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .flat_map(|entry| {
            let path = entry.path();
            let mut paths = if path.is_dir() { under(&path) } else { Vec::new() };
            paths.push(path.display().to_string());
            paths
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_a_port_in_use_is_said() {
    let cluster = Cluster::start(Setup::synthetic(Layout::Apart, 1)).await;
    let dir = cluster.dir().join("second").display().to_string();
    let address = cluster.address();
    let args = ["controller", "run", "--data-dir", &dir, "--listen", &address, "--no-context"];
    let said = cluster.cli().run(&args).await.fails(6);
    assert!(said.contains(&address) && said.contains("--listen"), "{said}");
    let same = cluster.data_dir().display().to_string();
    let args = ["controller", "run", "--data-dir", &same, "--listen", "127.0.0.1:0", "--no-context"];
    let said = cluster.cli().run(&args).await.fails(6);
    assert!(said.contains("another process") && said.contains("--data-dir"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_a_missing_hypervisor_is_said() {
    let cluster = Cluster::start(Setup::synthetic(Layout::Apart, 1)).await;
    let cli = cluster.cli();
    let made = cli.run(&["worker", "token", "create", "bare", "-o", "json"]).await.json();
    let file = cluster.dir().join("bare.token");
    fs::write(&file, made["status"]["token"].as_str().unwrap()).unwrap();
    let (dir, file) = (cluster.dir().join("bare").display().to_string(), file.display().to_string());
    let url = cluster.url();
    let args = ["worker", "run", &url, "--join-token-file", &file, "--data-dir", &dir, "--name", "bare"];
    let mut command = cli.command(&args);
    command.env("PATH", cluster.dir());
    let mut process = Process::start(command, &cluster.dir().join("bare.log"));
    let client = cluster.client();
    let said = eventually("the worker says what it lacks", Duration::from_secs(30), || async {
        let worker: Worker = client.get(&client::Key::cluster("bare")).await.ok()?;
        worker.status.conditions.into_iter().find(|c| !c.status).map(|c| c.message)
    })
    .await;
    assert!(said.contains("qemu") && said.contains("apt-get install"), "{said}");
    let listed = cli.run(&["worker", "list"]).await.ok();
    assert!(listed.contains("apt-get install"), "{listed}");
    assert!(!process.has_ended(), "it waits for the program");
}
