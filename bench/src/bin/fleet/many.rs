//! Memory for a thousand nodes, all of which are in the middle of a command at once.

use crate::lab::{Lab, hostler};
use bench::{Row, note, rss};
use std::{
    fs::{self, File},
    process::Stdio,
    time::Duration,
};

/// Until all nodes are at it; each handshake costs both sides.
const LIMIT: Duration = Duration::from_mins(3);

/// Measures it on so many nodes.
pub async fn measure(servers: usize, nodes: usize) {
    let lab = Lab::start(servers, nodes).await;
    let (up, go) = (lab.path("up"), lab.path("go"));
    let mut fifo = rt::process::command("mkfifo");
    fifo.arg(&go);
    rt::process::run(fifo, LIMIT).await.expect("a fifo");
    fs::write(&up, "").expect("a file");
    let waiting = format!("echo >>{}; cat {}; echo done", up.display(), go.display());
    let forks = nodes.to_string();
    let mut command = hostler(&lab.path(""), &["run", "--all", "--forks", &forks, "--command", &waiting]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().expect("it starts");
    let pid = child.id().expect("it has an id");
    let all = async {
        while fs::metadata(&up).expect("the file").len() < nodes as u64 {
            rt::clock::sleep(Duration::from_millis(250)).await;
        }
    };
    rt::clock::timeout(LIMIT, "all nodes to be in flight", all).await.expect("they are");
    let usage = rss(pid);
    let opening = rt::task::blocking(move || File::create(go).map(drop)).await;
    opening.expect("a thread").expect("the fifo");
    let output = child.wait_with_output().await.expect("it ends");
    let said = String::from_utf8_lossy(&output.stdout).matches("done").count();
    assert!(output.status.success() && said == nodes, "{}", String::from_utf8_lossy(&output.stderr));
    note(format!("{nodes} nodes in flight: {} MiB now, {} MiB at most", usage.rss, usage.peak));
    let each = usage.peak * 1024 / nodes as u64;
    Row::new(format!("memory for each of {nodes} nodes in flight, at most"), format!("{each} KiB"))
        .target("1 MiB", each < 1024)
        .print();
}
