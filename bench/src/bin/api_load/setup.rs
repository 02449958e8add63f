//! What the load runs against.

use api::{NewObject, Vm, VmPhase, VmSpec, Worker, query::ListQuery};
use base::{ByteSize, Name};
use bench::note;
use e2e::{Cluster, Layout, Process, Setup, eventually};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

const START: Duration = Duration::from_mins(5);
/// Requests at the same time while the VMs are made.
const CREATORS: usize = 32;
/// The project whose VMs are changed for the watchers.
pub const WATCHED: &str = "watched";
/// How many VMs that has.
pub const WATCHED_VMS: usize = 50;

/// How large it all is.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    pub workers: usize,
    pub vms: usize,
    pub connections: usize,
    pub watchers: usize,
    /// How long each measurement lasts.
    pub span: Duration,
    /// How long each step of the search lasts.
    pub step: Duration,
}

impl Size {
    pub const FULL: Size = Size {
        workers: 1_000,
        vms: 10_000,
        connections: 2_000,
        watchers: 200,
        span: Duration::from_secs(30),
        step: Duration::from_secs(10),
    };
    pub const QUICK: Size = Size {
        workers: 20,
        vms: 200,
        connections: 100,
        watchers: 20,
        span: Duration::from_secs(3),
        step: Duration::from_secs(2),
    };
}

/// A controller, its workers and its VMs.
pub struct Stage {
    pub size: Size,
    pub cluster: Cluster,
    _fleet: Process,
}

impl Stage {
    pub async fn start(size: Size) -> Self {
        let cluster = Cluster::start(Setup::synthetic(Layout::Apart, 0)).await;
        let fleet = fleet(&cluster, size.workers).await;
        note(format!("{} workers are online", size.workers));
        let stage = Stage { size, cluster, _fleet: fleet };
        stage.cluster.cli().run(&["project", "create", WATCHED]).await.ok();
        stage.fill("default", size.vms).await;
        stage.fill(WATCHED, WATCHED_VMS).await;
        note(format!("{} VMs run", size.vms + WATCHED_VMS));
        stage
    }

    /// Makes VMs and waits until they run.
    async fn fill(&self, project: &'static str, count: usize) {
        let (client, next) = (self.cluster.client(), Arc::new(AtomicUsize::new(0)));
        let creators = (0..CREATORS).map(|_| {
            let (client, next) = (client.clone(), next.clone());
            rt::task::spawn("creator", async move {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= count {
                        return;
                    }
                    let new = new_vm(&format!("vm-{n}"));
                    client.create::<Vm, _>(Some(project), &new).await.expect("a VM is made");
                }
            })
        });
        for creator in creators.collect::<Vec<_>>() {
            creator.await.expect("a creator ends");
        }
        eventually("all VMs run", START, || async {
            rt::clock::sleep(Duration::from_millis(500)).await;
            let (vms, _) = client.list_all::<Vm>(Some(project), &ListQuery::default()).await.ok()?;
            vms.iter().all(|vm| vm.status.phase == VmPhase::Running).then_some(())
        })
        .await;
    }
}

pub fn new_vm(name: &str) -> NewObject<VmSpec> {
    let mut spec = VmSpec::new(Name::new("synthetic").expect("a name"));
    spec.memory = ByteSize::gib(1);
    NewObject { name: Name::new(name).expect("a name"), labels: [].into(), spec }
}

/// This program again, as the process of the workers.
async fn fleet(cluster: &Cluster, workers: usize) -> Process {
    let count = workers.to_string();
    let made =
        cluster.cli().run(&["worker", "token", "create", "fleet", "--uses", &count, "-o", "json"]).await;
    let token = made.json()["status"]["token"].as_str().expect("the token's text").to_owned();
    let file = cluster.dir().join("fleet.token");
    std::fs::write(&file, token).expect("the token is written");
    let program = std::env::current_exe().expect("this program");
    let mut command = rt::process::command(program);
    command.arg("--fleet").arg(cluster.url()).arg(&file).arg(&count);
    let process = Process::start(command, &cluster.dir().join("fleet.log"));
    let client = cluster.client();
    eventually("all workers online", START, || async {
        rt::clock::sleep(Duration::from_millis(500)).await;
        let (all, _) = client.list_all::<Worker>(None, &ListQuery::default()).await.ok()?;
        (all.iter().filter(|w| w.status.online).count() == workers).then_some(())
    })
    .await;
    process
}
