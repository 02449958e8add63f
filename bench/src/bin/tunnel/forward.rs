//! Ours: a controller, a worker with a VM that only plays, and `hostler vm port-forward`, each a process.

use crate::ends::Ends;
use api::{NewObject, Vm, VmSpec};
use base::Name;
use client::{Key, wait::Goal};
use e2e::{Cluster, Layout, Process, Setup, eventually};
use std::{net::SocketAddr, process::Stdio, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite, join},
    process::Child,
};

const START: Duration = Duration::from_secs(30);

/// A forward of three ports of a VM.
pub struct Forward {
    pub ends: Ends,
    pub echo: SocketAddr,
    _process: Process,
    cluster: Cluster,
}

/// The terminal of somebody who types.
pub struct Terminal {
    child: Child,
}

impl Forward {
    pub async fn start() -> Self {
        let cluster = Cluster::start(Setup::synthetic(Layout::Apart, 1)).await;
        let client = cluster.client();
        let name = |text: &str| Name::new(text).expect("a name");
        let new = NewObject { name: name("far"), labels: [].into(), spec: VmSpec::new(name("synthetic")) };
        client.create::<Vm, _>(Some("default"), &new).await.expect("a VM");
        let key = Key::in_project("default", "far");
        client::wait::vm(&client, &key, Goal::Ready, START, |_| {}).await.expect("it runs");
        let args = ["vm", "port-forward", "far", "0:19", "0:9", "0:7", "-o", "json"];
        let forward = Process::start(cluster.cli().command(&args), &cluster.dir().join("forward.log"));
        let [source, sink, echo] = eventually("the ports are open", START, || async {
            let text = forward.log();
            let lines = text.lines().filter_map(|l| serde_json::from_str::<serde_json::Value>(l).ok());
            let locals = lines.filter_map(|l| l["local"].as_str()?.parse().ok());
            locals.collect::<Vec<SocketAddr>>().try_into().ok()
        })
        .await;
        Forward { ends: Ends { source, sink }, echo, _process: forward, cluster }
    }

    /// `hostler vm console`, whose far end sends back what is typed.
    pub fn console(&self) -> Terminal {
        let mut command = self.cluster.cli().command(&["vm", "console", "far"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        Terminal { child: command.spawn().expect("the program starts") }
    }
}

impl Terminal {
    /// What is typed and what is shown.
    pub fn stream(&mut self) -> impl AsyncRead + AsyncWrite + Unpin {
        let (typed, shown) = (self.child.stdin.take(), self.child.stdout.take());
        join(shown.expect("its output"), typed.expect("its input"))
    }
}
