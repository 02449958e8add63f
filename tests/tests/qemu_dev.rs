//! What a newcomer does: one command, a VM, the commands it prints, and its end in every way there is.

#![allow(clippy::expect_used, clippy::unwrap_used)] // what is not as it must be ends the test

use e2e::{Cli, Cluster, Layout, Process, Setup, eventually, guest_image, processes_under, skip};
use rt::process::Signal;
use std::{
    path::{Path, PathBuf},
    time::Duration,
};
use tempfile::TempDir;

/// Longest time for the demo to be shown, on a busy machine without acceleration.
const SHOWN: Duration = Duration::from_mins(2);

/// A newcomer's home. Dropping it ends whatever still runs there.
struct Newcomer {
    dir: TempDir,
    cli: Cli,
    image: PathBuf,
    starts: u32,
}

impl Newcomer {
    fn new(image: PathBuf) -> Self {
        let dir = TempDir::with_prefix("hostler-dev-").unwrap();
        let cli = Cli::new(dir.path());
        Newcomer { dir, cli, image, starts: 0 }
    }

    /// `hostler dev --demo`, once it has shown everything. And what that was.
    async fn dev(&mut self) -> (Process, String) {
        let image = self.image.display().to_string();
        let args = ["dev", "--demo", "--guest-image-dir", &image, "--listen", "127.0.0.1:0"];
        self.starts += 1;
        let log = self.dir.path().join(format!("dev-{}.log", self.starts));
        let dev = Process::start(self.cli.command(&args), &log);
        let all = async || Some(dev.log()).filter(|text| text.contains("Ctrl-C ends the cluster"));
        let shown = eventually("the demo", SHOWN, all).await;
        (dev, shown)
    }

    fn home(&self) -> &Path {
        self.dir.path()
    }

    async fn pid(&self, vm: &str) -> u64 {
        self.cli.run(&["vm", "get", vm, "-o", "json"]).await.json()["status"]["pid"]
            .as_u64()
            .expect("it runs")
    }

    async fn sh(&self, vm: &str, line: &str) -> String {
        self.cli.run(&["vm", "exec", vm, "--", line]).await.ok().trim_end().to_owned()
    }

    /// Pastes a line into a shell.
    async fn paste(&self, line: &str, input: &[u8]) -> String {
        let mut shell = rt::process::command("sh");
        shell.args(["-c", line]);
        self.cli.dress(&mut shell);
        let ran = Cli::finish(shell, input).await;
        assert_eq!(ran.code, 0, "{line}: {ran:?}");
        ran.stdout
    }
}

impl Drop for Newcomer {
    fn drop(&mut self) {
        for pid in processes_under(self.home()) {
            let _ = rt::process::signal(pid, Signal::KILL);
        }
    }
}

/// The commands that a newcomer is told to try.
fn printed(shown: &str) -> Vec<&str> {
    let (_, next) = shown.split_once("In another shell:\n").expect("what to try next");
    next.lines().map_while(|line| line.strip_prefix("  ")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn qemu_dev_is_one_command_and_what_it_prints_works() {
    let test = "qemu_dev_is_one_command_and_what_it_prints_works";
    let Some(image) = guest_image() else { return skip(test, "the guest image is not built") };
    let mut newcomer = Newcomer::new(image);
    let (mut dev, shown) = newcomer.dev().await;
    assert!(shown.contains("Linux demo ") && shown.contains("load average"), "{shown}");
    let commands = printed(&shown);
    assert!(commands[0].ends_with(" vm ssh demo") && commands.len() >= 6, "{commands:?}");
    let seen = newcomer.paste(commands[0], b"echo $((6 * 7)) on $(hostname)\n").await;
    assert!(seen.contains("42 on demo"), "{seen}");
    for command in &commands[1..] {
        newcomer.paste(command, b"").await;
    }

    // A crash leaves the guests to the next start.
    newcomer.sh("demo", "echo kept >note; sync").await;
    let boot = newcomer.sh("demo", "cat /proc/sys/kernel/random/boot_id").await;
    let (demo, another) = (newcomer.pid("demo").await, newcomer.pid("another").await);
    dev.kill().await;
    for pid in [demo, another] {
        assert!(e2e::alive(u32::try_from(pid).unwrap()), "a guest outlives a crash");
    }
    let (mut dev, _) = newcomer.dev().await;
    assert_eq!((newcomer.pid("demo").await, newcomer.pid("another").await), (demo, another));
    assert_eq!(newcomer.sh("demo", "cat /proc/sys/kernel/random/boot_id").await, boot);
    newcomer.cli.run(&["vm", "delete", "another", "--yes", "--wait"]).await.ok();

    // Asked to end, it leaves nothing behind but its data.
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        assert_eq!(dev.end(signal).await, Some(0), "{signal:?}: {}", dev.log());
        let rest = async || processes_under(newcomer.home()).is_empty().then_some(());
        eventually("the end of everything", Duration::from_secs(10), rest).await;
        (dev, _) = newcomer.dev().await;
        assert_eq!(newcomer.sh("demo", "cat note").await, "kept", "{signal:?} loses nothing");
        assert_ne!(newcomer.pid("demo").await, demo);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn qemu_ten_at_once_on_two_workers() {
    let Some(image) = guest_image() else {
        return skip("qemu_ten_at_once_on_two_workers", "the guest image is not built");
    };
    let cluster = Cluster::start(Setup::qemu(Layout::chosen(), 2, image)).await;
    let cli = cluster.cli();
    cli.run(&["settings", "set", "placementProfile=spread"]).await.ok();
    for worker in [1, 2] {
        // Ten guests need ten CPUs, which few machines have.
        cli.run(&["worker", "cpu-ratio", &cluster.worker_name(worker), "10"]).await.ok();
    }
    let names: Vec<String> = (0..10).map(|i| format!("vm-{i}")).collect();
    let making = names.iter().map(async |name| {
        let args = ["vm", "create", name, "--image", "tiny", "--memory", "128MiB", "--disk", "64MiB"];
        cli.run(&args).await.ok();
        // With a wait of its own for the guest to answer.
        let ran = cli.run(&["vm", "ssh", name, "--timeout", "100s", "hostname"]).await;
        assert_eq!(ran.ok().trim(), name);
    });
    futures::future::join_all(making).await;
    assert_eq!(cluster.hypervisors().len(), 10);
    let vms = cli.run(&["vm", "list", "-o", "json"]).await.json();
    for worker in [1, 2] {
        let name = cluster.worker_name(worker);
        let here = vms["items"].as_array().unwrap().iter().filter(|v| v["status"]["worker"]["name"] == *name);
        assert!(here.count() >= 3, "both workers do their part");
    }
}
